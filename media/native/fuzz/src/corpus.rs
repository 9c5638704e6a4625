//! Seeds as text: one input per line in hexadecimal, `#` begins a remark.

/// The inputs of a corpus file; `None` when a line is not hexadecimal.
pub fn read(text: &str) -> Option<Vec<Vec<u8>>> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or(""));
    let inputs = lines.map(str::trim).filter(|line| !line.is_empty());
    inputs.map(octets).collect()
}

fn octets(line: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = line
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks(2);
    pairs
        .map(|pair| Some((pair.first()? << 4 | pair.get(1)?) as u8))
        .collect()
}

/// An input as a line of a corpus file.
pub fn hex(input: &[u8]) -> String {
    input.iter().map(|octet| format!("{octet:02x}")).collect()
}

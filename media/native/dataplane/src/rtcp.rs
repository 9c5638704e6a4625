//! RTCP read and written (RFC 3550 section 6, RFC 4585, RFC 5104).
//!
//! Compound and reduced-size packets are read alike.  Nothing is acted on unless every part of
//! the packet is well formed.

use crate::bandwidth::report::Report;
use crate::rtp::Malformed;

pub const SENDER_REPORT: u8 = 200;
pub const RECEIVER_REPORT: u8 = 201;
pub const SOURCE_DESCRIPTION: u8 = 202;
pub const BYE: u8 = 203;
pub const TRANSPORT_FEEDBACK: u8 = 205;
pub const PAYLOAD_FEEDBACK: u8 = 206;

const FORMAT_NACK: u8 = 1;
const FORMAT_PLI: u8 = 1;
const FORMAT_FIR: u8 = 4;
const FORMAT_ARRIVALS: u8 = 15;
const FORMAT_APPLICATION: u8 = 15;

/// Report blocks one report can hold.
pub const MAX_BLOCKS: usize = 31;

/// A reception report block (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    pub ssrc: u32,
    /// Lost of the last interval, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the beginning; 24 bits, may be negative.
    pub cumulative_lost: i32,
    pub highest: u32,
    /// In timestamp units.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP time.
    pub last_sr: u32,
    /// In 1/65536 s.
    pub delay: u32,
}

/// What one part of a compound packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    SenderReport {
        ssrc: u32,
        ntp: u64,
        rtp: u32,
    },
    Block(ReportBlock),
    /// Pairs of packet id and bit mask of the sixteen that follow, four octets each.
    Nack {
        media: u32,
        pairs: &'a [u8],
    },
    Pli {
        media: u32,
    },
    Fir {
        media: u32,
    },
    Bye {
        ssrc: u32,
    },
    /// Which of our packets arrived, and when.
    Arrivals(Report<'a>),
    /// The receiver's own estimate of its path, bits per second (draft-alvestrand-rmcat-remb-03).
    Remb {
        bps: u64,
    },
}

fn be32(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..at + 4)
        .and_then(|b| b.try_into().ok())
        .map(u32::from_be_bytes)
}

/// One packet of a compound: count or format, type, and what follows the four-octet header.
struct Part<'a> {
    count: u8,
    kind: u8,
    body: &'a [u8],
}

fn next_part<'a>(rest: &mut &'a [u8]) -> Result<Part<'a>, Malformed> {
    let data = *rest;
    let [first, kind, high, low] = *data.first_chunk::<4>().ok_or(Malformed)?;
    if first >> 6 != 2 {
        return Err(Malformed);
    }
    let len = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
    let whole = data.get(..len).ok_or(Malformed)?;
    *rest = data.get(len..).unwrap_or(&[]);
    let mut body = whole.get(4..).unwrap_or(&[]);
    if first & 0x20 != 0 {
        let padding = usize::from(*body.last().ok_or(Malformed)?);
        let end = body.len().checked_sub(padding).ok_or(Malformed)?;
        body = body.get(..end).ok_or(Malformed)?;
    }
    Ok(Part {
        count: first & 0x1F,
        kind,
        body,
    })
}

/// Read a decrypted datagram into items, in order.
///
/// # Errors
/// `Malformed` when any part's version, length, padding or content does not fit.
pub fn parse<'a>(data: &'a [u8], items: &mut Vec<Item<'a>>) -> Result<(), Malformed> {
    items.clear();
    let mut rest = data;
    while !rest.is_empty() {
        let part = next_part(&mut rest)?;
        read_part(&part, items).ok_or(Malformed)?;
    }
    Ok(())
}

fn read_part<'a>(part: &Part<'a>, items: &mut Vec<Item<'a>>) -> Option<()> {
    match (part.kind, part.count) {
        (SENDER_REPORT, count) => {
            items.push(Item::SenderReport {
                ssrc: be32(part.body, 0)?,
                ntp: u64::from(be32(part.body, 4)?) << 32 | u64::from(be32(part.body, 8)?),
                rtp: be32(part.body, 12)?,
            });
            read_blocks(part.body.get(24..)?, count, items)
        }
        (RECEIVER_REPORT, count) => read_blocks(part.body.get(4..)?, count, items),
        (BYE, count) => {
            for at in 0..usize::from(count) {
                let ssrc = be32(part.body, 4 * at)?;
                items.push(Item::Bye { ssrc });
            }
            Some(())
        }
        (TRANSPORT_FEEDBACK, FORMAT_NACK) => {
            let media = be32(part.body, 4)?;
            let pairs = part.body.get(8..)?;
            items.push(Item::Nack { media, pairs });
            Some(())
        }
        (TRANSPORT_FEEDBACK, FORMAT_ARRIVALS) => {
            let report = Report::parse(part.body.get(8..)?).ok()?;
            items.push(Item::Arrivals(report));
            Some(())
        }
        (PAYLOAD_FEEDBACK, FORMAT_APPLICATION) if part.body.get(8..12) == Some(b"REMB") => {
            let bps = read_remb(part.body.get(12..)?)?;
            items.push(Item::Remb { bps });
            Some(())
        }
        (PAYLOAD_FEEDBACK, FORMAT_PLI) => {
            let media = be32(part.body, 4)?;
            items.push(Item::Pli { media });
            Some(())
        }
        (PAYLOAD_FEEDBACK, FORMAT_FIR) => {
            for entry in part.body.get(8..)?.chunks_exact(8) {
                let media = be32(entry, 0)?;
                items.push(Item::Fir { media });
            }
            Some(())
        }
        _ => Some(()),
    }
}

/// Number of SSRCs, a six-bit exponent and an 18-bit mantissa; what does not fit is the most.
fn read_remb(body: &[u8]) -> Option<u64> {
    let [ssrcs, high, middle, low] = *body.first_chunk::<4>()?;
    body.get(4..4 + 4 * usize::from(ssrcs))?;
    let mantissa = u64::from(u32::from_be_bytes([0, high & 3, middle, low]));
    let exponent = u32::from(high >> 2);
    let fits = mantissa.leading_zeros() >= exponent;
    Some(if fits { mantissa << exponent } else { u64::MAX })
}

fn read_blocks(body: &[u8], count: u8, items: &mut Vec<Item<'_>>) -> Option<()> {
    for at in 0..usize::from(count) {
        let block = body.get(24 * at..24 * at + 24)?;
        let lost = be32(block, 4)?;
        items.push(Item::Block(ReportBlock {
            ssrc: be32(block, 0)?,
            fraction_lost: (lost >> 24) as u8,
            cumulative_lost: ((lost << 8) as i32) >> 8,
            highest: be32(block, 8)?,
            jitter: be32(block, 12)?,
            last_sr: be32(block, 16)?,
            delay: be32(block, 20)?,
        }));
    }
    Some(())
}

/// The sequence numbers a NACK's pairs name.
pub fn nacked(pairs: &[u8]) -> impl Iterator<Item = u16> + '_ {
    pairs.chunks_exact(4).flat_map(|pair| {
        let first = u16::from_be_bytes([pair[0], pair[1]]);
        let mask = u16::from_be_bytes([pair[2], pair[3]]);
        let following = (0..16u16)
            .filter(move |bit| mask & (1 << bit) != 0)
            .map(move |bit| first.wrapping_add(bit + 1));
        std::iter::once(first).chain(following)
    })
}

fn head(out: &mut Vec<u8>, count: u8, kind: u8) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0x80 | count, kind, 0, 0]);
    start
}

fn close(out: &mut [u8], start: usize) {
    let words = ((out.len() - start) / 4 - 1) as u16;
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_block(out: &mut Vec<u8>, block: &ReportBlock) {
    let lost = block.cumulative_lost.clamp(-0x80_0000, 0x7F_FFFF) as u32 & 0xFF_FFFF;
    for value in [
        block.ssrc,
        u32::from(block.fraction_lost) << 24 | lost,
        block.highest,
        block.jitter,
        block.last_sr,
        block.delay,
    ] {
        put32(out, value);
    }
}

/// Append a receiver report with at most 31 blocks.
pub fn put_receiver_report(out: &mut Vec<u8>, sender: u32, blocks: &[ReportBlock]) {
    let blocks = &blocks[..blocks.len().min(MAX_BLOCKS)];
    let start = head(out, blocks.len() as u8, RECEIVER_REPORT);
    put32(out, sender);
    blocks.iter().for_each(|block| put_block(out, block));
    close(out, start);
}

/// Append a sender report without blocks.
pub fn put_sender_report(
    out: &mut Vec<u8>,
    sender: u32,
    ntp: u64,
    rtp: u32,
    packets: u32,
    octets: u32,
) {
    let start = head(out, 0, SENDER_REPORT);
    for value in [sender, (ntp >> 32) as u32, ntp as u32, rtp, packets, octets] {
        put32(out, value);
    }
    close(out, start);
}

/// Append a source description with one CNAME of at most 255 octets.
pub fn put_cname(out: &mut Vec<u8>, ssrc: u32, cname: &str) {
    let start = head(out, 1, SOURCE_DESCRIPTION);
    put32(out, ssrc);
    let name = &cname.as_bytes()[..cname.len().min(255)];
    out.extend_from_slice(&[1, name.len() as u8]);
    out.extend_from_slice(name);
    out.push(0);
    let len = out.len() - start;
    out.resize(start + len.next_multiple_of(4), 0);
    close(out, start);
}

/// Append a picture loss indication.
pub fn put_pli(out: &mut Vec<u8>, sender: u32, media: u32) {
    let start = head(out, FORMAT_PLI, PAYLOAD_FEEDBACK);
    put32(out, sender);
    put32(out, media);
    close(out, start);
}

/// Append a generic NACK for ascending sequence numbers.
pub fn put_nack(out: &mut Vec<u8>, sender: u32, media: u32, seqs: &[u16]) {
    let start = head(out, FORMAT_NACK, TRANSPORT_FEEDBACK);
    put32(out, sender);
    put32(out, media);
    let mut pending: Option<(u16, u16)> = None;
    for &seq in seqs {
        pending = match pending {
            Some((first, mask)) if (1..=16).contains(&seq.wrapping_sub(first)) => {
                Some((first, mask | 1 << (seq.wrapping_sub(first) - 1)))
            }
            before => {
                before.into_iter().for_each(|pair| put_pair(out, pair));
                Some((seq, 0))
            }
        };
    }
    pending.into_iter().for_each(|pair| put_pair(out, pair));
    close(out, start);
}

fn put_pair(out: &mut Vec<u8>, (first, mask): (u16, u16)) {
    put32(out, u32::from(first) << 16 | u32::from(mask));
}

/// Append goodbye for one SSRC.
pub fn put_bye(out: &mut Vec<u8>, ssrc: u32) {
    let start = head(out, 1, BYE);
    put32(out, ssrc);
    close(out, start);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rtcp_types::{Compound, Packet};

    const BLOCK: ReportBlock = ReportBlock {
        ssrc: 5,
        fraction_lost: 12,
        cumulative_lost: -3,
        highest: 0x0001_2345,
        jitter: 99,
        last_sr: 0x1234_5678,
        delay: 65_536,
    };

    #[test]
    fn what_we_write_another_parser_reads() {
        let mut out = Vec::new();
        put_receiver_report(&mut out, 1, &[BLOCK]);
        put_sender_report(&mut out, 2, 0x0102_0304_0506_0708, 77, 8, 9);
        put_cname(&mut out, 2, "village-7");
        put_pli(&mut out, 1, 5);
        put_nack(&mut out, 1, 5, &[65_535, 0, 3, 100]);
        put_bye(&mut out, 2);
        let parts: Vec<Packet<'_>> = Compound::parse(&out)
            .expect("compound")
            .collect::<Result<_, _>>()
            .expect("every part");
        assert_eq!(parts.len(), 6);
        let Packet::Rr(report) = &parts[0] else {
            unreachable!("receiver report first")
        };
        let block = report.report_blocks().next().expect("one block");
        assert_eq!(
            (
                block.ssrc(),
                block.fraction_lost(),
                block.interarrival_jitter()
            ),
            (5, 12, 99)
        );
        let Packet::Sr(report) = &parts[1] else {
            unreachable!("sender report second")
        };
        assert_eq!(
            (report.ntp_timestamp(), report.rtp_timestamp()),
            (0x0102_0304_0506_0708, 77)
        );
    }

    #[test]
    fn what_we_write_we_read() {
        let mut out = Vec::new();
        put_receiver_report(&mut out, 1, &[BLOCK]);
        put_nack(&mut out, 1, 5, &[65_535, 0, 3, 100]);
        put_bye(&mut out, 2);
        let mut items = Vec::new();
        parse(&out, &mut items).expect("parses");
        assert_eq!(items[0], Item::Block(BLOCK));
        let Item::Nack { media: 5, pairs } = items[1] else {
            unreachable!("a NACK")
        };
        assert_eq!(nacked(pairs).collect::<Vec<_>>(), vec![65_535, 0, 3, 100]);
        assert_eq!(items[2], Item::Bye { ssrc: 2 });
    }

    proptest! {
        #[test]
        fn random_and_mutated_octets_never_panic(mut data in proptest::collection::vec(any::<u8>(), 0..120), kind in 200u8..207) {
            let _ = parse(&data, &mut Vec::new());
            let mut items = Vec::new();
            if data.len() >= 4 {
                data.truncate(data.len() / 4 * 4);
                data[0] = 0x80 | data[0] & 0x1F;
                data[1] = kind;
                let words = (data.len() / 4 - 1) as u16;
                data[2..4].copy_from_slice(&words.to_be_bytes());
                let _ = parse(&data, &mut items);
                for item in items {
                    if let Item::Nack { pairs, .. } = item {
                        nacked(pairs).count();
                    }
                }
            }
        }
    }
}

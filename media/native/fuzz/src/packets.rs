//! Datagrams told apart and cut out of streams, RTP headers with their extensions, RED.

use dataplane::demux::{classify, Class};
use dataplane::ext::{Extension, Ids, Values, Writer};
use dataplane::framing::{frame, Deframer, TooLong, MAX_FRAME};
use dataplane::red;
use dataplane::rtp::{Fixed, Header};

/// A class depends on the first octets and the length only, and a longer datagram keeps it.
pub fn demux(data: &[u8]) {
    let class = classify(data);
    let first = data.first().copied();
    match class {
        Class::Stun => assert!(first <= Some(3) && data.len() >= 20),
        Class::Dtls => assert!(first >= Some(20) && data.len() >= 13),
        Class::Rtp => assert!(first >= Some(128) && data.len() >= 12),
        Class::Rtcp => assert!(first >= Some(128) && data.len() >= 8),
        Class::Unknown => assert!(!data.is_empty()),
        Class::Short => assert!(data.len() < 20),
    }
    let longer = [data, &[0]].concat();
    assert!(class == Class::Short || classify(&longer) == class);
}

/// Everything found is within the packet, and what is written again is read alike.
pub fn rtp(data: &[u8]) {
    let Ok(header) = Header::parse(data) else {
        return;
    };
    assert!(header.len <= data.len() && header.ext_start <= header.ext_end);
    assert!(header.ext_end <= header.len);
    if let Ok(payload) = header.payload(data) {
        assert!(header.len + payload.len() <= data.len());
    }
    let ids = ids();
    let values = Values::read(data, &header, &ids);
    let again = written(&header, &values, &ids);
    let header_again = Header::parse(&again).expect("what we write we read");
    let values_again = Values::read(&again, &header_again, &ids);
    assert_eq!(
        (header.seq, header.timestamp, header.ssrc),
        (header_again.seq, header_again.timestamp, header_again.ssrc)
    );
    let text = |value: Option<&'_ [u8]>| value.filter(|v| !v.is_empty()).map(<[u8]>::to_vec);
    assert_eq!(text(values.mid), text(values_again.mid));
    assert_eq!(text(values.rid), text(values_again.rid));
    assert_eq!(values.twcc, values_again.twcc);
    assert_eq!(values.kept.audio_level, values_again.kept.audio_level);
    assert_eq!(values.kept.playout_delay, values_again.kept.playout_delay);
}

fn ids() -> Ids {
    Ids::new(&[
        (Extension::Mid, 1),
        (Extension::Rid, 2),
        (Extension::AudioLevel, 3),
        (Extension::Twcc, 5),
        (Extension::PlayoutDelay, 14),
    ])
}

fn written(header: &Header, values: &Values<'_>, ids: &Ids) -> Vec<u8> {
    let mut out = Vec::new();
    let fixed = Fixed {
        extended: false,
        marker: header.marker,
        payload_type: header.payload_type,
        seq: header.seq,
        timestamp: header.timestamp,
        ssrc: header.ssrc,
    };
    fixed.write(&mut out);
    let texts = [(Extension::Mid, values.mid), (Extension::Rid, values.rid)];
    let longest = texts
        .iter()
        .flat_map(|(_, text)| text.map(<[u8]>::len))
        .max();
    let mut writer = Writer::new(&mut out, ids, longest.unwrap_or(0));
    for (extension, text) in texts {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            writer.put(extension, text);
        }
    }
    if let Some(level) = values.kept.audio_level {
        writer.put(Extension::AudioLevel, &[level]);
    }
    if let Some(delay) = values.kept.playout_delay {
        writer.put(Extension::PlayoutDelay, &delay);
    }
    if let Some(seq) = values.twcc {
        writer.put(Extension::Twcc, &seq.to_be_bytes());
    }
    if writer.finish() {
        out[0] |= 0x10;
    }
    out
}

/// A packet that is taken apart is all there: put together again it is the same.
pub fn red(data: &[u8]) {
    let Some(blocks) = red::parse(data) else {
        return;
    };
    let blocks = blocks.as_slice();
    let (primary, earlier) = blocks.split_last().expect("there is a primary");
    let mut again = Vec::new();
    for block in earlier {
        let length = block.data.len() as u32;
        let head = u32::from(block.payload_type | 0x80) << 24 | u32::from(block.offset) << 10;
        again.extend_from_slice(&(head | length).to_be_bytes());
    }
    again.push(primary.payload_type);
    blocks
        .iter()
        .for_each(|block| again.extend_from_slice(block.data));
    assert_eq!((primary.offset, again.as_slice()), (0, data));
}

/// However a stream is cut into pieces, the same datagrams come out of it; framed again they are what
/// was pushed, but for the empty ones.  The first octet says how long a piece is.
pub fn framing(data: &[u8]) {
    let Some((&piece, stream)) = data.split_first() else {
        return;
    };
    let whole = deframed(stream, stream.len().max(1));
    assert_eq!(deframed(stream, usize::from(piece).max(1)), whole);
    let (datagrams, error) = whole;
    let mut again = Vec::new();
    for datagram in &datagrams {
        assert!((1..=MAX_FRAME).contains(&datagram.len()));
        assert!(frame(datagram, &mut again));
    }
    assert!(again.len() <= stream.len());
    assert_eq!(deframed(&again, again.len().max(1)), (datagrams, None));
    assert!(error.is_none_or(|TooLong(size)| size > MAX_FRAME));
}

fn deframed(stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, Option<TooLong>) {
    let mut deframer = Deframer::default();
    let mut datagrams = Vec::new();
    for octets in stream.chunks(piece) {
        deframer.push(octets);
        loop {
            match deframer.take() {
                Ok(Some(datagram)) => datagrams.push(datagram),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(deframer.take(), Err(error), "it stays wrong");
                    return (datagrams, Some(error));
                }
            }
        }
    }
    (datagrams, None)
}

//! RTCP read, and the feedback we write about any arrivals.

use dataplane::bandwidth::report::Report;
use dataplane::rtcp::{self, nacked, Item};
use dataplane::twcc::Arrivals;

/// What is read, when written by us, is read again.
pub fn rtcp(data: &[u8]) {
    let mut items = Vec::new();
    if rtcp::parse(data, &mut items).is_err() {
        return;
    }
    assert!(data.len() % 4 == 0 && items.len() <= data.len() / 4);
    for item in &items {
        let mut out = Vec::new();
        match *item {
            Item::SenderReport { ssrc, ntp, rtp } => {
                rtcp::put_sender_report(&mut out, ssrc, ntp, rtp, 0, 0);
            }
            Item::Block(block) => rtcp::put_receiver_report(&mut out, 1, &[block]),
            Item::Pli { media } => rtcp::put_pli(&mut out, 1, media),
            Item::Bye { ssrc } => rtcp::put_bye(&mut out, ssrc),
            Item::Nack { media, pairs } => {
                assert!(nacked(pairs).count() <= 17 * pairs.len() / 4);
                nack(media, pairs);
                continue;
            }
            _ => continue,
        }
        let mut again = Vec::new();
        rtcp::parse(&out, &mut again).expect("what we write we read");
        assert_eq!(again, [*item]);
    }
}

/// The same numbers, whatever pairs they are put into.
fn nack(media: u32, pairs: &[u8]) {
    let mut wanted: Vec<u16> = nacked(pairs).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut out = Vec::new();
    rtcp::put_nack(&mut out, 1, media, &wanted);
    let mut items = Vec::new();
    rtcp::parse(&out, &mut items).expect("what we write we read");
    let [Item::Nack { media: said, pairs }] = items[..] else {
        unreachable!("one NACK")
    };
    assert_eq!((said, nacked(pairs).collect()), (media, wanted));
}

/// Any arrivals at any times give reports that end, are small, and can be read.
pub fn twcc(data: &[u8]) {
    let mut arrivals = Arrivals::default();
    let mut now = 0;
    for step in data.chunks_exact(4) {
        let seq = u16::from_be_bytes([step[0], step[1]]);
        now += u64::from(step[2]) << (step[3] % 16);
        arrivals.record(seq, now);
        if step[3] & 0x80 == 0 {
            continue;
        }
        let mut reports = 0;
        loop {
            let mut out = Vec::new();
            if !arrivals.feedback(&mut out, 1, 2) {
                break;
            }
            reports += 1;
            assert!(
                reports <= 2_000 && out.len() <= 1_400,
                "{reports}: {}",
                out.len()
            );
            rtcp::parse(&out, &mut Vec::new()).expect("what we write we read");
        }
        assert!(arrivals.is_empty());
    }
}

/// A report of arrivals speaks of as many numbers as it says, in order.
pub fn arrived(fci: &[u8]) {
    let Ok(report) = Report::parse(fci) else {
        return;
    };
    let seqs: Vec<u16> = report.packets().map(|(seq, _)| seq).collect();
    assert_eq!(seqs.len(), usize::from(report.count));
    assert!(seqs
        .windows(2)
        .all(|pair| pair[1] == pair[0].wrapping_add(1)));
    assert_eq!(seqs.first(), Some(&report.base));
}

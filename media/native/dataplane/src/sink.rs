//! A slot: one outgoing SSRC that some source may feed, numbered so that a receiver never notices
//! which.

use std::borrow::Cow;
use std::collections::VecDeque;

pub use crate::allowed::{Allowed, Want};
use crate::bundle::Held;
use crate::cache::Packet;
use crate::congestion::Shedding;
use crate::counters::SinkStats;
use crate::epoch::Epoch;
use crate::layers::{pick, Step};
use crate::place::TOP;
use crate::red::Redundancy;
use crate::reports::jitter_us;
use crate::rtcp::ReportBlock;
use crate::seqmap::unwrap;
use crate::strain::strained;
use crate::thumbnails::Album;
use crate::types::{Codec, Kind, Micros, PayloadTypes, SinkConfig, MS, SECOND};

/// Epochs that can still be retransmitted from: where every second frame of sixty a second is left
/// out, those of more than the two seconds for which a packet is worth it.
const EPOCHS: usize = 160;
/// Packets sent again or late that are remembered, so that each is repeated at most once per
/// round trip; those whose numbers differ by a multiple of this share a place.
const REPEATS: usize = 512;
/// Lost packets a viewer may name for each packet it was sent, and at once.
const NACKS_PER_PACKET: u32 = 4;
const NACK_BURST: u32 = 4_096;
/// Key frame requests accepted from one viewer: two a second.
const PLI_EVERY_US: Micros = 500 * MS;
const PLI_BURST: u8 = 2;
/// Octets of retransmission a sink may be in advance of what it was sent.
const REPAIR_CREDIT: u64 = 128 * 1024;
/// A receiver report about more packets than this is a mistake.
const MAX_EXPECTED: u64 = 10_000;

/// The newest numbers sent, from which the next spell goes on.
#[derive(Clone, Copy, Debug)]
struct Newest {
    timestamp: u32,
    arrived: Micros,
    picture: u16,
    tl0: u8,
    frame: u16,
}

/// A source and layer the sink waits to be fed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub source: usize,
    pub layer: usize,
}

pub struct Sink {
    pub id: u32,
    /// Slab key of its transport.
    pub transport: usize,
    pub config: SinkConfig,
    payload_types: PayloadTypes,
    pub live: Option<Epoch>,
    pub wanted: Option<Wanted>,
    pub want: Want,
    /// Its receiver takes no dependency descriptors, and so no spatial layers of AV1.
    pub flat: bool,
    /// What its path has room for.
    pub allowed: Allowed,
    /// What of that the engine's strain leaves, and whether its steps are less than it wants.
    pub given: Allowed,
    pub lowered: bool,
    /// What it would send is sent beside it.
    pub spare: bool,
    /// The single pictures it is sent while there is room for no more.
    pub album: Album,
    /// The target of the live feed to go over to; 0: none, it ends at the next picture.
    pub aim: u16,
    /// The target with which the wanted feed begins.
    pub goal: u16,
    /// Since when the live feed waits for a place to go over to its aim.
    pub turning: Option<Micros>,
    /// Highest index looked at in the live feed, plus one.
    pub(crate) next_in: u64,
    /// Ids of pictures lately left out.
    pub(crate) left_out: VecDeque<u16>,
    epochs: VecDeque<Epoch>,
    next_out: u64,
    newest: Option<Newest>,
    first_timestamp: u32,
    pub next_repair: u64,
    /// What it does not get while the driver cannot send.
    pub shedding: Shedding,
    /// (outgoing index, when), by the low part of the index; empty until something is repeated.
    repeats: Vec<(u64, Micros)>,
    credit: u64,
    /// Sequence numbers in NACKs still looked at.
    nack_tokens: u32,
    pli_tokens: u8,
    pli_refill: Micros,
    /// For sender reports: packets and payload octets.
    pub sent: (u32, u32),
    /// Highest sequence number and packets lost, as its receiver reported last.
    heard: Option<(u32, i32)>,
    /// Earlier sound sent along with each packet, by what the receiver reports.
    pub redundancy: Redundancy,
    /// Sound that waits for more.
    pub(crate) held: Option<Held>,
    /// Our next index and the packets sent at that report.
    then: (u64, u64),
    pub stats: SinkStats,
}

impl Sink {
    /// `first_out` and `next_repair` are packet indices, `first_timestamp` an RTP timestamp.
    pub fn new(
        id: u32,
        transport: usize,
        config: SinkConfig,
        first_out: u64,
        next_repair: u64,
        first_timestamp: u32,
    ) -> Self {
        Sink {
            id,
            transport,
            payload_types: config.payload_types(),
            config,
            live: None,
            wanted: None,
            want: Want::default(),
            flat: false,
            allowed: Allowed::default(),
            given: Allowed::default(),
            lowered: false,
            spare: false,
            album: Album::default(),
            aim: TOP,
            goal: TOP,
            turning: None,
            next_in: 0,
            left_out: VecDeque::new(),
            epochs: VecDeque::new(),
            next_out: first_out,
            newest: None,
            first_timestamp,
            next_repair,
            shedding: Shedding::default(),
            repeats: Vec::new(),
            credit: REPAIR_CREDIT,
            nack_tokens: NACK_BURST,
            pli_tokens: PLI_BURST,
            pli_refill: 0,
            sent: (0, 0),
            heard: None,
            redundancy: Redundancy::default(),
            held: None,
            then: (first_out, 0),
            stats: SinkStats::default(),
        }
    }

    /// Those of a source's steps that its receiver can decode: without dependency descriptors a
    /// receiver takes each spatial layer of AV1 for a picture of its own.
    pub fn decodable<'a>(&self, steps: &'a [Step], codec: Option<Codec>) -> Cow<'a, [Step]> {
        if !self.flat || codec != Some(Codec::Av1) {
            return Cow::Borrowed(steps);
        }
        let lowest = steps.iter().filter(|step| step.spatial == 0);
        Cow::Owned(lowest.copied().collect())
    }

    /// Say what it gets of these steps: what fits its path, less what the engine's strain takes.
    pub fn give(&mut self, steps: &[Step], strain: u8, spare: bool) {
        if self.config.kind == Kind::Audio {
            return;
        }
        self.spare = spare;
        self.given = match spare {
            true => Allowed::Paused,
            false => strained(steps, self.want, self.allowed, strain),
        };
        let full = pick(steps, self.want, Allowed::Free);
        self.lowered = full != pick(steps, self.want, self.given);
    }

    pub fn next_out(&self) -> u64 {
        self.next_out
    }

    /// (payload type, repair payload type) of a codec.
    pub fn payload_type(&self, codec: Codec) -> Option<(u8, Option<u8>)> {
        self.payload_types[codec as usize]
    }

    /// Whether lost packets are repeated under their own number: then a repeat must be the same
    /// octets, because a GCM nonce protects one content only.
    pub fn repeats_plainly(&self) -> bool {
        self.config.kind == Kind::Video && self.config.rtx_ssrc.is_none()
    }

    /// Begin a spell with `packet`, continuing numbers and time, which are those of packets that
    /// come `late_us` later.
    pub fn begin(
        &mut self,
        source: u32,
        wanted: Wanted,
        packet: &Packet,
        late_us: Micros,
    ) -> Epoch {
        let timestamp = match self.newest {
            None => self.first_timestamp,
            Some(newest) => {
                let elapsed = (packet.arrived + late_us).saturating_sub(newest.arrived);
                let ticks = (elapsed * packet.codec.clock() / SECOND).max(1);
                newest.timestamp.wrapping_add(ticks as u32)
            }
        };
        let before = self
            .newest
            .map_or((0, 0, 0), |n| (n.picture, n.tl0, n.frame));
        let (picture, tl0, frame) = before;
        let came = packet.descriptor.unwrap_or_default();
        let epoch = Epoch {
            source,
            source_key: wanted.source,
            layer: wanted.layer,
            first_in: packet.index,
            first_out: self.next_out,
            timestamp_delta: timestamp.wrapping_sub(packet.timestamp),
            picture_delta: (picture + 1).wrapping_sub(came.picture.unwrap_or(0)),
            tl0_delta: tl0.wrapping_add(1).wrapping_sub(came.tl0.unwrap_or(0)),
            frame_delta: frame
                .wrapping_add(1)
                .wrapping_sub(packet.frame().unwrap_or(0)),
            mask: self.goal,
            told_less: false,
            late_us,
        };
        if self.live.is_some() || self.newest.is_some() {
            self.stats.switches += 1;
        }
        self.shedding = Shedding::default();
        self.aim = self.goal;
        self.next_in = packet.index;
        self.left_out.clear();
        self.go_on(epoch)
    }

    /// Go on with `epoch`, in place of one that has sent nothing.
    pub(crate) fn go_on(&mut self, epoch: Epoch) -> Epoch {
        let empty = |last: &Epoch| {
            let same = (last.source_key, last.layer) == (epoch.source_key, epoch.layer);
            same && last.first_out == epoch.first_out
        };
        if self.epochs.back().is_some_and(empty) {
            self.epochs.pop_back();
        }
        self.epochs.push_back(epoch);
        if self.epochs.len() > EPOCHS {
            self.epochs.pop_front();
        }
        self.live = Some(epoch);
        epoch
    }

    /// The epoch a packet of a feed falls into, and the number with which the next begins.
    pub(crate) fn epoch_of(&self, source: usize, layer: usize, index: u64) -> Option<(Epoch, u64)> {
        let mut end = u64::MAX;
        for epoch in self.epochs.iter().rev() {
            let same = (epoch.source_key, epoch.layer) == (source, layer);
            if same && epoch.first_in <= index {
                return Some((*epoch, end));
            }
            end = epoch.first_out;
        }
        None
    }

    /// Note that padding of `octets` in all took a number.
    pub fn filled(&mut self, octets: usize) {
        self.sent.0 = self.sent.0.wrapping_add(1);
        self.stats.packets += 1;
        self.stats.bytes += octets as u64;
    }

    /// When what was sent last had arrived; that is when it was to be whole at its viewer, of a
    /// single picture.
    pub fn newest_arrival(&self) -> Option<Micros> {
        self.newest.map(|newest| newest.arrived)
    }

    /// Note that `packet` went out under `out` for the first time.
    pub fn advanced(
        &mut self,
        epoch: &Epoch,
        packet: &Packet,
        out: u64,
        octets: usize,
        now: Micros,
    ) {
        self.sent.0 = self.sent.0.wrapping_add(1);
        self.sent.1 = self.sent.1.wrapping_add(packet.payload.len() as u32);
        self.stats.packets += 1;
        self.stats.bytes += octets as u64;
        self.credit = (self.credit + octets as u64).min(REPAIR_CREDIT);
        self.nack_tokens = (self.nack_tokens + NACKS_PER_PACKET).min(NACK_BURST);
        if out < self.next_out {
            self.repeated(out, now);
            return;
        }
        self.next_out = out + 1;
        let before = self
            .newest
            .map_or((0, 0, 0), |n| (n.picture, n.tl0, n.frame));
        let came = packet.descriptor.unwrap_or_default();
        self.newest = Some(Newest {
            timestamp: packet.timestamp.wrapping_add(epoch.timestamp_delta),
            arrived: packet.arrived + epoch.late_us,
            picture: came
                .picture
                .map_or(before.0, |p| p.wrapping_add(epoch.picture_delta) & 0x7FFF),
            tl0: came
                .tl0
                .map_or(before.1, |t| t.wrapping_add(epoch.tl0_delta)),
            frame: packet
                .frame()
                .map_or(before.2, |f| f.wrapping_add(epoch.frame_delta)),
        });
    }

    /// The spell and source index behind an outgoing sequence number.
    pub fn trace(&self, seq: u16) -> Option<(Epoch, u64)> {
        let out = unwrap(self.next_out.checked_sub(1)?, seq)?;
        if out >= self.next_out {
            return None;
        }
        let epoch = self.epochs.iter().rev().find(|e| e.first_out <= out)?;
        Some((*epoch, epoch.incoming(out)?))
    }

    /// Whether packet `out` may be repeated now: once per round trip, within the credit.
    pub fn may_repeat(&mut self, out: u64, octets: usize, rtt: Micros, now: Micros) -> bool {
        let last = self.repeats.get(out as usize % REPEATS);
        let recent = last.is_some_and(|(index, at)| *index == out && now.saturating_sub(*at) < rtt);
        if recent || self.credit < octets as u64 {
            return false;
        }
        self.credit -= octets as u64;
        self.repeated(out, now);
        true
    }

    /// Packet `out` went out again, or late: what asks for it now was sent before it came.
    fn repeated(&mut self, out: u64, now: Micros) {
        if self.repeats.is_empty() {
            self.repeats.resize(REPEATS, (u64::MAX, 0));
        }
        self.repeats[out as usize % REPEATS] = (out, now);
    }

    /// Whether one more lost packet of this viewer is looked at.
    pub fn may_ask(&mut self) -> bool {
        let may = self.nack_tokens > 0;
        self.nack_tokens -= u32::from(may);
        may
    }

    /// Whether a key frame request of this viewer is accepted: two a second.
    pub fn may_request(&mut self, now: Micros) -> bool {
        let refills = now.saturating_sub(self.pli_refill) / PLI_EVERY_US;
        if refills > 0 {
            self.pli_tokens =
                (u64::from(self.pli_tokens) + refills).min(u64::from(PLI_BURST)) as u8;
            self.pli_refill = now;
        }
        let may = self.pli_tokens > 0;
        self.pli_tokens -= u8::from(may);
        may
    }

    /// Take its receiver's report.  A count that goes back is a receiver that began anew.
    pub fn reported(&mut self, block: &ReportBlock, codec: Option<Codec>) {
        let lost = block.cumulative_lost;
        let (highest, lost_before) = self.heard.unwrap_or((block.highest, lost));
        self.heard = Some((block.highest, lost));
        let further = (block.highest.wrapping_sub(highest) as i32).max(0);
        let more = lost.saturating_sub(lost_before).clamp(0, further);
        let lost = self.of_ours(more as u64);
        self.stats.expected_by_peer += further as u64;
        self.stats.lost_by_peer += lost;
        self.stats.jitter_us_now = codec.map_or(0, |codec| jitter_us(block.jitter, codec));
        if (1..=MAX_EXPECTED).contains(&(further as u64)) {
            self.redundancy.reported(lost as f64 / further as f64);
        }
    }

    /// Of `lost` packets those we sent: what never came to us, or went along, is not its loss.
    fn of_ours(&mut self, lost: u64) -> u64 {
        let before = std::mem::replace(&mut self.then, (self.next_out, self.stats.packets));
        let never_sent = (self.next_out - before.0).saturating_sub(self.stats.packets - before.1);
        lost.saturating_sub(never_sent)
    }

    /// Timestamp for a sender report when the source's clock is unknown.
    pub fn extrapolated(&self, clock: u64, now: Micros) -> Option<u32> {
        let newest = self.newest?;
        let ticks = now.saturating_sub(newest.arrived) * clock / SECOND;
        Some(newest.timestamp.wrapping_add(ticks as u32))
    }

    /// Forget everything about a source that is gone.
    pub fn forget(&mut self, source_key: usize) {
        self.epochs.retain(|e| e.source_key != source_key);
        if self.live.is_some_and(|e| e.source_key == source_key) {
            self.live = None;
        }
        if self.wanted.is_some_and(|w| w.source == source_key) {
            self.wanted = None;
        }
    }

    /// Whether any of its feeds, present or awaited, is this source.
    pub fn uses(&self, source_key: usize) -> bool {
        self.live.is_some_and(|e| e.source_key == source_key)
            || self.wanted.is_some_and(|w| w.source == source_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(highest: u32, cumulative_lost: i32, jitter: u32) -> ReportBlock {
        ReportBlock {
            ssrc: 7,
            fraction_lost: 0,
            cumulative_lost,
            highest,
            jitter,
            last_sr: 0,
            delay: 0,
        }
    }

    fn sink() -> Sink {
        let config = SinkConfig {
            transport: 1,
            kind: Kind::Audio,
            mid: None,
            ssrc: 7,
            rtx_ssrc: None,
            cname: String::new(),
            codecs: Vec::new(),
        };
        Sink::new(1, 0, config, 1, 1, 0)
    }

    #[test]
    fn what_a_receiver_reports_counts_from_its_first_report() {
        let mut sink = sink();
        for (highest, lost) in [(u32::MAX - 9, 4), (90, 14), (190, 13), (290, 20)] {
            sink.reported(&report(highest, lost, 480), Some(Codec::Opus));
        }
        let stats = &sink.stats;
        assert_eq!((stats.expected_by_peer, stats.lost_by_peer), (300, 17));
        assert_eq!(stats.jitter_us_now, 10_000);
    }

    #[test]
    fn a_report_can_neither_lose_more_than_was_sent_nor_count_backwards() {
        let mut sink = sink();
        for (highest, lost) in [(100, i32::MIN), (110, i32::MAX), (5, i32::MIN), (5, 0)] {
            sink.reported(&report(highest, lost, u32::MAX), Some(Codec::Opus));
        }
        let stats = &sink.stats;
        assert_eq!((stats.expected_by_peer, stats.lost_by_peer), (10, 10));
        assert_eq!(stats.jitter_us_now, 10 * SECOND);
    }
}

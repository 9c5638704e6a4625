//! Sender and receiver reports of each transport, once a second.
//!
//! A sink's sender report maps its own timestamps to our wall clock through the source's report,
//! with one clock offset per sending transport, so that lips and voice stay together.

use crate::engine::Engine;
use crate::reception::Interval;
use crate::rtcp;
use crate::sink::{Allowed, Sink};
use crate::source::Home;
use crate::transport::Binding;
use crate::types::{Codec, Micros, SECOND};

const EVERY_US: Micros = SECOND;
/// Octets after which a compound packet is closed.
const ENOUGH: usize = 1_000;
/// Seconds from 1900 to 1970.
const NTP_EPOCH: u64 = 2_208_988_800;

/// Unix time in microseconds.
pub(crate) fn unix_us(wall_us: u64, now: Micros) -> u64 {
    wall_us + now
}

/// NTP time, 32.32 fixed point.
pub(crate) fn ntp(wall_us: u64, now: Micros) -> u64 {
    let unix = unix_us(wall_us, now);
    let seconds = unix / SECOND + NTP_EPOCH;
    let fraction = ((unix % SECOND) << 32) / SECOND;
    seconds << 32 | fraction
}

/// NTP time as microseconds since 1970; times before that wrap and only their differences count.
pub(crate) fn ntp_to_us(ntp: u64) -> u64 {
    let seconds = (ntp >> 32).wrapping_sub(NTP_EPOCH);
    let micros = ((ntp & 0xFFFF_FFFF) * SECOND) >> 32;
    seconds.wrapping_mul(SECOND).wrapping_add(micros)
}

/// Jitter in timestamp units as microseconds, at most ten seconds.
pub(crate) fn jitter_us(ticks: u32, codec: Codec) -> u64 {
    (u64::from(ticks) * SECOND / codec.clock()).min(10 * SECOND)
}

impl Engine {
    pub(crate) fn tick_reports(&mut self, key: usize, now: Micros) {
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return;
        };
        if now < transport.next_report || transport.tx.is_none() || transport.way().is_none() {
            return;
        }
        transport.next_report = now + EVERY_US;
        let reporter = transport.reporter;
        let (blocks, heard): (Vec<_>, Vec<_>) = transport
            .streams
            .iter_mut()
            .filter_map(|(ssrc, stream)| {
                let (block, interval) = stream.reception.report(ssrc, now)?;
                Some((block, (stream.binding?, interval)))
            })
            .unzip();
        let sinks = transport.sinks.clone();
        self.count_reception(key, &heard);
        let mut reports = blocks.chunks(rtcp::MAX_BLOCKS);
        let mut out = self.ready.buffer();
        rtcp::put_receiver_report(&mut out, reporter, reports.next().unwrap_or(&[]));
        for blocks in reports {
            let full = std::mem::replace(&mut out, self.ready.buffer());
            self.send_rtcp(key, full);
            rtcp::put_receiver_report(&mut out, reporter, blocks);
        }
        for sink_key in sinks {
            if self.put_sender_report(sink_key, &mut out, now).is_some() && out.len() > ENOUGH {
                let full = std::mem::replace(&mut out, self.ready.buffer());
                self.send_rtcp(key, full);
            }
        }
        if out.is_empty() {
            self.ready.recycle(out);
        } else {
            self.send_rtcp(key, out);
        }
    }

    /// Add what came of a transport's SSRCs in the last interval to their sources' counters.
    fn count_reception(&mut self, key: usize, heard: &[(Binding, Interval)]) {
        let Some(transport) = self.tables.transports.get(key) else {
            return;
        };
        for source in &transport.sources {
            if let Some(source) = self.tables.sources.get_mut(*source) {
                source.stats.jitter_us_now = 0;
            }
        }
        for (binding, interval) in heard.iter().filter(|(binding, _)| !binding.repair) {
            let Some(source) = self.tables.sources.get_mut(binding.source) else {
                continue;
            };
            source.stats.expected += interval.expected;
            let mended = std::mem::take(&mut source.mended);
            source.stats.missed += interval.lost.saturating_sub(mended);
            if let Some(codec) = source.codec.filter(|_| interval.expected > 0) {
                let jitter = jitter_us(interval.jitter, codec);
                source.stats.jitter_us_now = source.stats.jitter_us_now.max(jitter);
            }
        }
    }

    fn put_sender_report(&self, sink_key: usize, out: &mut Vec<u8>, now: Micros) -> Option<()> {
        let sink = self.tables.sinks.get(sink_key)?;
        if sink.given == Allowed::Thumbnails {
            return None; // voices would be kept waiting for pictures that are sent slowly
        }
        let timestamp = self.sink_timestamp(sink, now)?;
        let ntp = ntp(self.wall_us, now);
        let (packets, octets) = sink.sent;
        rtcp::put_sender_report(out, sink.config.ssrc, ntp, timestamp, packets, octets);
        rtcp::put_cname(out, sink.config.ssrc, &sink.config.cname);
        Some(())
    }

    /// The sink's RTP timestamp of this moment.
    fn sink_timestamp(&self, sink: &Sink, now: Micros) -> Option<u32> {
        let epoch = sink.live?;
        let source = self.tables.sources.get(epoch.source_key)?;
        let clock = source.codec?.clock();
        let offset = match source.home {
            Home::Here(key) => self.tables.transports.get(key).and_then(|t| t.clock_offset),
            Home::Elsewhere(_) => source.clock_offset,
        };
        let report = source.layers.get(epoch.layer)?.report;
        let (Some(offset), Some((sent_us, rtp))) = (offset, report) else {
            return sink.extrapolated(clock, now);
        };
        let theirs = unix_us(self.wall_us, now) as i64 - offset;
        let elapsed = i128::from(theirs.wrapping_sub(sent_us as i64));
        let ticks = elapsed * i128::from(clock) / i128::from(SECOND);
        Some(
            rtp.wrapping_add(ticks as u32)
                .wrapping_add(epoch.timestamp_delta),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntp_and_back_is_the_same_microsecond() {
        let wall = 1_790_000_000_123_456;
        let back = ntp_to_us(ntp(wall, 789));
        assert!(unix_us(wall, 789) - back <= 1);
    }
}

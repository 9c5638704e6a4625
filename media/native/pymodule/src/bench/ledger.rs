//! Where packets went that were offered and did not come: every place that can lose one is counted.

use dataplane::{Counters, Stats};

use crate::bench::stage::Load;
use crate::bench::Figures;
use crate::worker::Driver;

/// Reasons to drop what was meant for one receiver; other drops are of a packet for all of them.
const FOR_ONE: [&str; 11] = [
    "drop_congested_video",
    "drop_congested_audio",
    "drop_stalled_video",
    "drop_paced_video",
    "drop_no_path",
    "drop_no_consent",
    "drop_index_spent",
    "drop_overtaken",
    "drop_unfed",
    "drop_send_queue",
    "left_out",
];
/// Those of a packet for all receivers on one other worker.
const FOR_SOME: [&str; 3] = [
    "drop_crossing_video",
    "drop_crossing_audio",
    "drop_crossing_stale",
];

/// What everything that counts says at one time.
#[derive(Clone)]
pub struct Page {
    pub engine: Counters,
    pub driver: Driver,
    /// Datagrams the receivers' sockets threw away.
    pub at_receivers: u64,
    /// Receivers fed by way of another worker, and by how many sources.
    mirrored: (u64, u64),
}

impl Page {
    pub fn of(stats: &Stats, driver: Driver, at_receivers: u64) -> Page {
        let sinks = stats.mirrors.iter().map(|(_, sinks)| sinks).sum();
        Page {
            engine: stats.engine.clone(),
            driver,
            at_receivers,
            mirrored: (sinks, stats.mirrors.len() as u64),
        }
    }
}

/// Packets of a stretch, counted at the receivers for whom they were.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ledger {
    pub offered: u64,
    pub forwarded: u64,
    pub heard: u64,
    /// The engine's sockets had no room.
    receive_queue: u64,
    /// Another worker had no room.
    crossing: u64,
    /// The engine dropped them for any other reason.
    engine: u64,
    /// Messages no socket took.
    sending: u64,
    /// The receivers' sockets had no room.
    at_receivers: u64,
}

impl Ledger {
    /// Between two pages; `sent` packets were offered to `load.fanout()` receivers each.
    pub fn between(before: &Page, after: &Page, load: &Load, sent: u64, heard: u64) -> Ledger {
        let fanout = load.fanout();
        let (sinks, mirrors) = after.mirrored;
        let some = sinks.checked_div(mirrors).unwrap_or(0);
        let mut ledger = Ledger {
            offered: sent * fanout,
            forwarded: after.engine.packets_forwarded - before.engine.packets_forwarded,
            heard,
            receive_queue: fanout
                * (after.driver.drop_receive_queue - before.driver.drop_receive_queue),
            sending: after.driver.send.send_errors - before.driver.send.send_errors,
            at_receivers: after.at_receivers - before.at_receivers,
            ..Ledger::default()
        };
        let now = after.engine.pairs().into_iter();
        for ((name, now), (_, then)) in now.zip(before.engine.pairs()) {
            let count = now.saturating_sub(then);
            match name {
                _ if FOR_ONE.contains(&name) => ledger.engine += count,
                _ if FOR_SOME.contains(&name) => ledger.crossing += count * some,
                "drop_crossing_datagram" => ledger.crossing += count * fanout,
                _ if name.starts_with("drop_") => ledger.engine += count * fanout,
                _ => {}
            }
        }
        ledger
    }

    /// What the engine forwarded, or counted as lost.
    pub fn known(&self) -> u64 {
        self.forwarded + self.receive_queue + self.crossing + self.engine
    }

    fn share(&self, of: u64) -> f64 {
        of as f64 / self.offered as f64
    }

    /// What the engine took in and did not forward, or never took in.
    pub fn unforwarded(&self) -> f64 {
        1.0 - self.share(self.forwarded)
    }

    pub fn unheard(&self) -> f64 {
        1.0 - self.share(self.heard)
    }

    /// Shares of what was offered; the last two are of none if everything is counted.
    pub fn figures(&self, prefix: &str) -> Figures {
        let sent = self.forwarded as f64 - (self.heard + self.at_receivers + self.sending) as f64;
        let places = [
            ("receive_queue", self.share(self.receive_queue)),
            ("crossing", self.share(self.crossing)),
            ("engine", self.share(self.engine)),
            ("sending", self.share(self.sending)),
            ("at_receivers", self.share(self.at_receivers)),
            ("uncounted", 1.0 - self.share(self.known())),
            ("uncounted_on_the_way", sent / self.offered as f64),
        ];
        let named = places.map(|(name, share)| (format!("{prefix}lost_{name}"), share));
        named.into_iter().collect()
    }
}

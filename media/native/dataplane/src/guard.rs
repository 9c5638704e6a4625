//! How much of a worker those may have whom nobody has vouched for, and how much one who was let in.
//!
//! What is not STUN costs a stranger's datagram one look-up before it is dropped.  A check has to be
//! parsed and its integrity computed, about 3 us with the answer, so checks from unverified
//! addresses are counted first: 30 % of a worker for all of them, wherever they arrive, and a part of that for each
//! network (IPv4 /24, IPv6 /48), known by the first octet and the source address alone.
//!
//! What comes on a transport's own paths is counted before anything is computed: all of it, and in it
//! what costs more than media does: checks are answered, DTLS goes up to Python, RTCP makes us search.
//! Of what then is authentic each source has its part: it is multiplied by its viewers.

use std::net::IpAddr;

use crate::demux::Class;
use crate::engine::Engine;
use crate::types::{Micros, Path, SECOND};

/// Checks a second from unverified addresses that take 30 % of a worker, at 3 us each.
const ALL_PER_S: u64 = 100_000;
/// Of one network.  A hall of 1,000 terminals behind one address joins with five checks each.
const NETWORK_PER_S: u64 = 5_000;
/// Checks a second on the paths of one transport.  An agent sends one every 50 ms (RFC 8445 section
/// 14.2), and has several pairs only until one is nominated.
const CHECKS_PER_S: u64 = 200;
/// DTLS datagrams a second of one transport: a handshake with all its repetitions is less than 50.
const DTLS_PER_S: u64 = 200;
/// The part of a transport's packets that may be RTCP: a link of many lossy pictures asks a lot.
const RTCP_PART: u64 = 4;
/// Networks share this many counters; which with which, only the seed says.
const NETWORKS: usize = 1_024;
/// What may come at once: a quarter of a second's worth.
const BURST_US: Micros = SECOND / 4;

/// So many a second, and `BURST_US` worth of them at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    /// Time spent ahead of the clock.
    spent_until: Micros,
    /// Parts of a microsecond left over, in units of 1 / rate.
    rest: u64,
}

impl Bucket {
    /// Take one of `per_s` (1..); false when there is none.
    pub fn spend(&mut self, per_s: u64, now: Micros) -> bool {
        if self.spent_until < now {
            (self.spent_until, self.rest) = (now, 0);
        }
        if self.spent_until > now + BURST_US {
            return false;
        }
        let cost = SECOND + self.rest;
        self.spent_until += cost / per_s.max(1);
        self.rest = cost % per_s.max(1);
        true
    }
}

#[derive(Debug)]
pub struct Guard {
    seed: u64,
    all: Bucket,
    all_per_s: u64,
    networks: Vec<Bucket>,
}

impl Guard {
    pub fn new(seed: u64) -> Self {
        Guard {
            seed,
            all: Bucket::default(),
            all_per_s: ALL_PER_S,
            networks: vec![Bucket::default(); NETWORKS],
        }
    }

    /// The part of one of `workers` that share a port: all their strangers may be after one.
    pub fn shared(mut self, workers: u8) -> Self {
        self.all_per_s = ALL_PER_S / u64::from(workers.max(1));
        self
    }

    /// Whether a stranger's check may be looked at.
    pub fn admits(&mut self, from: IpAddr, now: Micros) -> bool {
        let at = (mix(network(from) ^ self.seed) as usize) % NETWORKS;
        let own = self.networks.get_mut(at);
        own.is_some_and(|bucket| bucket.spend(NETWORK_PER_S, now))
            && self.all.spend(self.all_per_s, now)
    }
}

/// The first 24 bits of an IPv4 address, or the first 48 of an IPv6 one.
fn network(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => u64::from(u32::from(ip) >> 8),
        IpAddr::V6(ip) => 1 << 63 | (u128::from(ip) >> 80) as u64,
    }
}

/// The finalizer of SplitMix64: every bit of the input moves every bit of the output.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// What one transport has brought in lately.
#[derive(Clone, Copy, Debug, Default)]
pub struct Intake {
    all: Bucket,
    checks: Bucket,
    dtls: Bucket,
    rtcp: Bucket,
}

impl Intake {
    /// Whether one more datagram of `class` may come in, of at most `per_s` a second.
    fn takes(&mut self, class: Class, per_s: u64, now: Micros) -> bool {
        let own = match class {
            Class::Stun => self.checks.spend(CHECKS_PER_S, now),
            Class::Dtls => self.dtls.spend(DTLS_PER_S, now),
            Class::Rtcp => self.rtcp.spend(per_s / RTCP_PART, now),
            _ => true,
        };
        own && self.all.spend(per_s, now)
    }
}

impl Engine {
    /// Whether a transport may bring in one more datagram of `class` now.
    pub(crate) fn within_rate(&mut self, key: usize, class: Class, now: Micros) -> bool {
        let Some(transport) = self.tables.transports.get_mut(key) else {
            return false;
        };
        let within = transport.intake.takes(class, self.limits.packet_rate, now);
        if !within {
            transport.stats.throttled += 1;
            self.counters.drop_rate += 1;
        }
        within
    }

    /// The same of a path of another worker's transport, before what came on it is handed over.
    pub(crate) fn within_rate_elsewhere(&mut self, path: Path, class: Class, now: Micros) -> bool {
        let per_s = self.limits.packet_rate;
        let owner = self.tables.elsewhere.get_mut(&path);
        let within = owner.is_none_or(|owner| owner.intake.takes(class, per_s, now));
        self.counters.drop_rate += u64::from(!within);
        within
    }

    /// Whether one more authentic packet of a source may go on to its viewers.
    pub(crate) fn within_source_rate(&mut self, source_key: usize, now: Micros) -> bool {
        let Some(source) = self.tables.sources.get_mut(source_key) else {
            return false;
        };
        let within = source.intake.spend(self.limits.source_rate, now);
        if !within {
            self.counters.drop_source_rate += 1;
            let home = source.transport();
            if let Some(transport) = home.and_then(|key| self.tables.transports.get_mut(key)) {
                transport.stats.throttled += 1;
            }
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `sent` checks, evenly over a second from `start`, are admitted.
    fn admitted(guard: &mut Guard, from: [u8; 4], sent: u64, start: Micros) -> u64 {
        let at = |n| start + n * SECOND / sent;
        (0..sent)
            .filter(|n| guard.admits(from.into(), at(*n)))
            .count() as u64
    }

    #[test]
    fn one_network_gets_its_part_and_another_all_it_asks_for() {
        let mut guard = Guard::new(7);
        let flood = admitted(&mut guard, [10, 0, 0, 1], 30_000, 0);
        assert!((5_000..=6_300).contains(&flood), "{flood}");
        assert_eq!(admitted(&mut guard, [192, 0, 2, 1], 500, SECOND), 500);
    }

    #[test]
    fn all_networks_together_get_thirty_parts_of_a_hundred() {
        let mut guard = Guard::new(7);
        let from = |n: u64| IpAddr::from([n as u8, (n >> 8) as u8, 0, 1]);
        let sent = 400_000;
        let looked = (0..sent).filter(|n| guard.admits(from(n % 2_000), n * SECOND / sent));
        let looked = looked.count() as u64;
        assert!(
            (ALL_PER_S..=ALL_PER_S * 5 / 4 + 1).contains(&looked),
            "{looked}"
        );
    }

    #[test]
    fn a_bucket_gives_its_rate_exactly_in_the_long_run() {
        for per_s in [1u64, 7, 20_000, 3_000_000] {
            let mut bucket = Bucket::default();
            let steps = (0..4_000_000u64).map(|n| n * 5);
            let got = steps.filter(|now| bucket.spend(per_s, *now)).count() as u64;
            let most = (per_s * 20).min(4_000_000);
            assert!(got >= most.min(per_s * 20), "{per_s}: {got}");
            assert!(got <= per_s * 20 + per_s / 4 + 2, "{per_s}: {got}");
        }
    }

    #[test]
    fn addresses_of_one_network_share_a_counter() {
        assert_eq!(
            network([10, 1, 2, 3].into()),
            network([10, 1, 2, 200].into())
        );
        assert_ne!(network([10, 1, 2, 3].into()), network([10, 1, 3, 3].into()));
        let (a, b) = ("2001:db8:1::1", "2001:db8:1:ffff::2");
        let parsed = |text: &str| network(text.parse().expect("address"));
        assert_eq!(parsed(a), parsed(b));
        assert_ne!(parsed(a), parsed("2001:db8:2::1"));
    }
}

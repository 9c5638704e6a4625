//! A sender, an engine and a viewer over a seeded bad network, in virtual time.

mod support;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use dataplane::demux::{classify, Class};
use dataplane::rtcp::{nacked, parse, put_nack, put_receiver_report, Item};
use dataplane::{Engine, Limits, Micros, MS};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::{vp8, Terminal};

const IN: u32 = 1000;
const OUT: u32 = 2000;
const FRAMES: u64 = 300;
/// Near the wrap of the sequence number, so that the roll-over counter has to be right.
const FIRST: u64 = 65_400;
const FRAME_US: Micros = 10 * MS;

/// A datagram under way: when it arrives, a tie breaker, to the engine or from it, whose, octets.
type Datagram = (Micros, u64, bool, u32, Vec<u8>);

struct Network {
    rng: StdRng,
    loss: f64,
    under_way: BinaryHeap<Reverse<Datagram>>,
    number: u64,
}

impl Network {
    fn carry(&mut self, now: Micros, inward: bool, terminal: u32, data: Vec<u8>) {
        if self.rng.random_bool(self.loss) {
            return;
        }
        let arrives = now + 5 * MS + self.rng.random_range(0..3 * MS);
        self.number += 1;
        self.under_way
            .push(Reverse((arrives, self.number, inward, terminal, data)));
    }
}

struct World {
    engine: Engine,
    network: Network,
    sender: Terminal,
    viewer: Terminal,
    sent: BTreeMap<u16, Vec<u8>>,
    /// Frame bodies the viewer has, by outgoing sequence number.
    got: BTreeMap<u64, Vec<u8>>,
    repairs: u64,
}

impl World {
    fn new(seed: u64, loss: f64) -> World {
        let mut engine = Engine::new(Limits::default(), seed, 1_790_000_000_000_000);
        let sender = Terminal::connect(&mut engine, 1, 0);
        let viewer = Terminal::connect(&mut engine, 2, 0);
        sender.source(&mut engine, 1, IN, 0);
        viewer.sink(&mut engine, 1, OUT, 1, 0);
        let network = Network {
            rng: StdRng::seed_from_u64(seed),
            loss,
            under_way: BinaryHeap::new(),
            number: 0,
        };
        World {
            engine,
            network,
            sender,
            viewer,
            sent: BTreeMap::new(),
            got: BTreeMap::new(),
            repairs: 0,
        }
    }

    fn run(&mut self) {
        let mut now = 0;
        let mut frame = 0;
        while now < FRAMES * FRAME_US + 2_000 * MS {
            if frame < FRAMES && now >= frame * FRAME_US {
                self.send_frame(frame, now);
                frame += 1;
            }
            if now % (20 * MS) == 0 {
                self.ask(now);
            }
            self.deliver(now);
            self.engine.tick(now);
            self.collect(now);
            now += MS;
        }
    }

    fn send_frame(&mut self, frame: u64, now: Micros) {
        let payload = vp8(frame as u16, frame % 100 == 0, &frame.to_be_bytes());
        let data = self
            .sender
            .rtp(IN, FIRST + frame, 3_000 * frame as u32, &payload);
        self.sent.insert((FIRST + frame) as u16, data.clone());
        self.network.carry(now, true, 1, data);
    }

    fn collect(&mut self, now: Micros) {
        while let Some(batch) = self.engine.poll_transmit(now) {
            let terminal = if batch.path == self.sender.path { 1 } else { 2 };
            for data in batch.octets.chunks(batch.segment) {
                self.network.carry(now, false, terminal, data.to_vec());
            }
            self.engine.recycle(batch.octets);
        }
    }

    fn deliver(&mut self, now: Micros) {
        while let Some(Reverse(next)) = self.network.under_way.peek() {
            if next.0 > now {
                return;
            }
            let Some(Reverse((_, _, inward, terminal, mut data))) = self.network.under_way.pop()
            else {
                return;
            };
            match (inward, terminal) {
                (true, 1) => self.engine.receive(&mut data, self.sender.path, now),
                (true, _) => self.engine.receive(&mut data, self.viewer.path, now),
                (false, 1) => self.on_sender(&data, now),
                (false, _) => self.on_viewer(&data),
            }
        }
    }

    /// The sender answers NACKs with the packet itself.
    fn on_sender(&mut self, data: &[u8], now: Micros) {
        if classify(data) != Class::Rtcp {
            return;
        }
        let plain = self.sender.open_rtcp(data);
        let mut items = Vec::new();
        parse(&plain, &mut items).expect("the engine's RTCP is well formed");
        for item in items {
            if let Item::Nack { pairs, .. } = item {
                for seq in nacked(pairs) {
                    if let Some(data) = self.sent.get(&seq).cloned() {
                        self.network.carry(now, true, 1, data);
                    }
                }
            }
        }
    }

    fn on_viewer(&mut self, data: &[u8]) {
        if classify(data) != Class::Rtp {
            return;
        }
        let (header, index, payload) = self.viewer.open(data);
        if header.ssrc == OUT {
            self.got.insert(index, payload);
        } else {
            self.repairs += 1;
            let seq = u16::from_be_bytes([payload[0], payload[1]]);
            let near = *self
                .got
                .keys()
                .next_back()
                .expect("something came before a repair");
            let index = dataplane::seqmap::unwrap(near, seq).expect("near");
            self.got.insert(index, payload[2..].to_vec());
        }
    }

    /// The viewer NACKs every hole it has.
    fn ask(&mut self, now: Micros) {
        let (Some((first, _)), Some((last, _))) =
            (self.got.first_key_value(), self.got.last_key_value())
        else {
            return;
        };
        let holes: Vec<u16> = (*first..*last)
            .filter(|index| !self.got.contains_key(index))
            .map(|index| index as u16)
            .take(50)
            .collect();
        if holes.is_empty() {
            return;
        }
        let mut out = Vec::new();
        put_receiver_report(&mut out, 1, &[]);
        put_nack(&mut out, 1, OUT, &holes);
        let data = self.viewer.rtcp(out);
        self.network.carry(now, true, 2, data);
    }
}

fn frames(world: &World) -> Vec<u64> {
    let bodies = world.got.values();
    bodies
        .map(|p| u64::from_be_bytes(p[7..15].try_into().expect("eight octets")))
        .collect()
}

#[test]
fn every_frame_arrives_in_order_over_a_network_that_loses_a_tenth() {
    for seed in 0..5 {
        let mut world = World::new(seed, 0.1);
        world.run();
        let frames = frames(&world);
        let first = frames[0];
        assert_eq!(first % 100, 0, "a viewer starts at a key frame");
        let expected: Vec<u64> = (first..FRAMES).collect();
        let missing: BTreeSet<u64> = expected.iter().copied().collect();
        let missing: Vec<_> = missing
            .difference(&frames.iter().copied().collect())
            .copied()
            .collect();
        // The last frames have no successor to reveal their loss.
        assert!(
            missing.iter().all(|f| *f + 3 > FRAMES),
            "seed {seed} lost {missing:?}"
        );
        assert!(
            frames.windows(2).all(|pair| pair[0] < pair[1]),
            "numbers follow the source's order"
        );
        let stats = world.engine.stats();
        assert!(world.repairs > 0 && stats.sources[0].1.nacks_sent > 0);
    }
}

#[test]
fn a_clean_network_needs_no_repair() {
    let mut world = World::new(9, 0.0);
    world.run();
    assert_eq!(frames(&world), (0..FRAMES).collect::<Vec<_>>());
    assert_eq!(
        (world.repairs, world.engine.stats().engine.drop_late),
        (0, 0)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Authenticated but hostile: the peer's own keys around arbitrary headers, payloads and RTCP.
    #[test]
    fn a_hostile_participant_never_makes_the_engine_panic(
        packets in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 8..80)), 1..60),
    ) {
        let mut world = World::new(1, 0.0);
        for (at, (control, mut octets)) in packets.into_iter().enumerate() {
            let now = at as Micros * 7 * MS;
            let mut data = if control {
                octets[0] = 0x80 | octets[0] & 0x3F;
                octets[1] = 200 + octets[1] % 8;
                world.viewer.rtcp(octets)
            } else {
                let index = u64::from(octets[0]) << 8 | u64::from(octets[1]);
                world.sender.rtp(IN, index, at as u32, &octets[2..])
            };
            let path = if control { world.viewer.path } else { world.sender.path };
            world.engine.receive(&mut data, path, now);
            world.engine.tick(now);
            while let Some(batch) = world.engine.poll_transmit(now) {
                world.engine.recycle(batch.octets);
            }
        }
    }

    #[test]
    fn any_datagram_from_a_verified_path_is_survived(
        datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..60),
    ) {
        let mut world = World::new(1, 0.0);
        let before = world.engine.stats().engine.packets_forwarded;
        for mut data in datagrams {
            let path = world.sender.path;
            world.engine.receive(&mut data, path, MS);
        }
        prop_assert_eq!(world.engine.stats().engine.packets_forwarded, before);
    }
}

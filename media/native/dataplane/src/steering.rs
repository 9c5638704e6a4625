//! Which worker's socket the kernel is to hand a datagram to: that of the sender's transport.
//!
//! Left alone, the kernel spreads senders over the sockets that share a port, and what comes to the
//! wrong worker is copied and crosses.  Here is a small program for it (classic BPF, which needs no
//! privilege): the sender's address and port choose one of a few thousand places, and a place has
//! the worker of the first who came to be there.  Two senders of different workers in one place cost
//! one of them the crossing, no more.

use std::net::{IpAddr, SocketAddr};

use hashbrown::HashMap;

use crate::types::{Path, STREAM};

/// Words of the table in the program; as many as a conditional jump, of 255 instructions at most,
/// reaches over half of.
const WORDS: usize = 128;
const WORD_BITS: u32 = 32;
/// Odd numbers that mix address and port; from the finalizer of MurmurHash3 and the golden ratio.
const MIX: [u32; 3] = [0x9E37_79B1, 0x85EB_CA6B, 0xC2B2_AE35];
/// What no socket has: the kernel then spreads by itself.
const NOBODY: u32 = u32::MAX;

/// Where the network header begins (`SKF_NET_OFF`).
const NET: u32 = 0xFFF0_0000;
// Operations of classic BPF, as `linux/filter.h` and `linux/bpf_common.h` number them.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_NUMBER: u16 = 0x00;
const LOAD_SAVED: u16 = 0x60;
const SAVE: u16 = 0x02;
const MUL: u16 = 0x24;
const AND: u16 = 0x54;
const SHIFT: u16 = 0x74;
const SHIFT_BY_X: u16 = 0x7C;
const XOR: u16 = 0xA4;
const XOR_X: u16 = 0xAC;
const TO_X: u16 = 0x07;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
const RETURN_NUMBER: u16 = 0x16;

/// One instruction, laid out as the kernel's `sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    pub code: u16,
    pub yes: u8,
    pub no: u8,
    pub number: u32,
}

const fn step(code: u16, number: u32) -> Instruction {
    Instruction {
        code,
        yes: 0,
        no: 0,
        number,
    }
}

/// The places, and who is there.
pub struct Steering {
    workers: u8,
    seed: u32,
    /// Bits that hold a worker's number: 1, 2, 4 or 8.
    bits: u32,
    /// The worker of each place.
    places: Vec<u8>,
    /// The worker of each sender.
    homes: HashMap<Path, u8>,
    /// How many senders of each worker are in a place where anybody is.
    there: HashMap<(usize, u8), usize>,
    changed: bool,
}

impl Steering {
    /// For `workers`, 1..=64.  What place a sender has, only the seed says.
    pub fn new(workers: u8, seed: u64) -> Self {
        let bits = match workers {
            0..=2 => 1,
            3..=4 => 2,
            5..=16 => 4,
            _ => 8,
        };
        let count = WORDS * (WORD_BITS / bits) as usize;
        let spread = (0..count).map(|at| (at % usize::from(workers.max(1))) as u8);
        Steering {
            workers,
            seed: seed as u32,
            bits,
            places: spread.collect(),
            homes: HashMap::new(),
            there: HashMap::new(),
            changed: true,
        }
    }

    /// Workers in a word.
    fn per_word(&self) -> u32 {
        WORD_BITS / self.bits
    }

    /// Bits of a place's number.
    fn width(&self) -> u32 {
        self.places.len().trailing_zeros()
    }

    fn place(&self, peer: SocketAddr) -> usize {
        let ip = match peer.ip() {
            IpAddr::V4(ip) => u32::from(ip),
            IpAddr::V6(ip) => u128::from(ip) as u32,
        };
        let (ip, port) = (ip ^ self.seed, u32::from(peer.port()));
        let mixed = ip.wrapping_mul(MIX[0]) ^ port.wrapping_mul(MIX[1]);
        (mixed.wrapping_mul(MIX[2]) >> (WORD_BITS - self.width())) as usize
    }

    /// A worker has a transport whose peer sends from there.
    pub fn came(&mut self, path: Path, worker: u8) {
        if path.socket == STREAM || self.homes.get(&path) == Some(&worker) {
            return;
        }
        if let Some(before) = self.homes.insert(path, worker) {
            self.leave(path, before);
        }
        let place = self.place(path.peer);
        *self.there.entry((place, worker)).or_default() += 1;
        self.settle(place);
    }

    /// It has no more.
    pub fn went(&mut self, path: Path, worker: u8) {
        if self.homes.get(&path) == Some(&worker) {
            self.homes.remove(&path);
            self.leave(path, worker);
            self.settle(self.place(path.peer));
        }
    }

    fn leave(&mut self, path: Path, worker: u8) {
        let key = (self.place(path.peer), worker);
        if let Some(count) = self.there.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.there.remove(&key);
            }
        }
    }

    /// A place whose worker has nobody there any more goes to one that has.
    fn settle(&mut self, place: usize) {
        let Some(owner) = self.places.get_mut(place) else {
            return;
        };
        if self.there.contains_key(&(place, *owner)) {
            return;
        }
        let present = |worker: &u8| self.there.contains_key(&(place, *worker));
        if let Some(other) = (0..self.workers).find(present) {
            *owner = other;
            self.changed = true;
        }
    }

    /// Whether the program differs from when this was last asked.
    pub fn changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The program for sockets of one family: it returns the number of a worker, which is that of
    /// its socket.
    pub fn program(&self, ipv4: bool) -> Vec<Instruction> {
        // The header must be as long as it usually is, and say that UDP follows.
        let (at, is, ip, port) = match ipv4 {
            true => (NET, 0x45, NET + 12, NET + 20),
            false => (NET + 6, 17, NET + 20, NET + 40),
        };
        let per_word = self.per_word();
        let mut program = vec![
            step(LOAD_BYTE, at),
            Instruction {
                yes: 1,
                ..step(IF_EQUAL, is)
            },
            step(RETURN, NOBODY),
            step(LOAD_WORD, ip),
            step(XOR, self.seed),
            step(MUL, MIX[0]),
            step(SAVE, 1),
            step(LOAD_HALF, port),
            step(MUL, MIX[1]),
            step(TO_X, 0),
            step(LOAD_SAVED, 1),
            step(XOR_X, 0),
            step(MUL, MIX[2]),
            step(SHIFT, WORD_BITS - self.width()),
            step(SAVE, 0),
            step(AND, per_word - 1),
            step(MUL, self.bits),
            step(TO_X, 0),
            step(LOAD_SAVED, 0),
            step(SHIFT, per_word.trailing_zeros()),
        ];
        let table = self.table();
        let end = program.len() + tree_len(table.len());
        tree(&mut program, &table, 0, end);
        program.extend([
            step(SHIFT_BY_X, 0),
            step(AND, (1u32 << self.bits) - 1),
            step(RETURN_NUMBER, 0),
        ]);
        program
    }

    fn table(&self) -> Vec<u32> {
        let words = self.places.chunks(self.per_word() as usize);
        let word = |places: &[u8]| {
            let numbered = (0u32..).zip(places);
            numbered.fold(0, |word, (at, worker)| {
                word | u32::from(*worker) << (at * self.bits)
            })
        };
        words.map(word).collect()
    }
}

/// Instructions of the tree over so many words.
fn tree_len(words: usize) -> usize {
    3 * words - 1
}

/// Load the word whose number is in the accumulator, `first` being the first, and go on at `end`.
fn tree(program: &mut Vec<Instruction>, words: &[u32], first: usize, end: usize) {
    if let [word] = words {
        program.push(step(LOAD_NUMBER, *word));
        let ahead = end - program.len() - 1;
        program.push(step(JUMP, ahead as u32));
        return;
    }
    let (left, right) = words.split_at(words.len() / 2);
    let middle = first + left.len();
    program.push(Instruction {
        // At most 3 * 64 - 1.
        yes: tree_len(left.len()) as u8,
        ..step(IF_AT_LEAST, middle as u32)
    });
    tree(program, left, first, end);
    tree(program, right, middle, end);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(ip: &str, port: u16) -> Path {
        let ip: IpAddr = ip.parse().expect("an address");
        Path {
            socket: 0,
            peer: SocketAddr::new(ip, port),
        }
    }

    /// The network and UDP headers of a datagram from there.
    fn headers(from: SocketAddr) -> Vec<u8> {
        let mut octets = match from.ip() {
            IpAddr::V4(ip) => {
                let mut header = vec![0; 20];
                header[0] = 0x45;
                header[12..16].copy_from_slice(&ip.octets());
                header
            }
            IpAddr::V6(ip) => {
                let mut header = vec![0; 40];
                header[0] = 0x60;
                header[6] = 17;
                header[8..24].copy_from_slice(&ip.octets());
                header
            }
        };
        octets.extend(from.port().to_be_bytes());
        octets
    }

    fn number(octets: &[u8], at: u32, size: usize) -> u32 {
        let at = (at - NET) as usize;
        let octets = octets[at..at + size].iter();
        octets.fold(0, |number, octet| number << 8 | u32::from(*octet))
    }

    /// Run a program as the kernel does.
    fn run(program: &[Instruction], octets: &[u8]) -> u32 {
        let (mut a, mut x, mut saved, mut at) = (0u32, 0u32, [0u32; 16], 0usize);
        loop {
            let next = program[at];
            let k = next.number;
            let jump = |taken: bool| usize::from(if taken { next.yes } else { next.no });
            at += 1;
            match next.code {
                LOAD_WORD => a = number(octets, k, 4),
                LOAD_HALF => a = number(octets, k, 2),
                LOAD_BYTE => a = number(octets, k, 1),
                LOAD_NUMBER => a = k,
                LOAD_SAVED => a = saved[k as usize],
                SAVE => saved[k as usize] = a,
                MUL => a = a.wrapping_mul(k),
                AND => a &= k,
                SHIFT => a >>= k,
                SHIFT_BY_X => a >>= x,
                XOR => a ^= k,
                XOR_X => a ^= x,
                TO_X => x = a,
                JUMP => at += k as usize,
                IF_EQUAL => at += jump(a == k),
                IF_AT_LEAST => at += jump(a >= k),
                RETURN => return k,
                RETURN_NUMBER => return a,
                code => unreachable!("{code:#x}"),
            }
        }
    }

    fn steered(steering: &Steering, path: Path) -> u32 {
        let program = steering.program(path.peer.is_ipv4());
        run(&program, &headers(path.peer))
    }

    #[test]
    fn the_kernel_finds_the_place_that_was_meant() {
        for workers in [1u8, 2, 3, 4, 5, 16, 17, 64] {
            let mut steering = Steering::new(workers, 0x1234_5678_9ABC_DEF0);
            let mut met = HashMap::new();
            for at in 0..200u16 {
                let (v4, v6) = (format!("10.1.{}.7", at % 9), format!("2001:db8::{at:x}"));
                for path in [peer(&v4, 20_000 + at), peer(&v6, 30_000 + at)] {
                    let worker = (at % u16::from(workers)) as u8;
                    steering.came(path, worker);
                    met.entry(steering.place(path.peer)).or_insert(worker);
                    let first = met[&steering.place(path.peer)];
                    if at % 10 == 0 {
                        assert_eq!(steered(&steering, path), u32::from(first), "{workers}");
                    }
                }
            }
        }
    }

    /// Two senders in one place.
    fn neighbours(steering: &Steering) -> (Path, Path) {
        let one = peer("192.0.2.1", 4_000);
        let mut others = (1..=u16::MAX).map(|port| peer("192.0.2.2", port));
        let other = others.find(|p| steering.place(p.peer) == steering.place(one.peer));
        (one, other.expect("one of 65,535 in 4,096 places"))
    }

    #[test]
    fn a_place_stays_with_its_first_until_that_one_has_gone() {
        let mut steering = Steering::new(2, 7);
        let (one, other) = neighbours(&steering);
        for (first, second) in [(0, 1), (1, 0)] {
            steering.came(one, first);
            steering.came(other, second);
            steering.came(one, first);
            assert_eq!(steered(&steering, other), u32::from(first));
            steering.went(one, first);
            assert_eq!(steered(&steering, other), u32::from(second));
            steering.went(other, second);
            assert_eq!(
                steered(&steering, one),
                u32::from(second),
                "nobody is there"
            );
        }
        assert!(steering.there.is_empty() && steering.homes.is_empty());
    }

    #[test]
    fn a_sender_that_another_worker_has_taken_is_that_ones() {
        let mut steering = Steering::new(2, 7);
        let path = peer("192.0.2.1", 4_000);
        steering.came(path, 0);
        steering.came(path, 1);
        steering.went(path, 0);
        assert_eq!(steered(&steering, path), 1);
        steering.went(path, 1);
        assert!(steering.there.is_empty() && steering.homes.is_empty());
    }

    #[test]
    fn only_what_the_kernel_would_do_otherwise_is_a_change() {
        let mut steering = Steering::new(2, 7);
        assert!(steering.changed(), "never told before");
        let (one, other) = neighbours(&steering);
        let owner = steering.places[steering.place(one.peer)];
        steering.came(one, owner);
        steering.came(other, 1 - owner);
        assert!(!steering.changed());
        steering.went(one, owner);
        assert!(steering.changed());
        assert!(!steering.changed());
    }

    #[test]
    fn streams_and_strange_headers_are_left_to_the_kernel() {
        let mut steering = Steering::new(2, 7);
        let path = peer("192.0.2.1", 4_000);
        let stream = Path {
            socket: STREAM,
            ..path
        };
        steering.came(stream, 0);
        assert!(steering.there.is_empty());
        let mut headers = headers(path.peer);
        headers[0] = 0x46;
        assert_eq!(run(&steering.program(true), &headers), NOBODY);
    }

    #[test]
    fn a_program_is_as_long_as_the_kernel_takes_and_its_jumps_reach() {
        for workers in [2, 4, 16, 64] {
            let program = Steering::new(workers, 7).program(true);
            assert!(program.len() < 4_096, "{}", program.len());
            let jumps = program.iter().enumerate().filter(|(_, i)| i.code == JUMP);
            for (at, jump) in jumps {
                assert_eq!(at + 1 + jump.number as usize, program.len() - 3);
            }
        }
    }
}

//! Datagrams taken off a socket, many per system call; trains the kernel joined are cut again.
//!
//! Every pointer handed to the kernel is to an array that outlives the call and is as long as the
//! length beside it says.

use std::io;
use std::mem::{size_of, zeroed, MaybeUninit};
use std::net::SocketAddr;
use std::os::fd::RawFd;

use crate::socket::{set_option, Name, BURST};

/// Longest datagram taken whole; anything longer is no media of ours.
const DATAGRAM: usize = 2048;
/// A train is at most as long as an IP packet.  Not a multiple of 4096: trains would otherwise all
/// begin in the same sets of the processor's cache.
const TRAIN: usize = 65_536 + 192;
/// Room for the size of a train's datagrams and the time of its arrival.
const CONTROL: usize = 64;
/// Fewest messages asked for at a time.
const LEAST: usize = 8;

/// Say whether the kernel is to hand over trains of datagrams from one peer joined (`UDP_GRO`).
/// False where it cannot.
///
/// A node fed by a link spends a quarter less on 12,000 packets a second so, and a tenth less on
/// 4,000; beside terminals, who send one by one, no difference was found.
pub fn join_trains(fd: RawFd, join: bool) -> bool {
    set_option(fd, libc::SOL_UDP, libc::UDP_GRO, i32::from(join))
}

/// Have the kernel say when it took each message in.
pub fn stamp_arrivals(fd: RawFd) -> bool {
    set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
}

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// What came with one message.
#[derive(Clone, Copy, Default)]
struct Arrived {
    len: usize,
    /// It was longer than our buffer.
    cut: bool,
    /// Size of every datagram but the last.
    segment: usize,
    at_us: Option<u64>,
}

/// One datagram.
pub struct Received<'a> {
    pub data: &'a mut [u8],
    pub peer: SocketAddr,
    /// The datagram was longer than we take.
    pub truncated: bool,
    /// Unix time in microseconds at which the kernel took it in, see [`stamp_arrivals`].
    pub at_us: Option<u64>,
}

/// The datagrams of one message.
struct Train<'a> {
    rest: Option<&'a mut [u8]>,
    peer: SocketAddr,
    arrived: Arrived,
}

impl<'a> Iterator for Train<'a> {
    type Item = Received<'a>;

    fn next(&mut self) -> Option<Received<'a>> {
        let rest = self.rest.take()?;
        let at = self.arrived.segment.min(rest.len());
        let (data, left) = rest.split_at_mut(at);
        self.rest = (!left.is_empty()).then_some(left);
        Some(Received {
            truncated: self.arrived.cut || data.len() > DATAGRAM,
            data,
            peer: self.peer,
            at_us: self.arrived.at_us,
        })
    }
}

/// Room for one burst of messages, each a datagram or a train of them.  Memory is touched only as
/// far as messages reach.
pub struct Inbox {
    octets: Vec<u8>,
    names: [Name; BURST],
    controls: [Control; BURST],
    arrived: [Arrived; BURST],
    /// How many the next call asks for: twice what came last, so that a trickle is cheap.
    asked: usize,
}

impl Inbox {
    pub fn new() -> Self {
        Inbox {
            octets: vec![0; BURST * TRAIN],
            names: [Name::default(); BURST],
            controls: [Control([0; CONTROL]); BURST],
            arrived: [Arrived::default(); BURST],
            asked: LEAST,
        }
    }

    /// Take messages without waiting.  Returns how many came, up to 64, and whether more may be
    /// waiting.
    pub fn fill(&mut self, fd: RawFd) -> io::Result<(usize, bool)> {
        let mut messages = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; BURST];
        let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; BURST];
        let asked = self.asked;
        let buffers = self.octets.chunks_exact_mut(TRAIN);
        for (at, buffer) in buffers.take(asked).enumerate() {
            let vector = vectors[at].write(libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: TRAIN,
            });
            // SAFETY: all-zero is a valid value of this plain C structure.
            let message = messages[at].write(unsafe { zeroed() });
            let header = &mut message.msg_hdr;
            header.msg_name = (&raw mut self.names[at].storage).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = self.controls[at].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL as _;
        }
        // SAFETY: the first `asked` headers and vectors are written; they, the names, the controls
        // and the buffers live until the call returns, and every length beside them is that of the
        // array it describes.
        let came = unsafe {
            libc::recvmmsg(
                fd,
                messages.as_mut_ptr().cast(),
                asked as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let came = usize::try_from(came).map_err(|_| io::Error::last_os_error())?;
        for (arrived, message) in self.arrived.iter_mut().zip(&messages[..came]) {
            // SAFETY: `came` <= `asked`, and the first `asked` headers are written.
            let message = unsafe { message.assume_init_ref() };
            // SAFETY: the kernel filled in this header and the control buffer it points to, which
            // is ours and not touched since.
            *arrived = unsafe { read(message) };
        }
        self.asked = (2 * came).clamp(LEAST, BURST);
        Ok((came, came == asked))
    }

    /// The datagrams of the first `came` messages.
    pub fn datagrams(&mut self, came: usize) -> impl Iterator<Item = Received<'_>> {
        let buffers = self.octets.chunks_exact_mut(TRAIN);
        let messages = buffers.zip(&self.names).zip(&self.arrived).take(came);
        let trains = messages.filter_map(|((buffer, name), &arrived)| {
            Some(Train {
                rest: Some(buffer.get_mut(..arrived.len.min(TRAIN))?),
                peer: name.address()?,
                arrived,
            })
        });
        trains.flatten()
    }
}

/// # Safety
/// `recvmmsg` has filled in the message, and what its control points to is still there.
unsafe fn read(message: &libc::mmsghdr) -> Arrived {
    let header = &message.msg_hdr;
    let len = message.msg_len as usize;
    let mut arrived = Arrived {
        len,
        cut: header.msg_flags & libc::MSG_TRUNC != 0,
        segment: len,
        at_us: None,
    };
    // SAFETY: the kernel says in `msg_controllen` how much it wrote; the macros stay inside that.
    // A control message of these kinds is as long as the value read from it.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(header);
        while !next.is_null() {
            let data = libc::CMSG_DATA(next);
            match ((*next).cmsg_level, (*next).cmsg_type) {
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let segment = data.cast::<libc::c_int>().read_unaligned();
                    arrived.segment = usize::try_from(segment).unwrap_or(0).max(1);
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    let time = data.cast::<libc::timespec>().read_unaligned();
                    arrived.at_us =
                        Some(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000);
                }
                _ => {}
            }
            next = libc::CMSG_NXTHDR(header, next);
        }
    }
    arrived
}

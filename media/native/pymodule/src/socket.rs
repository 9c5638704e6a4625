//! UDP sockets: many datagrams per system call out; `inbox` takes them in.
//!
//! All `unsafe` of the send path is here.  Every pointer handed to the kernel is to a
//! local array that outlives the call and is as long as the length beside it says.

use std::io;
use std::mem::{size_of, zeroed, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, RawFd};

use dataplane::steering::Instruction;
use dataplane::Batch;
use socket2::{Domain, Protocol, Socket, Type};

use crate::inbox::join_trains;

/// Datagrams per system call.
pub const BURST: usize = 64;
const BUFFER: usize = 4 << 20;
const CONTROL: usize = 32;

/// A bound, non-blocking socket of one address family.
pub struct Udp {
    socket: Socket,
    pub address: SocketAddr,
    /// Whether the kernel and the path have not yet refused segmentation offload.
    pub gso: bool,
    /// What the kernel has thrown away of what came here, as it says itself, and as a whole.
    dropped_now: u32,
    dropped: u64,
}

/// What sending has cost so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct SendCounts {
    /// System calls.
    pub calls: u64,
    /// Messages: one datagram, or one train of segments.
    pub sends: u64,
    pub gso_sends: u64,
    pub gso_refused: u64,
    pub send_errors: u64,
}

impl SendCounts {
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.sends += other.sends;
        self.gso_sends += other.gso_sends;
        self.gso_refused += other.gso_refused;
        self.send_errors += other.send_errors;
    }
}

impl Udp {
    /// Bind as many sockets as there are workers to one port; 0 lets the system choose.  Which of
    /// them a datagram reaches depends on whom it is from.
    ///
    /// The first is bound alone, so that a port somebody else has is refused, and shared then.
    pub fn bind_for(ip: IpAddr, port: u16, workers: usize) -> io::Result<Vec<Self>> {
        let first = Udp::bind(ip, port, false)?;
        let port = first.address.port();
        let mut all = vec![first];
        if let Some(first) = all.first().filter(|_| workers > 1) {
            first.socket.set_reuse_port(true)?;
        }
        while all.len() < workers {
            all.push(Udp::bind(ip, port, true)?);
        }
        Ok(all)
    }

    /// Bind one, by itself or as one of several; port 0 lets the system choose.
    pub fn bind(ip: IpAddr, port: u16, shared: bool) -> io::Result<Self> {
        let domain = if ip.is_ipv4() {
            Domain::IPV4
        } else {
            Domain::IPV6
        };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if ip.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        if shared {
            socket.set_reuse_port(true)?;
        }
        // The system may grant less; that costs packets under load, not correctness.
        let _ = socket.set_recv_buffer_size(BUFFER);
        let _ = socket.set_send_buffer_size(BUFFER);
        socket.bind(&SocketAddr::new(ip, port).into())?;
        let address = socket
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("socket without an address"))?;
        let fd = socket.as_raw_fd();
        join_trains(fd, true);
        Ok(Udp {
            // A kernel that has not heard of it would send a train as one datagram.
            gso: set_option(fd, libc::SOL_UDP, libc::UDP_SEGMENT, 0),
            socket,
            address,
            dropped_now: 0,
            dropped: 0,
        })
    }

    /// Have the kernel ask `program` which of the sockets that share this one's port a datagram is
    /// for: it says the number of one, in the order in which they were bound, or else they are
    /// spread.  False where the kernel refuses.
    pub fn steer(&self, program: &[Instruction]) -> bool {
        let Ok(len) = libc::c_ushort::try_from(program.len()) else {
            return false;
        };
        let program = libc::sock_fprog {
            len,
            // The kernel only reads from it.
            filter: program.as_ptr().cast_mut().cast(),
        };
        let size = size_of::<libc::sock_fprog>() as libc::socklen_t;
        // SAFETY: the kernel reads the structure, and `len` instructions of the layout of
        // `sock_filter` from the slice it points to; both outlive the call.
        let done = unsafe {
            libc::setsockopt(
                self.fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_REUSEPORT_CBPF,
                (&raw const program).cast(),
                size,
            )
        };
        done == 0
    }

    /// Datagrams the kernel has thrown away here so far, for want of room above all.
    pub fn dropped(&mut self) -> u64 {
        let now = kernel_drops(self.fd());
        self.dropped += u64::from(now.wrapping_sub(self.dropped_now));
        self.dropped_now = now;
        self.dropped
    }

    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Send batches in order.  Returns how many are done with; fewer than all means the socket's
    /// buffer is full.
    pub fn send(&mut self, batches: &[Batch], counts: &mut SendCounts) -> usize {
        let mut done = 0;
        while done < batches.len() {
            let rest = &batches[done..];
            let burst = &rest[..rest.len().min(BURST)];
            counts.calls += 1;
            match send_burst(self.fd(), burst, self.gso) {
                Ok(sent) => {
                    count(&burst[..sent], self.gso, counts);
                    done += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return done,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.refused(&burst[0], &error, counts);
                    done += 1;
                }
            }
        }
        done
    }

    /// The first batch of a burst could not be sent as it is.
    fn refused(&mut self, batch: &Batch, error: &io::Error, counts: &mut SendCounts) {
        let number = error.raw_os_error();
        let offload = matches!(number, Some(libc::EIO | libc::EINVAL | libc::ENOPROTOOPT));
        if batch.count < 2 || !self.gso || !offload {
            counts.send_errors += 1;
            return;
        }
        counts.gso_refused += 1;
        if number != Some(libc::EINVAL) || counts.gso_sends == 0 {
            self.gso = false;
        }
        for segment in batch.octets.chunks(batch.segment.max(1)) {
            counts.calls += 1;
            counts.sends += 1;
            if self
                .socket
                .send_to(segment, &batch.path.peer.into())
                .is_err()
            {
                counts.send_errors += 1;
            }
        }
    }
}

fn count(batches: &[Batch], gso: bool, counts: &mut SendCounts) {
    for batch in batches {
        let train = gso && batch.count > 1;
        counts.sends += if train { 1 } else { batch.count as u64 };
        counts.gso_sends += u64::from(train);
    }
}

#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// What a burst of messages points to.  Only the entries of messages handed to the kernel are
/// written: setting up all of them would cost more than a small burst's own work.
struct Burst {
    messages: [MaybeUninit<libc::mmsghdr>; BURST],
    vectors: [MaybeUninit<libc::iovec>; BURST],
    names: [MaybeUninit<Name>; BURST],
    controls: [MaybeUninit<Control>; BURST],
    used: usize,
}

impl Burst {
    fn new() -> Self {
        Burst {
            messages: [const { MaybeUninit::uninit() }; BURST],
            vectors: [const { MaybeUninit::uninit() }; BURST],
            names: [const { MaybeUninit::uninit() }; BURST],
            controls: [const { MaybeUninit::uninit() }; BURST],
            used: 0,
        }
    }

    /// Add a message to `name`; `segment` is the size of the datagrams it is to be cut into.
    fn push(&mut self, octets: &[u8], name: Name, segment: Option<u16>) {
        let at = self.used;
        // SAFETY: all-zero is a valid value of this plain C structure.
        let message = self.messages[at].write(unsafe { zeroed() });
        let header = &mut message.msg_hdr;
        let name = self.names[at].write(name);
        header.msg_name = (&raw mut name.storage).cast();
        header.msg_namelen = name.len;
        header.msg_iov = self.vectors[at].write(vector(octets));
        header.msg_iovlen = 1;
        if let Some(segment) = segment {
            let control = self.controls[at].write(Control([0; CONTROL]));
            set_segment(header, control, segment);
        }
        self.used += 1;
    }

    /// One `sendmmsg`.  Returns how many messages the kernel took.
    fn send(&mut self, fd: RawFd) -> io::Result<usize> {
        // SAFETY: the first `used` headers are written, and everything they point to lives in
        // this structure, which has not moved since, or in the caller's octets.
        let sent = unsafe {
            libc::sendmmsg(
                fd,
                self.messages.as_mut_ptr().cast(),
                self.used as libc::c_uint,
                libc::MSG_DONTWAIT as _,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// Send a run of batches.  Without offload only the first is sent, one message per segment.
fn send_burst(fd: RawFd, batches: &[Batch], gso: bool) -> io::Result<usize> {
    if !gso && batches[0].count > 1 {
        return send_segments(fd, &batches[0]);
    }
    let mut burst = Burst::new();
    for batch in batches.iter().take(BURST) {
        let train = batch.count > 1;
        if train && !gso {
            break;
        }
        let segment = train.then_some(batch.segment as u16);
        burst.push(&batch.octets, Name::of(&batch.path.peer), segment);
    }
    burst.send(fd)
}

fn send_segments(fd: RawFd, batch: &Batch) -> io::Result<usize> {
    let mut burst = Burst::new();
    for segment in batch.octets.chunks(batch.segment.max(1)).take(BURST) {
        burst.push(segment, Name::of(&batch.path.peer), None);
    }
    burst.send(fd).map(|_| 1)
}

fn vector(octets: &[u8]) -> libc::iovec {
    libc::iovec {
        // The kernel only reads from it.
        iov_base: octets.as_ptr().cast_mut().cast(),
        iov_len: octets.len(),
    }
}

fn set_segment(header: &mut libc::msghdr, control: &mut Control, segment: u16) {
    header.msg_control = control.0.as_mut_ptr().cast();
    // SAFETY: pure arithmetic on a small constant.
    header.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<u16>() as u32) } as _;
    // SAFETY: `msg_control` is an aligned buffer of 32 octets, longer than CMSG_SPACE(2) = 24, so
    // the first control header and its two octets of data lie inside it.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(header);
        (*first).cmsg_level = libc::SOL_UDP;
        (*first).cmsg_type = libc::UDP_SEGMENT;
        (*first).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as _;
        libc::CMSG_DATA(first)
            .cast::<u16>()
            .write_unaligned(segment);
    }
}

/// A socket address in the kernel's form.
#[derive(Clone, Copy)]
pub struct Name {
    pub storage: libc::sockaddr_in6,
    len: libc::socklen_t,
}

impl Default for Name {
    fn default() -> Self {
        Name {
            // SAFETY: all-zero is a valid value of this plain C structure.
            storage: unsafe { zeroed() },
            len: size_of::<libc::sockaddr_in6>() as libc::socklen_t,
        }
    }
}

impl Name {
    fn of(address: &SocketAddr) -> Self {
        let mut name = Name::default();
        match address {
            SocketAddr::V4(v4) => {
                let plain = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr {
                        s_addr: u32::from_ne_bytes(v4.ip().octets()),
                    },
                    sin_zero: [0; 8],
                };
                name.len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
                // SAFETY: sockaddr_in6 is longer than sockaddr_in and as strictly aligned.
                unsafe {
                    (&raw mut name.storage)
                        .cast::<libc::sockaddr_in>()
                        .write(plain)
                };
            }
            SocketAddr::V6(v6) => {
                name.storage.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                name.storage.sin6_port = v6.port().to_be();
                name.storage.sin6_addr.s6_addr = v6.ip().octets();
                name.storage.sin6_scope_id = v6.scope_id();
            }
        }
        name
    }

    pub fn address(&self) -> Option<SocketAddr> {
        match i32::from(self.storage.sin6_family) {
            libc::AF_INET => {
                // SAFETY: the kernel wrote a sockaddr_in into the longer structure.
                let plain = unsafe { (&raw const self.storage).cast::<libc::sockaddr_in>().read() };
                let ip = Ipv4Addr::from(plain.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddr::new(ip.into(), u16::from_be(plain.sin_port)))
            }
            libc::AF_INET6 => {
                let ip = Ipv6Addr::from(self.storage.sin6_addr.s6_addr);
                let port = u16::from_be(self.storage.sin6_port);
                let scope = self.storage.sin6_scope_id;
                Some(SocketAddrV6::new(ip, port, 0, scope).into())
            }
            _ => None,
        }
    }
}

/// Datagrams the kernel has thrown away at a socket, modulo 2^32; 0 where it does not say.
pub fn kernel_drops(fd: RawFd) -> u32 {
    // `linux/sock_diag.h`: nine numbers, of which the last.
    const DROPS: usize = 8;
    let mut numbers = [0u32; DROPS + 1];
    let mut size = size_of_val(&numbers) as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` octets to the array, which is as long.
    let done = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    if done == 0 {
        numbers[DROPS]
    } else {
        0
    }
}

/// Set a socket option that is an int.  False where the kernel refuses.
pub fn set_option(fd: RawFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> bool {
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads one int, which lives here and whose size is given.
    unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size) == 0 }
}

/// What to wait for on one descriptor.
pub fn poll(fd: RawFd, events: i16) -> libc::pollfd {
    libc::pollfd {
        fd,
        events,
        revents: 0,
    }
}

/// Wait until one of `fds` is ready or `timeout_us` is over.
pub fn wait(fds: &mut [libc::pollfd], timeout_us: Option<u64>) {
    let spec = timeout_us.map(|us| libc::timespec {
        tv_sec: (us / 1_000_000) as libc::time_t,
        tv_nsec: (us % 1_000_000 * 1_000) as libc::c_long,
    });
    let spec = spec.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `fds` is a live slice, `spec` is null or points to a live timespec.  An error leaves
    // the loop to try again, which is what it would do anyway.
    unsafe {
        libc::ppoll(
            fds.as_mut_ptr(),
            fds.len() as libc::nfds_t,
            spec,
            std::ptr::null(),
        );
    }
}

/// Let this thread's timers be exact to a microsecond instead of fifty.
pub fn sharpen_timers() {
    // SAFETY: PR_SET_TIMERSLACK takes one integer and touches only this thread.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_000u64, 0u64, 0u64, 0u64) };
}

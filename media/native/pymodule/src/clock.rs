//! The only clocks of the native module.

use std::os::unix::thread::JoinHandleExt;
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use dataplane::Micros;

/// Microseconds since it was made.
#[derive(Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Clock(Instant::now())
    }

    pub fn now(&self) -> Micros {
        self.0.elapsed().as_micros() as Micros
    }
}

/// Unix time in microseconds.
pub fn unix_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64)
}

/// Processor time of the calling thread, nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Processor time of a thread that was not joined yet, nanoseconds; 0 once it has ended.
pub fn cpu_ns_of(thread: &JoinHandle<()>) -> u64 {
    let mut clock = 0;
    // SAFETY: the handle is held, so its pthread_t is valid; `clock` is there to be written to.
    let known = unsafe { libc::pthread_getcpuclockid(thread.as_pthread_t(), &mut clock) } == 0;
    if known {
        read(clock)
    } else {
        0
    }
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut spec = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `spec` is a valid timespec for the kernel to write to.
    let failed = unsafe { libc::clock_gettime(clock, &mut spec) } != 0;
    if failed {
        return 0;
    }
    spec.tv_sec as u64 * 1_000_000_000 + spec.tv_nsec as u64
}

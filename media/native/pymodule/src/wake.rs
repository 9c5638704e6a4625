//! An eventfd: readable while something waits.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

pub struct Wake(File);

impl Wake {
    pub fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers; the descriptor it returns is ours alone.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just created, is open, and nobody else owns it.
        Ok(Wake(unsafe { File::from_raw_fd(fd) }))
    }

    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Make it readable.  A full counter is readable already.
    pub fn set(&self) {
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }

    /// Make it unreadable.  One that is not set stays so.
    pub fn clear(&self) {
        let _ = (&self.0).read(&mut [0u8; 8]);
    }
}

"""What a process that reads what strangers sent gives up first.

Used by the workers ``picture.py`` and ``lens.py``: each is a process of its own, started for one picture.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_TSYNC = 1
NOBODY = 65_534

MACHINES = {
    # open, creat, openat, openat2, socket, connect, bind, execve, execveat, ptrace, process_vm_readv and _writev,
    # io_uring_setup, pidfd_getfd; the second machine has no open and no creat
    "x86_64": (0xC000003E, 317, (2, 85, 257, 437, 41, 42, 49, 59, 322, 101, 310, 311, 425, 438)),
    "aarch64": (0xC00000B7, 277, (56, 437, 198, 203, 200, 221, 281, 117, 270, 271, 425, 438)),
}
"""Of each machine: its AUDIT_ARCH, the number of seccomp(2), the calls that open, connect to or start something.

Source: Linux include/uapi/linux/audit.h, arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h.
"""


def confine(memory_bytes: int, cpu_s: int) -> None:
    """Be nobody if we are root, gain no right, write no file, end with our parent, and keep within the limits.

    Called when all modules are loaded: nobody may not be able to read them.
    """
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    os.nice(5)  # a picture may wait, a voice may not
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # a change of user takes it away
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def open_nothing() -> None:
    """Give up, in all threads, opening files and connections and starting anything; what is open stays so.

    The limit alone does it for code that is only misled; poll(2) takes no more descriptors than it, and the first
    three are taken.  The filter does it for code that is no longer ours, on machines whose calls we know.
    """
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
    known = MACHINES.get(platform.machine())
    if known is not None:
        arch, number, denied = known
        program = _filter(arch, denied)
        held = ctypes.create_string_buffer(program, len(program))
        head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held))
        ctypes.CDLL(None).syscall(number, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, head)


def _filter(arch: int, denied: Sequence[int]) -> bytes:
    """Return the BPF program: another machine's calls and ``denied`` ones give EPERM, others pass.

    Source: Linux Documentation/userspace-api/seccomp_filter.rst; struct seccomp_data: nr at 0, arch at 4.
    """
    load, equal, above, give = 0x20, 0x15, 0x35, 0x06
    allow, refuse = 0x7FFF0000, 0x00050001  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO | EPERM
    count = len(denied)
    lines = [(load, 0, 0, 4), (equal, 0, count + 3, arch), (load, 0, 0, 0), (above, count + 1, 0, 0x40000000)]
    lines += [(equal, count - place, 0, call) for place, call in enumerate(denied)]
    lines += [(give, 0, 0, allow), (give, 0, 0, refuse)]
    return b"".join(struct.pack("HBBI", *line) for line in lines)

"""Sandbox of an engine worker, entered after the engine is loaded and before the first image is read.

The worker can then compute, allocate within its limit, read and write its two pipes, and end. It can open no file or
socket, start no process or thread, and signal no other process. Each protection is applied and verified separately. If
the kernel or a library lacks one, the others still hold, and ``/readyz`` reports the sandbox as "reduced".
"""

import ctypes
import mmap
import os
import resource
import sys
from collections.abc import Callable
from typing import Any, Final

from app.kit.process_memory import forbid_new_privileges, forbid_readers, prctl

try:
    import pyseccomp
except (ImportError, RuntimeError, OSError):  # the package or the system's libseccomp is not installed
    pyseccomp = None

ALLOWED_SYSTEM_CALLS: Final = (
    *("read", "readv", "write", "writev", "close", "lseek", "fstat"),  # on open descriptors
    *("munmap", "mremap", "brk", "madvise"),
    *("futex", "set_robust_list", "rseq", "membarrier", "sched_yield", "sched_getaffinity", "getcpu"),
    *("clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "getrusage"),
    *("rt_sigreturn", "rt_sigaction", "rt_sigprocmask", "sigaltstack", "restart_syscall"),
    *("getpid", "gettid", "getrandom", "exit", "exit_group"),
)
"""System calls of a loaded engine. The kernel refuses all others, including future ones."""
_EPERM: Final = 1
_PR_SET_PDEATHSIG: Final = 1
_SIGKILL: Final = 9
_CAPABILITY_VERSION: Final = 0x20080522


def die_with_parent(parent: int) -> bool:
    """Ask the kernel to end this process when the thread that started it ends. Return whether it will."""
    armed = prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != parent:  # the parent ended before the call
        sys.exit(1)
    return armed


def enter_sandbox(memory_bytes: int) -> tuple[str, ...]:
    """Apply every protection, permanently and for all threads. Return the names of those that are missing."""
    protections: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("limits", lambda: _limit(memory_bytes)),
        ("no_new_privileges", forbid_new_privileges),
        ("no_capabilities", _drop_capabilities),
        ("unreadable", forbid_readers),
        ("system_call_filter", _filter),
    )
    return tuple(name for name, apply in protections if not apply())


def _limit(memory_bytes: int) -> bool:
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: 0,  # open files stay usable, no further one can be opened
        resource.RLIMIT_NPROC: 0,
    }
    try:
        for kind, limit in limits.items():
            resource.setrlimit(kind, (limit, limit))
    except (ValueError, OSError):
        return False
    return True


def _drop_capabilities() -> bool:
    """Give up what a process of root could do: trace others, read any file, and so on. Return whether none is left."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    none, left = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    try:
        libc = ctypes.CDLL(None)
        done = libc.capset(header, none) == 0 and libc.capget(header, left) == 0
    except AttributeError:  # not Linux
        return False
    return done and not any(left)


def has_seccomp() -> bool:
    """Return whether this machine can filter system calls."""
    return pyseccomp is not None


def _filter() -> bool:
    if not has_seccomp():
        return False
    try:
        rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(_EPERM))  # an error, not a kill: libraries handle errors
        rules.set_attr(pyseccomp.Attr.CTL_TSYNC, 1)  # also the threads that libraries started
        for call in ALLOWED_SYSTEM_CALLS:
            _allow(rules, call)
        not_executable = pyseccomp.Arg(2, pyseccomp.MASKED_EQ, mmap.PROT_EXEC, 0)
        _allow(rules, "mmap", not_executable)
        _allow(rules, "mprotect", not_executable)
        _allow(rules, "tgkill", pyseccomp.Arg(0, pyseccomp.EQ, os.getpid()))  # abort() signals its own process
        rules.load()
    except (OSError, ValueError, AttributeError):
        return False
    return _filter_works()


def _filter_works() -> bool:
    """Return whether opening a file fails with EPERM, which it does for no other reason."""
    try:
        os.open("/", os.O_RDONLY)
    except OSError as error:
        return error.errno == _EPERM
    return False


def _allow(rules: Any, call: str, *conditions: Any) -> None:  # noqa: ANN401 - pyseccomp has no usable types
    try:
        rules.add_rule(pyseccomp.ALLOW, call, *conditions)
    except (OSError, ValueError):
        if conditions:  # an unknown call needs no rule on this architecture, but a condition must not be lost
            raise

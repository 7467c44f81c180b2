"""How a worker walls itself in, once everything it needs is in memory and before it reads the first image.

What is left to it: compute, allocate within its limit, read and write the two pipes it holds, and end. It can name no
file, open no socket, start no process or thread, and signal nobody. Each wall is tried and verified on its own: where
the kernel or a library lacks one, the others still stand and the missing one is named (``/readyz`` says "reduced").
"""

import ctypes
import mmap
import os
import resource
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

try:
    import pyseccomp
except (ImportError, RuntimeError, OSError):  # the package, or the system's libseccomp, is not there
    pyseccomp = None

_ALLOWED: Final = (
    "read",
    "readv",
    "write",
    "writev",
    "close",
    "lseek",
    "fstat",
    "munmap",
    "mremap",
    "brk",
    "madvise",
    "futex",
    "sched_yield",
    "sched_getaffinity",
    "set_robust_list",
    "rseq",
    "membarrier",
    "getcpu",
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "time",
    "getrusage",
    "rt_sigreturn",
    "rt_sigaction",
    "rt_sigprocmask",
    "sigaltstack",
    "restart_syscall",
    "getpid",
    "gettid",
    "getrandom",
    "exit",
    "exit_group",
)
"""Everything a loaded engine calls. A list of what is allowed: tomorrow's system calls are refused unseen."""
_EPERM: Final = 1
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_GET_NO_NEW_PRIVS, _PR_SET_NO_NEW_PRIVS = 1, 4, 39, 38
_SIGKILL: Final = 9


def die_with_parent(parent: int) -> bool:
    """Have the kernel end this process when the thread that started it ends. Say whether it will."""
    armed = _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != parent:  # it ended before we asked
        sys.exit(1)
    return armed


def enter_sandbox(memory_bytes: int) -> tuple[str, ...]:
    """Put up every wall, for good and for all threads. Return the names of those that could not be."""
    walls: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("limits", lambda: _limit(memory_bytes)),
        ("no_new_privileges", _no_new_privileges),
        ("unreadable", lambda: _prctl(_PR_SET_DUMPABLE, 0)),  # no core dump, no ptrace, no /proc/…/mem for our user
        ("system_call_filter", _filter),
    )
    return tuple(name for name, build in walls if not build())


def _limit(memory_bytes: int) -> bool:
    ceilings = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: 0,  # those open stay usable; no further one can be made
        resource.RLIMIT_NPROC: 0,
    }
    try:
        for kind, ceiling in ceilings.items():
            resource.setrlimit(kind, (ceiling, ceiling))
    except (ValueError, OSError):
        return False
    return True


def _no_new_privileges() -> bool:
    return _prctl(_PR_SET_NO_NEW_PRIVS, 1) and _prctl(_PR_GET_NO_NEW_PRIVS, 0, expected=1)


def has_seccomp() -> bool:
    """Say whether system calls can be filtered here at all."""
    return pyseccomp is not None


def _filter() -> bool:
    if not has_seccomp():
        return False
    try:
        rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(_EPERM))  # an error, not a kill: libraries cope with errors
        rules.set_attr(pyseccomp.Attr.CTL_TSYNC, 1)  # threads that libraries have started are sealed too
        for call in _ALLOWED:
            _allow(rules, call)
        not_executable = pyseccomp.Arg(2, pyseccomp.MASKED_EQ, mmap.PROT_EXEC, 0)
        _allow(rules, "mmap", not_executable)
        _allow(rules, "mprotect", not_executable)
        _allow(rules, "tgkill", pyseccomp.Arg(0, pyseccomp.EQ, os.getpid()))  # abort() is a signal to oneself
        rules.load()
    except (OSError, ValueError, AttributeError):
        return False
    return _refused()


def _refused() -> bool:
    """Say whether the filter holds: with it, asking for a file is not permitted, whoever asks."""
    try:
        os.open("/", os.O_RDONLY)
    except OSError as error:
        return error.errno == _EPERM
    return False


def _allow(rules: Any, call: str, *conditions: Any) -> None:  # noqa: ANN401 - pyseccomp has no usable types
    try:
        rules.add_rule(pyseccomp.ALLOW, call, *conditions)
    except (OSError, ValueError):
        if conditions:  # a call that this architecture has not got needs no rule; a condition must not be lost
            raise


def _prctl(option: int, value: int, *, expected: int = 0) -> bool:
    libc = ctypes.CDLL(None)
    arguments: Sequence[ctypes.c_ulong] = [ctypes.c_ulong(n) for n in (value, 0, 0, 0)]
    try:
        return bool(libc.prctl(option, *arguments) == expected)
    except AttributeError:  # not Linux
        return False

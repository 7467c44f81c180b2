"""The memory of this process: no core dump, no reader of the same user, and secrets in locked pages.

Python copies values as it likes and never wipes `bytes` or `str`. So only the secrets in a `SecretBuffer` have one
known place; `docs/explanation/process-memory.md` names the copies that remain.
"""

import ctypes
import mmap
import resource
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

SECRET_BYTES: Final = 32
"""Size of every secret: a key of 256 bits."""
_REGION_BYTES: Final = 4 * mmap.PAGESIZE
_PR_SET_DUMPABLE, _PR_GET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_GET_NO_NEW_PRIVS = 4, 3, 38, 39
_M_PERTURB, _WIPED = -6, 0xA5


def prctl(option: int, value: int = 0, *, expected: int = 0) -> bool:
    """Call `prctl`. Return whether it answered *expected*; False where there is no such call."""
    arguments = [ctypes.c_ulong(number) for number in (value, 0, 0, 0)]
    try:
        return bool(ctypes.CDLL(None).prctl(option, *arguments) == expected)
    except AttributeError:  # not Linux
        return False


def forbid_core_dump() -> bool:
    """Set the size of core dumps to zero, for this process and its children."""
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ValueError, OSError):
        return False
    return True


def forbid_readers() -> bool:
    """Refuse ptrace, `process_vm_readv` and /proc/…/mem to other processes of the same user, and piped core dumps."""
    return prctl(_PR_SET_DUMPABLE, 0) and prctl(_PR_GET_DUMPABLE, expected=0)


def forbid_new_privileges() -> bool:
    """Refuse further privileges, such as those of a setuid program, to this process and its children."""
    return prctl(_PR_SET_NO_NEW_PRIVS, 1) and prctl(_PR_GET_NO_NEW_PRIVS, expected=1)


def wipe_freed_memory() -> bool:
    """Let the C library overwrite what it frees: bodies of requests, photos and the buffers of other libraries."""
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_PERTURB, _WIPED))
    except AttributeError:  # another C library
        return False


PROTECTIONS: Final[dict[str, Callable[[], bool]]] = {
    "core_size": forbid_core_dump,
    "unreadable": forbid_readers,
    "no_new_privileges": forbid_new_privileges,
    "wiped_when_freed": wipe_freed_memory,
}


def protect_process() -> None:
    """Apply every protection, for good. Call it before the process reads a key."""
    for apply in PROTECTIONS.values():
        apply()


def missing_protections() -> list[str]:
    """Return the protections that do not hold in this process now."""
    holds = {
        "core_size": resource.getrlimit(resource.RLIMIT_CORE) == (0, 0),
        "unreadable": prctl(_PR_GET_DUMPABLE, expected=0),
        "no_new_privileges": prctl(_PR_GET_NO_NEW_PRIVS, expected=1),
        "locked_keys": _memory.locked,
    }
    return [name for name, held in holds.items() if not held]


def wipe(buffer: bytearray | memoryview) -> None:
    """Overwrite *buffer* with zeros."""
    buffer[:] = bytes(len(buffer))


class _LockedMemory:
    """Pages that are neither swapped nor dumped, cut into places for secrets. Thread-safe."""

    def __init__(self) -> None:
        self.locked = True
        """Whether the kernel locked every page so far."""
        self._free: deque[memoryview] = deque()
        self._growing = threading.Lock()

    def take(self) -> memoryview:
        """Return an empty place."""
        while True:
            try:
                return self._free.pop()
            except IndexError:
                self._grow()

    def give_back(self, place: memoryview) -> None:
        """Wipe *place*. Called by destructors, at any moment and in any thread, so it takes no lock."""
        wipe(place)
        self._free.append(place)

    def _grow(self) -> None:
        with self._growing:
            if self._free:
                return
            pages = mmap.mmap(-1, _REGION_BYTES)
            self.locked &= _lock(pages)
            whole = memoryview(pages)
            self._free.extend(whole[at : at + SECRET_BYTES] for at in range(0, _REGION_BYTES, SECRET_BYTES))


def _lock(pages: mmap.mmap) -> bool:
    """Keep *pages* out of swap and of core dumps. Return whether the kernel does both."""
    try:
        pages.madvise(mmap.MADV_DONTDUMP)
        address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
        return bool(ctypes.CDLL(None).mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(pages))) == 0)
    except (AttributeError, OSError):  # not Linux
        return False


_memory: Final = _LockedMemory()


class SecretBuffer:
    """One secret in locked memory, wiped when its last reference is gone."""

    __slots__ = ("view",)

    def __init__(self, secret: bytes | bytearray | memoryview | None = None) -> None:
        self.view = _memory.take()
        """The place of the secret. It must not outlive this object."""
        if secret is not None:
            try:
                self.view[:] = secret
            except ValueError as error:
                raise ValueError(f"a secret has {SECRET_BYTES} bytes") from error

    def fill_randomly(self) -> None:
        """Replace the secret by random bytes, without a copy elsewhere."""
        with open("/dev/urandom", "rb", buffering=0) as source:  # noqa: PTH123 - a device, read unbuffered
            if source.readinto(self.view) != SECRET_BYTES:
                raise OSError("the system gave too few random bytes")

    def __del__(self, give_back: Callable[[memoryview], None] = _memory.give_back) -> None:
        """Wipe the secret."""
        give_back(self.view)

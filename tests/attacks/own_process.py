"""Stands for a worker that a picture took over, on a machine without libseccomp: it reads its parent's memory.

``python -m tests.attacks.own_process protect|leave sandbox|free`` starts the reader as its child, and prints the
bytes that it got.
"""

import ctypes
import os
import subprocess
import sys

from app.faces.workers import sandbox
from app.kit.process_memory import SecretBuffer, protect_process

SECRET = b"0123456789abcdefghijklmnopqrstuv"
_PROCESS_VM_READV = 310


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


def read_parent(address: int) -> bytes:
    """Read the secret of the parent process. Returns no bytes if the kernel refuses."""
    found = ctypes.create_string_buffer(len(SECRET))
    local, remote = _Vector(ctypes.addressof(found), len(SECRET)), _Vector(address, len(SECRET))
    call = ctypes.CDLL(None, use_errno=True).syscall
    count = call(_PROCESS_VM_READV, os.getppid(), ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
    return found.raw if count == len(SECRET) else b""


def _read(address: int, mode: str) -> None:
    if mode == "sandbox":
        setattr(sandbox, "pyseccomp", None)  # noqa: B010 - as if it were not installed
        sandbox.enter_sandbox(1 << 30)
    sys.stdout.write(read_parent(address).decode())


def _hold(protection: str, mode: str) -> None:
    if protection == "protect":
        protect_process()
    secret = SecretBuffer(SECRET)
    address = ctypes.addressof(ctypes.c_char.from_buffer(secret.view))
    command = [sys.executable, "-m", "tests.attacks.own_process", "read", str(address), mode]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["read", where, how]:
            _read(int(where), how)
        case [protection, how]:
            _hold(protection, how)

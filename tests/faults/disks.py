"""Small disks in memory, made by the kernel."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PIECE = 4096


@contextmanager
def small_disk(place: Path, *, mib: int = 16) -> Iterator[None]:
    """Move the content of *place* to a new disk of *mib* MiB, and back at the end of the block."""
    aside = place.with_name(f"{place.name}-aside")
    place.rename(aside)
    place.mkdir(mode=0o700)
    _run("mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=700", "tmpfs", str(place))
    try:
        shutil.copytree(aside, place, dirs_exist_ok=True)
        yield
        shutil.rmtree(aside)
        shutil.copytree(place, aside)
    finally:
        # A worker process may still be closing.
        _run("umount", "--lazy", str(place))
        place.rmdir()
        aside.rename(place)


def mounts(place: Path) -> bool:
    """Return whether this process may mount disks."""
    try:
        _run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place))
    except (OSError, subprocess.CalledProcessError):
        return False
    _run("umount", str(place))
    return True


@contextmanager
def full(place: Path) -> Iterator[Path]:
    """Fill the disk of *place* to the last byte until the block ends."""
    filler = place / "filler"
    fill(filler)
    try:
        yield filler
    finally:
        filler.unlink(missing_ok=True)


def fill(filler: Path) -> None:
    """Let the file grow until its disk is full."""
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(PIECE))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)

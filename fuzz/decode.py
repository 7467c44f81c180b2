"""The atheris target: the decoder, with inputs mutated towards code that no earlier input reached.

    make fuzz                                   half a minute, as in CI
    make fuzz ARGS="-max_total_time=3600"       longer; accepts every option of libFuzzer

Of some inputs a part is also repeated up to the size of the largest upload: an input that costs too much processor time
is a finding, and some cost too much only then.

The coverage of Pillow and of our Python guides the mutations. In the C libraries only crashes are found, and without an
address sanitizer a small overflow may go unseen.
"""

import resource
import struct
import sys
import zlib

import atheris  # type: ignore[import-untyped]  # it has no types

with atheris.instrument_imports(include=["PIL", "app.faces", "fuzz"]):
    from app.faces.workers import decode
    from fuzz import full_size, rule

MEMORY_BYTES = 2048 * 1024 * 1024
"""Address space, as for an engine worker."""

FULL_SIZE_EVERY = 64
"""Of so many inputs, one is also checked at full size, which takes as long as some hundred small ones."""

PNG = b"\x89PNG\r\n\x1a\n"


def mutate(image: bytes, max_size: int, seed: int) -> bytes:
    """Mutate *image*. Correct the checksums of three PNGs in four, since a wrong one stops the decoder."""
    changed: bytes = atheris.Mutate(image, max_size)
    return correct_checksums(changed)[:max_size] if changed.startswith(PNG) and seed % 4 else changed


def correct_checksums(png: bytes) -> bytes:
    """Return *png* with the right checksum of each chunk, up to the first malformed one."""
    out, at = bytearray(png), len(PNG)
    while at + 12 <= len(out):
        (length,) = struct.unpack_from(">I", out, at)
        end = at + 8 + length
        if end + 4 > len(out):
            break
        struct.pack_into(">I", out, end, zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out)


def run_one_input(image: bytes) -> None:
    """Check one input, and some at full size too."""
    rule.check(image)
    if zlib.crc32(image) % FULL_SIZE_EVERY == 0:
        rule.check(full_size.grow(image))


def main() -> None:
    """Fuzz until a limit in the options is reached."""
    decode.harden()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    atheris.Setup(sys.argv, run_one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""The atheris target: strangers' bytes into the decoder, mutated towards code that no input has reached yet.

    make fuzz                                   half a minute, as in CI
    make fuzz ARGS="-max_total_time=3600"       longer; every option of libFuzzer can be given

Pillow's and our own Python are watched for new paths. The C libraries below them are not: their crashes are found,
their paths are not steered towards, and without an address sanitizer a small overflow may go unseen.
"""

import resource
import struct
import sys
import zlib

import atheris  # type: ignore[import-untyped]  # it carries none

with atheris.instrument_imports(include=["PIL", "app.faces", "fuzz"]):
    from app.faces.workers import decode
    from fuzz import rule

MEMORY_BYTES = 2048 * 1024 * 1024
"""Address space, as of an engine worker."""


PNG = b"\x89PNG\r\n\x1a\n"


def mutated(image: bytes, most: int, seed: int) -> bytes:
    """Change *image* somewhere; three times in four put a PNG's checksums right again, or no change gets past them."""
    changed: bytes = atheris.Mutate(image, most)
    return mended(changed)[:most] if changed.startswith(PNG) and seed % 4 else changed


def mended(png: bytes) -> bytes:
    """Return *png* with every checksum right, as far as its chunks can be told apart."""
    out, at = bytearray(png), len(PNG)
    while at + 12 <= len(out):
        (length,) = struct.unpack_from(">I", out, at)
        end = at + 8 + length
        if end + 4 > len(out):
            break
        struct.pack_into(">I", out, end, zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out)


def one_input(image: bytes) -> None:
    """Try one input."""
    rule.check(image)


def main() -> None:
    """Fuzz until the options say that it is enough."""
    decode.harden()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    atheris.Setup(sys.argv, one_input, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

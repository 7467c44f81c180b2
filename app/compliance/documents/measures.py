"""Measures that protect people, each with a command that shows it. Every document uses this list."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure, the law that requires it, and the command that shows it."""

    what: str
    law: str
    command: str


def _tested(path: str) -> str:
    return f"make test ARGS=tests/{path}"


MEASURES = (
    Measure(
        "no image is decoded, and no face measured, without a consent in force for it",
        "GDPR Art. 5(1)(b), 6, 9",
        _tested("laws/test_law_01_no_permit_no_pixels.py"),
    ),
    Measure(
        "every template and photo belongs to one consent, and is deleted with it",
        "GDPR Art. 7(3), 17, 25",
        _tested("laws/test_law_02_every_biometric_row_hangs_from_a_grant.py"),
    ),
    Measure(
        "personal data is sealed under a key of the consent or the person; withdrawal or erasure destroys the key",
        "GDPR Art. 17, 32(1)(a)",
        _tested("laws/test_law_03_keys.py"),
    ),
    Measure(
        "no comparison is decided after a withdrawal was confirmed",
        "GDPR Art. 7(3)",
        _tested("laws/test_law_04_now.py"),
    ),
    Measure(
        "requests to exercise rights are answered from the first day, without limit, also while the engine is busy",
        "GDPR Art. 12, 15-21",
        _tested("laws/test_law_05_rights.py"),
    ),
    Measure(
        "an erasure is completed only when no store has any of the data left; until then it resumes by itself",
        "GDPR Art. 17",
        _tested("laws/test_law_06_erasure.py"),
    ),
    Measure(
        "all photos of one enrolment show one person and are sent by that person; none is fetched or imported",
        "GDPR Art. 5(1)(a), 9",
        _tested("laws/test_law_07_only_your_own_face.py"),
    ),
    Measure(
        "nothing measured from a compared photo is stored",
        "GDPR Art. 5(1)(c), (e)",
        _tested("laws/test_law_08_strangers.py"),
    ),
    Measure(
        "a relying party learns match or no match, and gets the same answer for every reference that it may not use",
        "GDPR Art. 5(1)(c), 25",
        _tested("laws/test_law_09_one_answer.py"),
    ),
    Measure("people see every use of their face", "GDPR Art. 5(1)(a), 15", _tested("laws/test_law_10_lines.py")),
    Measure(
        "people get receipts for decisions and requests; a transparency log makes later changes visible",
        "GDPR Art. 5(2), 7(1)",
        "mien verify-log",
    ),
    Measure(
        "images are decoded in worker processes without access to files, network or keys",
        "GDPR Art. 32(1)(b)",
        _tested("faces/test_sandbox.py"),
    ),
    Measure(
        "backups contain no keys, and restoring one brings back nothing that was withdrawn or erased",
        "GDPR Art. 17, 32(1)(c)",
        _tested("vault/test_restored.py"),
    ),
    Measure("the key-encryption key can be rotated", "GDPR Art. 32(1)(a)", "mien keys rotate"),
    Measure(
        "data past its retention period is deleted on a schedule and by a command", "GDPR Art. 5(1)(e)", "mien sweep"
    ),
    Measure(
        "a process killed at any step leaves each operation complete or undone, never half done",
        "GDPR Art. 32(1)(b), (d)",
        _tested("crash/test_crash.py"),
    ),
    Measure(
        "the engine's error rates come from a named trial, with intervals and by group",
        "GDPR Art. 5(1)(d)",
        _tested("faces/test_cards.py"),
    ),
    Measure(
        "in the live profile no face is enrolled or compared while a live requirement is missing",
        "GDPR Art. 24, 25",
        "mien live-check",
    ),
)

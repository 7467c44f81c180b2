"""What is done to protect people, and what shows it: the one list that every paper takes it from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that is done, the law that asks for it, and how anybody with the program can see that it is."""

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
        "every template and photo hangs from one consent, and goes with it",
        "GDPR Art. 7(3), 17, 25",
        _tested("laws/test_law_02_every_biometric_row_hangs_from_a_grant.py"),
    ),
    Measure(
        "everything personal is sealed under a key of the consent or the person, which ending destroys",
        "GDPR Art. 17, 32(1)(a)",
        _tested("laws/test_law_03_keys.py"),
    ),
    Measure(
        "no comparison is decided after a withdrawal was answered",
        "GDPR Art. 7(3)",
        _tested("laws/test_law_04_now.py"),
    ),
    Measure(
        "rights are answered from the first day, as often as asked, also while the engine is busy",
        "GDPR Art. 12, 15-21",
        _tested("laws/test_law_05_rights.py"),
    ),
    Measure(
        "an erasure is called completed when no store has a byte left, and goes on by itself until then",
        "GDPR Art. 17",
        _tested("laws/test_law_06_erasure.py"),
    ),
    Measure(
        "photos of one enrolment are of one person, sent by that person; none is fetched or imported",
        "GDPR Art. 5(1)(a), 9",
        _tested("laws/test_law_07_only_your_own_face.py"),
    ),
    Measure(
        "nothing of a photo that is compared is written anywhere",
        "GDPR Art. 5(1)(c), (e)",
        _tested("laws/test_law_08_strangers.py"),
    ),
    Measure(
        "a relying party learns match or no match, and one answer for whatever it may not use",
        "GDPR Art. 5(1)(c), 25",
        _tested("laws/test_law_09_one_answer.py"),
    ),
    Measure("a person sees every use of their face", "GDPR Art. 5(1)(a), 15", _tested("laws/test_law_10_lines.py")),
    Measure(
        "what people decide and ask for is receipted and in a log that nobody can rewrite unseen",
        "GDPR Art. 5(2), 7(1)",
        "mien verify-log",
    ),
    Measure(
        "images are decoded by workers that can reach no file, network or key",
        "GDPR Art. 32(1)(b)",
        _tested("faces/test_sandbox.py"),
    ),
    Measure(
        "data is backed up without its keys, and a restored backup brings back nothing that ended",
        "GDPR Art. 17, 32(1)(c)",
        _tested("vault/test_restored.py"),
    ),
    Measure("the key that all others are under can be changed", "GDPR Art. 32(1)(a)", "mien keys rotate"),
    Measure("what is over is deleted by a clock and by a command", "GDPR Art. 5(1)(e)", "mien sweep"),
    Measure(
        "a process that is killed at any step leaves an act done or not done, never half",
        "GDPR Art. 32(1)(b), (d)",
        _tested("crash/test_crash.py"),
    ),
    Measure(
        "the engine's error rates are those of a named trial, with intervals and by group",
        "GDPR Art. 5(1)(d)",
        _tested("faces/test_cards.py"),
    ),
    Measure(
        "for real people nothing is enrolled or compared while something is missing that a program can see",
        "GDPR Art. 24, 25",
        "mien live-check",
    ),
)

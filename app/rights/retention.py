"""What is kept, why, and for how long: said from the settings that decide it."""

from dataclasses import dataclass

from app.kit.settings import Settings


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that is kept."""

    what: str
    why: str
    how_long: str


_COUNT = Rule(
    "how often you asked for access, by day", "so that access is accounted for", "until you erase your account"
)
_LOG = (
    Rule(
        "your receipts, and the entries that the log has of you: what was done, with a random salt",
        "so that you can take a receipt again, and show what a leaf of the log is of",
        "until you erase your account",
    ),
    Rule(
        "leaves of the log: a SHA-256 of each entry with its salt",
        "so that nobody can rewrite the log unseen",
        "for good; without the salt they point at nobody",
    ),
)
"""Of the log, and of what its leaves are of."""


def policy(settings: Settings) -> list[Rule]:
    """Return every rule in force."""
    return [
        Rule(
            "a consent, and the template that hangs from it",
            "so that the relying party you named can verify you",
            f"until you withdraw it, or {settings.consent_days} days if you chose no other end; at most "
            f"{settings.consent_max_days} days; the template also goes when you delete its enrolment or enrol again",
        ),
        Rule(
            "kept photos",
            "to make a new template when the engine changes; only if you agreed to `template_renewal`",
            "until that consent ends, you delete their enrolment, or you enrol again and no template of theirs is left",
        ),
        Rule("a photo you enrol or are verified with", "to be measured", "while it is measured: seconds, in memory"),
        Rule(
            "your account: display name, the digests of your tokens and recovery code",
            "to know you again",
            "until you erase it, or revoke the token",
        ),
        Rule(
            "your consent events and comparisons",
            "so that you can see every decision of yours and every use of your face",
            "until you erase your account",
        ),
        _COUNT,
        Rule(
            "tombstones: the SHA-256 of the random ids of what ended, and the day",
            "so that a restored backup cannot bring it back",
            "for good; they point at nobody",
        ),
        *_proofs(settings),
        *_told(settings),
        *_LOG,
        Rule(
            "an erasure: its own random id, its state, when it was done, and its receipt, which names nobody",
            "so that you can see that it was done",
            "for good",
        ),
    ]


def _proofs(settings: Settings) -> list[Rule]:
    if not settings.proof_retention:
        return []
    return [
        Rule(
            "the proof that a consent existed: the SHA-256 of its random id, the text, the purpose, the relying party, "
            "the days it was given and ended; not by whom",
            "so that whoever holds the consent's id can show that it was given",
            f"{settings.proof_retention.days} days after the consent ended, also when you have erased your account",
        )
    ]


def _told(settings: Settings) -> list[Rule]:
    return [
        Rule(
            "what a relying party is still to be told: that your consent was given or has ended, the random reference "
            "that it knows you under, the purpose, and the day",
            "so that it learns it (GDPR Art. 19), also when you have erased your account",
            "until it has acknowledged it, or a later event takes its place; for "
            f"{settings.callback_days} days at most",
        ),
        Rule(
            "what relying parties were told of you, and whether they acknowledged it",
            "so that you can see it",
            "until you erase your account",
        ),
    ]

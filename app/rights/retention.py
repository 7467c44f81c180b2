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
_DISPUTE = Rule(
    "what you dispute, and your note",
    "so that your face is not used for that relying party, and we can look into what happened",
    "until you lift it, or erase your account",
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
        *_failures(settings),
        Rule(
            "tombstones: the SHA-256 of the random ids of what ended, and the day",
            "so that a restored backup cannot bring it back",
            "for good; they point at nobody",
        ),
        *_proofs(settings),
        *_LOG,
        Rule(
            "an erasure: its own random id, its state, when it was done, and its receipt, which names nobody",
            "so that you can see that it was done",
            "for good",
        ),
    ]


def _failures(settings: Settings) -> list[Rule]:
    return [
        _DISPUTE,
        Rule(
            "your failed comparisons of the last 24 hours: when, and by whom",
            "so that nobody can try out one photo of you after another",
            "until two days after the last one",
        ),
        Rule(
            "references that a relying party failed with: salted digests, sealed",
            "so that nobody can try one found photo on many people",
            f"{settings.failed_references_window_s} seconds after the last time, or until that party is stopped for it",
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

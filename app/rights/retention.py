"""What is kept, why, for how long, and by what it is done: said from the settings that decide it. Pure.

The policy that is published, the access document, the notices that ship with Mien, and what the sweep does all follow
from these settings; a test lets time pass, and compares each rule with what is gone.
"""

from dataclasses import dataclass

from app.kit.days import in_words
from app.settings import Settings

SWEEP = "the sweep, which the service does by itself, and `mien sweep`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that is kept."""

    rule: str
    """Its name, for good."""
    what: str
    why: str
    how_long: str
    days: int | None = None
    """The time that `how_long` names, where time ends it."""
    by: str
    """Who or what ends it."""


def policy(settings: Settings) -> list[Rule]:
    """Return every rule in force."""
    return [*_faces(settings), *_account(settings), *_history(settings), *_log(), *_remains(settings)]


def _faces(settings: Settings) -> list[Rule]:
    days, longest = in_words(settings.consent_days), in_words(settings.consent_max_days)
    superseded = in_words(settings.superseded_template_days)
    return [
        Rule(
            rule="consents",
            what="a consent, and the template that hangs from it",
            why="so that the relying party you named can verify you",
            how_long=f"until you withdraw it, or {days} if you chose no other end; at most {longest}. You can renew it "
            "before it ends, on the same notice only. The template also goes when you delete its enrolment or enrol "
            "again",
            days=settings.consent_days,
            by=f"you: `DELETE /v1/me/consents/{{consent_id}}`; at its end it counts no more, and {SWEEP} deletes it",
        ),
        Rule(
            rule="kept_photos",
            what="kept photos",
            why="to make a new template when the engine changes; only if you agreed to `template_renewal`",
            how_long="until that consent ends, you delete their enrolment, or no template of theirs is left: you "
            "enrolled again, or it ended because its engine was superseded",
            by=f"you, or the end of that consent; {SWEEP}",
        ),
        Rule(
            rule="superseded_templates",
            what="a template of an engine that another has taken the place of",
            why="so that that engine can come into force again; meanwhile nobody is compared with it",
            how_long=f"{superseded} after its engine was superseded, or until a new one takes its place. Photos that "
            "were kept for it go with the last template of their enrolment. The consent stands",
            days=settings.superseded_template_days,
            by=f"you: enrol again; {SWEEP}",
        ),
        Rule(
            rule="images",
            what="a photo you enrol or are verified with",
            why="to be measured",
            how_long="while it is measured: seconds, in memory",
            by="the process that measures it",
        ),
    ]


def _account(settings: Settings) -> list[Rule]:
    days = in_words(settings.token_unused_days)
    return [
        Rule(
            rule="account",
            what="your account: display name, the digest of your recovery code",
            why="to know you again",
            how_long="until you correct the name, recover, or erase your account",
            by="you: `PATCH /v1/me`, `POST /v1/recoveries`, `DELETE /v1/me`",
        ),
        Rule(
            rule="tokens",
            what="an access token: its digest, the day it was made, and the day it was last used",
            why="to let you in; the days, so that a lost device is no way in for ever",
            how_long=f"until you revoke it or recover, or nobody has used it for {days}; the one that you used last "
            "stays, and so does your recovery code: time shuts nobody out",
            days=settings.token_unused_days,
            by=f"you: `DELETE /v1/me/tokens/{{token_id}}`; {SWEEP}",
        ),
    ]


def _history(settings: Settings) -> list[Rule]:
    counts = in_words(settings.access_count_days)
    return [
        Rule(
            rule="decisions",
            what="your consent events",
            why="so that you can see every decision of yours",
            how_long="until you erase your account",
            by="you: `DELETE /v1/me`",
        ),
        Rule(
            rule="comparisons",
            what="your history: each comparison of your face, and what the log's entry says of it",
            why="so that you can see every use of your face",
            how_long="as long as you like: until you shorten it, or erase your account. A copy of the data from before "
            "you shortened it still has what you deleted; restoring one deletes it again",
            by="you: `DELETE /v1/me/comparisons?before=YYYY-MM-DD`, `DELETE /v1/me`",
        ),
        Rule(
            rule="decisions_of_relying_parties",
            what="a relying party's view of the decisions it was given",
            why="it is answered once, and needs no list here",
            how_long="none is kept for it",
            by="nothing: there is none. What it wrote down itself, you must ask of it",
        ),
        Rule(
            rule="access_counts",
            what="how often you asked for access, by day",
            why="so that access is accounted for",
            how_long=f"{counts}, or until you erase your account",
            days=settings.access_count_days,
            by=SWEEP,
        ),
    ]


def _log() -> list[Rule]:
    return [
        Rule(
            rule="receipts",
            what="your receipts, and the entries that the log has of you: what was done, with a random salt",
            why="so that you can take a receipt again, and show what a leaf of the log is of",
            how_long="until you erase your account; of a comparison, until you delete that",
            by="you: `DELETE /v1/me`, `DELETE /v1/me/comparisons`",
        ),
        Rule(
            rule="leaves",
            what="leaves of the log: a SHA-256 of each entry with its salt",
            why="so that nobody can rewrite the log unseen",
            how_long="for good; without the salt they point at nobody",
            by="nothing",
        ),
    ]


def _remains(settings: Settings) -> list[Rule]:
    erasures = settings.erasure_retention.days
    return [
        Rule(
            rule="tombstones",
            what="tombstones: the SHA-256 of the random ids of what ended, and the day",
            why="so that a restored backup cannot bring it back",
            how_long="for good; they point at nobody",
            by="nothing",
        ),
        *_proofs(settings),
        *_told(settings),
        *_failures(settings),
        Rule(
            rule="erasures",
            what="an erasure: its own random id, its state, when it was done, and its receipt, which names nobody",
            why="so that you can see that it was done",
            how_long=f"{in_words(erasures)} after it was completed; the receipt that you took holds on",
            days=erasures,
            by=SWEEP,
        ),
    ]


def _failures(settings: Settings) -> list[Rule]:
    return [
        Rule(
            rule="disputes",
            what="what you dispute, and your note",
            why="so that your face is not used for that relying party, and we can look into what happened",
            how_long="until you lift it, or erase your account",
            by="you: `DELETE /v1/me/comparisons/{comparison_id}/dispute`, `DELETE /v1/me`",
        ),
        Rule(
            rule="failures",
            what="your failed comparisons of the last 24 hours: when, and by whom",
            why="so that nobody can try out one photo of you after another",
            how_long="until two days after the last one",
            by=SWEEP,
        ),
        Rule(
            rule="failed_references",
            what="references that a relying party failed with: salted digests, sealed",
            why="so that nobody can try one found photo on many people",
            how_long=f"{settings.failed_references_window_s} seconds after the last time, or until that party is "
            "stopped for it",
            by=SWEEP,
        ),
    ]


def _proofs(settings: Settings) -> list[Rule]:
    days = settings.proof_retention.days
    if not days:
        return []
    return [
        Rule(
            rule="proofs",
            what="the proof that a consent existed: the SHA-256 of its random id, the text, the purpose, the relying "
            "party, the days it was given and ended; not by whom",
            why="so that whoever holds the consent's id can show that it was given",
            how_long=f"{in_words(days)} after the consent ended, also when you have erased your account",
            days=days,
            by=SWEEP,
        )
    ]


def notice_words(settings: Settings) -> dict[str, str]:
    """Return what the notices that ship with Mien say of time, by the names that they have for it."""
    days, longest = in_words(settings.consent_days), in_words(settings.consent_max_days)
    proofs, erasures = settings.proof_retention.days, settings.erasure_retention.days
    return {
        "retention_period": f"{days}, or until another day you choose when consenting, at most {longest} ahead; "
        "renewed only if you are asked and say yes again; ended at once by withdrawal",
        "consent_days": days,
        "consent_max_days": longest,
        "renewal": f"In its last {in_words(settings.renewal_days)} `GET /v1/me` asks you if you want to renew it"
        if settings.renewal_days
        else "You can renew it before it ends",
        "proof": f"a proof that this consent existed stays for {in_words(proofs)}. It does not say whose consent it was"
        if proofs
        else "no proof stays that this consent existed",
        "erasure_days": in_words(erasures),
        "callback_days": in_words(settings.callback_days),
    }


def _told(settings: Settings) -> list[Rule]:
    return [
        Rule(
            rule="messages",
            what="what a relying party is still to be told: that your consent was given or has ended, the random "
            "reference that it knows you under, the purpose, and the day",
            why="so that it learns it (GDPR Art. 19), also when you have erased your account",
            how_long="until it has acknowledged it, or a later event takes its place; for "
            f"{in_words(settings.callback_days)} at most",
            days=settings.callback_days,
            by="the courier, which tries it again and again; it gives up at that time",
        ),
        Rule(
            rule="deliveries",
            what="what relying parties were told of you, and whether they acknowledged it",
            why="so that you can see it",
            how_long="until you erase your account",
            by="you: `DELETE /v1/me`",
        ),
    ]

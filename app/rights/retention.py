"""Retention rules: each kind of data, the reason, the time and the end. Pure.

The times are settings; `RULES` names the setting of each rule. The published policy, the access document and the
shipped notices take the times from here. A test lets time pass and compares each rule with the maintenance run.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict

from app.kit.days import in_words
from app.settings import Settings

MAINTENANCE = "the maintenance run: the service starts it by itself, and `mien sweep` starts it too"


class Rule(BaseModel):
    """One retention rule."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,
    )

    rule: str
    """Its permanent name."""
    what: str
    why: str
    how_long: str
    days: int | None = None
    """The time that `how_long` names, if the data ends by time."""
    by: str
    """The person, process or command that ends it."""

    def filled_in(self, setting: str | None, times: dict[str, int], words: dict[str, str]) -> Self:
        """Return the rule with the times of the settings in its text."""
        return self.model_copy(
            update={"how_long": self.how_long.format(**words), "days": None if setting is None else times[setting]}
        )


RULES: tuple[tuple[str | None, Rule], ...] = (
    (
        "consent_days",
        Rule(
            rule="consents",
            what="a consent, and the template made under it",
            why="so that the relying party you named can verify you",
            how_long="until you withdraw it, or {consent_days} if you chose no other end; at most {consent_max_days}. "
            "You can renew it before it ends, on the same notice only. The template also goes when you delete its "
            "enrolment or enrol again",
            by="you: `DELETE /v1/me/consents/{consent_id}`. At its end it stops counting at once, and is deleted by "
            + MAINTENANCE,
        ),
    ),
    (
        None,
        Rule(
            rule="kept_photos",
            what="kept photos",
            why="to make a new template when the engine changes; only if you agreed to `template_renewal`",
            how_long="until that consent ends, you delete their enrolment, or the last template of that enrolment is "
            "gone: you enrolled again, or it ended because its engine was superseded",
            by=f"you, or the end of that consent; {MAINTENANCE}",
        ),
    ),
    (
        "superseded_template_days",
        Rule(
            rule="superseded_templates",
            what="a template of an engine that was replaced by another",
            why="so that the older engine can be used again; until then no photo is compared with the template",
            how_long="{superseded_template_days} after its engine was superseded, or until a new template replaces it. "
            "Photos kept for it are deleted with the last template of their enrolment. The consent stays",
            by=f"you: enrol again; {MAINTENANCE}",
        ),
    ),
    (
        None,
        Rule(
            rule="images",
            what="a photo you enrol or are verified with",
            why="to be measured",
            how_long="while it is measured: seconds, in memory",
            by="the process that measures it",
        ),
    ),
    (
        None,
        Rule(
            rule="account",
            what="your account: display name, the digest of your recovery code",
            why="to recognise you when you come back",
            how_long="until you correct the name, recover, or erase your account",
            by="you: `PATCH /v1/me`, `POST /v1/recoveries`, `DELETE /v1/me`",
        ),
    ),
    (
        "token_unused_days",
        Rule(
            rule="tokens",
            what="an access token: its digest, the day it was made, and the day it was last used",
            why="to let you in; the days limit how long a lost device can be used",
            how_long="until you revoke it or recover, or it was not used for {token_unused_days}. The token that you "
            "used last does not end by time, nor does your recovery code: time never locks you out",
            by=f"you: `DELETE /v1/me/tokens/{{token_id}}`; {MAINTENANCE}",
        ),
    ),
    (
        None,
        Rule(
            rule="decisions",
            what="your consent events",
            why="so that you can see every decision of yours",
            how_long="until you erase your account",
            by="you: `DELETE /v1/me`",
        ),
    ),
    (
        None,
        Rule(
            rule="comparisons",
            what="your history: each comparison of your face, and its entry in the transparency log",
            why="so that you can see every use of your face",
            how_long="as long as you like: until you shorten it, or erase your account. A backup from before you "
            "shortened it still has the deleted part; restoring that backup deletes the part again",
            by="you: `DELETE /v1/me/comparisons?before=YYYY-MM-DD`, `DELETE /v1/me`",
        ),
    ),
    (
        None,
        Rule(
            rule="decisions_of_relying_parties",
            what="a list of decisions for the relying party that received them",
            why="it gets each decision once, as an answer, and needs no list here",
            how_long="none is kept for it",
            by="nothing: there is none. For the relying party's own notes, ask the relying party",
        ),
    ),
    (
        "access_count_days",
        Rule(
            rule="access_counts",
            what="how often you asked for access, by day",
            why="so that access is accounted for",
            how_long="{access_count_days}, or until you erase your account",
            by=MAINTENANCE,
        ),
    ),
    (
        None,
        Rule(
            rule="receipts",
            what="your receipts, and your entries of the transparency log: each act, with a random salt",
            why="so that you can get a receipt again, and show which act a leaf of the transparency log stands for",
            how_long="until you erase your account; of a comparison, until you delete that",
            by="you: `DELETE /v1/me`, `DELETE /v1/me/comparisons`",
        ),
    ),
    (
        None,
        Rule(
            rule="leaves",
            what="leaves of the transparency log: a SHA-256 of each entry with its salt",
            why="so that a later change of the transparency log is noticed",
            how_long="for good; without the salt they identify no one",
            by="nothing",
        ),
    ),
    (
        None,
        Rule(
            rule="tombstones",
            what="tombstones: the SHA-256 of the random ids of ended consents, tokens and accounts, and the day",
            why="so that a restored backup cannot bring them back",
            how_long="for good; they identify no one",
            by="nothing",
        ),
    ),
    (
        "proof_retention",
        Rule(
            rule="proofs",
            what="the proof that a consent existed: the SHA-256 of its random id, the text, the purpose, the relying "
            "party, the days it was given and ended; not your identity",
            why="so that a holder of the consent's id can show that it was given",
            how_long="{proof_retention} after the consent ended, also when you have erased your account",
            by=MAINTENANCE,
        ),
    ),
    (
        "callback_days",
        Rule(
            rule="messages",
            what="a message to a relying party: that your consent was given or has ended, the random reference that it "
            "knows you under, the purpose, and the day",
            why="so that it learns of this (GDPR Art. 19), also when you have erased your account",
            how_long="until it has acknowledged it, or a later event replaces it; for {callback_days} at most",
            by="the service, which repeats the delivery and gives up after that time",
        ),
    ),
    (
        None,
        Rule(
            rule="deliveries",
            what="the messages about you that relying parties got, and whether they acknowledged them",
            why="so that you can see them",
            how_long="until you erase your account",
            by="you: `DELETE /v1/me`",
        ),
    ),
    (
        None,
        Rule(
            rule="disputes",
            what="the comparisons that you dispute, and your notes",
            why="so that your face is not used for that relying party, and the dispute can be investigated",
            how_long="until you lift it, or erase your account",
            by="you: `DELETE /v1/me/comparisons/{comparison_id}/dispute`, `DELETE /v1/me`",
        ),
    ),
    (
        None,
        Rule(
            rule="failures",
            what="your failed comparisons of the last 24 hours: the time and the relying party",
            why="so that a relying party cannot try one photo of you after another",
            how_long="until two days after the last one",
            by=MAINTENANCE,
        ),
    ),
    (
        None,
        Rule(
            rule="failed_references",
            what="references that a relying party failed with: salted digests, sealed",
            why="so that a relying party cannot try one found photo on many people",
            how_long="{failed_references_window_s} seconds after the last time, or until that party is blocked for it",
            by=MAINTENANCE,
        ),
    ),
    (
        "erasure_retention",
        Rule(
            rule="erasures",
            what="an erasure: its own random id, its state, the days, and its receipt, which does not name you",
            why="so that you can see that it was done",
            how_long="{erasure_retention} after it was completed; the receipt that you took stays valid",
            by=MAINTENANCE,
        ),
    ),
)
"""Each rule with the setting that holds its days; None if no time in days ends the data."""


def days(settings: Settings) -> dict[str, int]:
    """Return every retention time in days, by the name of its setting."""
    return {
        "consent_days": settings.consent_days,
        "consent_max_days": settings.consent_max_days,
        "superseded_template_days": settings.superseded_template_days,
        "token_unused_days": settings.token_unused_days,
        "access_count_days": settings.access_count_days,
        "callback_days": settings.callback_days,
        "renewal_days": settings.renewal_days,
        "proof_retention": settings.proof_retention.days,
        "erasure_retention": settings.erasure_retention.days,
    }


def policy(settings: Settings) -> list[Rule]:
    """Return every rule in force, with the times of the settings."""
    times = days(settings)
    words = {name: in_words(value) for name, value in times.items()}
    words["failed_references_window_s"] = f"{settings.failed_references_window_s}"
    return [
        rule.filled_in(setting, times, words)
        for setting, rule in RULES
        if rule.rule != "proofs" or settings.proof_retention
    ]


def notice_words(settings: Settings) -> dict[str, str]:
    """Return the values for the placeholders of the shipped notices."""
    words = {name: in_words(value) for name, value in days(settings).items()}
    return {
        **words,
        "retention_period": f"{words['consent_days']}, or until another day you choose when consenting, at most "
        f"{words['consent_max_days']} ahead; renewed only if you are asked and say yes again; ended at once by "
        "withdrawal",
        "renewal": f"In its last {words['renewal_days']} `GET /v1/me` asks you if you want to renew it"
        if settings.renewal_days
        else "You can renew it before it ends",
        "proof": f"a proof that this consent existed stays for {words['proof_retention']}. "
        "It does not say whose consent it was"
        if settings.proof_retention
        else "no proof stays that this consent existed",
    }

"""Retention: how long each kind of data is kept, and the reason. Pure.

The times are settings (`days` lists them); the rules are in `retention_rules.toml`. The published policy, the access
document and the shipped notices all use both. A test lets time pass and compares each rule with the maintenance run.
"""

import tomllib
from pathlib import Path
from string import Template

from pydantic import BaseModel, ConfigDict, JsonValue

from app.kit.days import in_words
from app.settings import Settings

RULES = tomllib.loads(Path(__file__).with_name("retention_rules.toml").read_text("utf-8"))["rules"]
IN_NOTICES = ("consent_days", "consent_max_days", "superseded_template_days", "callback_days", "erasure_retention")
"""The times that notices state as they are; others are part of a sentence."""
MAINTENANCE = "the maintenance run: the service starts it by itself, and `mien sweep` starts it too"


class Rule(BaseModel):
    """One retention rule."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
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


def days_in_words(settings: Settings) -> dict[str, str]:
    """Return every retention time in words, by the name of its setting."""
    return {name: in_words(value) for name, value in days(settings).items()}


def policy(settings: Settings) -> list[Rule]:
    """Return every rule in force, with the times of the settings."""
    times = days(settings)
    window = str(settings.failed_references_window_s)
    words = days_in_words(settings) | {"failed_references_window_s": window, "maintenance": MAINTENANCE}
    return [
        Rule.model_validate({"days": times.get(rule.get("setting"))} | fill_in(rule, words))
        for rule in RULES
        if rule["rule"] != "proofs" or settings.proof_retention
    ]


def fill_in(texts: dict[str, str], words: dict[str, str]) -> dict[str, str]:
    """Return *texts* with their placeholders filled in, without `setting`."""
    return {name: Template(text).substitute(words) for name, text in texts.items() if name != "setting"}


def notice_facts(settings: Settings) -> dict[str, tuple[JsonValue, str]]:
    """Return each time that a notice can state: its value in days, and its words."""
    times, words = days(settings), notice_words(settings)
    values: dict[str, JsonValue] = {
        **{name: times[name] for name in words if name in times},
        "retention_period": [times["consent_days"], times["consent_max_days"]],
        "renewal": times["renewal_days"],
        "proof": times["proof_retention"],
    }
    return {name: (values[name], text) for name, text in words.items()}


def notice_words(settings: Settings) -> dict[str, str]:
    """Return each time that a notice can state, in words."""
    words = days_in_words(settings)
    return {
        **{name: words[name] for name in IN_NOTICES},
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

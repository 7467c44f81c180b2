"""Every setting and its default. Each is an environment variable `MIEN_…` and a row of `docs/reference/settings.md`."""

import ipaddress
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.kit.text import REASON, readable

MIB = 1024 * 1024
MOST_OVERLAP_HOURS = 720
DEMONSTRATION = "demonstration controller: not for real people's data"
"""Who answers for the data in `prototype`, whatever is set: nobody."""
NOBODY = "nobody yet: MIEN_CONTROLLER_NAME is not set"
"""The same in `live`, until it is said who does."""

THREE_YEARS = timedelta(days=3 * 365)


def _in_days(value: object) -> object:
    """Take a bare number as days: pydantic would take it as seconds."""
    return timedelta(days=int(value)) if isinstance(value, str) and value.strip().isdecimal() else value


def _whole_days(value: timedelta) -> timedelta:
    """Refuse a part of a day: nothing finer is written down."""
    if value % timedelta(days=1):
        msg = "give whole days"
        raise ValueError(msg)
    return value


def _said(value: str) -> str:
    """Refuse a text that is blank or has unreadable characters."""
    if not value.strip():
        msg = "it is blank; leave it out instead"
        raise ValueError(msg)
    if not readable(value):
        raise ValueError(REASON)
    return value.strip()


Said = Annotated[str, AfterValidator(_said)]
KeptFor = Annotated[
    timedelta,
    BeforeValidator(_in_days),
    AfterValidator(_whole_days),
    Field(ge=timedelta(), le=timedelta(days=36_525)),
]
"""Whole days."""


def _networks(value: str) -> str:
    """Refuse a value that is not a list of addresses or networks."""
    for one in filter(None, value.replace(" ", "").split(",")):
        if one != "*":
            ipaddress.ip_network(one, strict=False)
    return value


def _origins(value: str) -> str:
    """Refuse a value that no browser sends as an origin."""
    for one in filter(None, value.replace(" ", "").split(",")):
        if re.fullmatch(r"https?://[^/?#\s@]+", one) is None:
            msg = f"{one!r} is no origin; write them as https://example.org, without a path"
            raise ValueError(msg)
    return value


_CUSTOM = "onnx:"


def _engine(value: str) -> str:
    """Refuse a value that names no engine."""
    if value in {"face_recognition", "sface"} or (value.startswith(_CUSTOM) and value != _CUSTOM and "\0" not in value):
        return value
    msg = (
        "give face_recognition, sface, or onnx: and the path of a card of your own (docs/how-to/use-your-own-engine.md)"
    )
    raise ValueError(msg)


class Settings(BaseSettings):
    """The configuration of one service. Immutable; read once at start."""

    model_config = SettingsConfigDict(env_prefix="MIEN_", frozen=True)

    profile: Literal["prototype", "live"] = "prototype"
    """`prototype` runs at once with a demonstration controller; `live` is not ready until it is lawful to run."""
    registration: Literal["open", "closed"] = "open"
    """Whether registration is open to everyone."""

    controller_name: Said | None = None
    """Who answers for the data (GDPR Art. 4(7)), as people know it. Counts in `live` only."""
    controller_address: Said | None = None
    """Where the controller is, by post."""
    controller_contact: Said | None = None
    """Where people reach the controller."""
    data_protection_officer: Said | None = None
    """Where people reach the data protection officer."""
    authority: Said | None = None
    """The data protection authority that supervises the controller."""

    data_dir: Path = Path("var/data")
    """Everything sealed or impersonal (`mien.db`). Backed up, restored."""
    keys_dir: Path | None = None
    """The register (`register.db`). Default: beside the data directory, its name with `-keys` at the end."""
    kek: SecretStr | None = None
    """Key-encryption key: 32 bytes in base64. Default: read from `kek_file`."""
    kek_next: SecretStr | None = None
    """The key-encryption key that `mien keys rotate` turns to when `kek` is set: 32 bytes in base64."""
    kek_file: Path | None = None
    """File with the key-encryption key, made on first run with mode 0600. Default: `kek` in the keys directory."""
    rebuild_at_once_mib: Annotated[int, Field(ge=0)] = 64
    """Size of the data store up to which it is written anew before an erasure is answered, so that not even random ids
    are left in unused space."""
    rebuild_after_days: Annotated[int, Field(ge=0)] = 1
    """Days after which a larger data store is written anew, once for all erasures since; nobody writes meanwhile."""
    sqlite_busy_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
    """Seconds a writer waits for another, and a checkpoint for readers."""

    engine: Annotated[str, AfterValidator(_engine)] = "face_recognition"
    """What measures faces: `face_recognition`, `sface`, or `onnx:` and the path of an operator's own card."""
    engine_workers: Annotated[int, Field(ge=1, le=64)] = 2
    """Processes that measure faces, one job at a time in each. About one for each core."""
    engine_queue: Annotated[int, Field(ge=0, le=1000)] = 16
    """Jobs that may wait for a worker; one more is answered 503 `busy`. Smaller than `request_threads`."""
    engine_timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 20.0
    """Wall-clock seconds for one image, after which its worker is killed and replaced."""
    engine_memory_mib: Annotated[int, Field(ge=256)] = 2048
    """Address space of one worker."""
    target_fmr: Annotated[float, Field(gt=0, lt=1)] | None = None
    """False match rate that picks the threshold from the engine's card. Default: the card's own."""
    target_group: Literal["all", "worst"] | None = None
    """Whether the target is kept on average over all pairs, or in every labelled group of the card's trial. Default:
    in every group, where the trial has labels."""
    superseded_template_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """Days after which the templates of an engine end that another has taken the place of."""

    max_photo_bytes: Annotated[int, Field(gt=0)] = 12 * MIB
    """Bytes of one uploaded image."""
    max_enrolment_bytes: Annotated[int, Field(gt=0)] = 61 * MIB
    """Bytes of the body of one enrolment."""
    max_body_bytes: Annotated[int, Field(gt=0)] = 13 * MIB
    """Bytes of the body of one verification."""
    max_json_bytes: Annotated[int, Field(gt=0)] = 256 * 1024
    """Bytes of a body without a photo: JSON is parsed where everybody waits."""
    max_pixels: Annotated[int, Field(gt=0)] = 25_000_000
    """Width times height of one image; checked before it is decoded."""

    headers_timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
    """Seconds for the head of a request to arrive; the connection is closed after that."""
    body_timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 120.0
    """Seconds for a body to arrive; 408 after that. What still comes of a refused one has as long."""
    bodies_memory_mib: Annotated[int, Field(ge=64)] = 1024
    """What the bodies of all requests under way may have sent; 503 `busy` above that. A form is held twice."""
    sign_ups_per_minute: Annotated[int, Field(ge=1)] = 600
    """Sign-ups from one address (one /64 network of IPv6) in a minute; 429 above that."""
    recovery_failures_per_minute: Annotated[int, Field(ge=1)] = 10
    """Wrong recovery codes from one address in a minute; 429 above that. A right one always works."""
    trusted_proxies: Annotated[str, AfterValidator(_networks)] = ""
    """Addresses, separated by commas, of the proxies whose `X-Forwarded-*` headers are believed. Empty: nobody's."""
    cors_origins: Annotated[str, AfterValidator(_origins)] = ""
    """Origins, separated by commas, whose pages may call from a browser. Empty: none."""
    metrics: Literal["off", "local", "open"] = "local"
    """Who may read `/metrics`: nobody, this machine (and not through a proxy), or anybody."""

    consent_days: Annotated[int, Field(ge=1, le=36_525)] = 365
    """How long a consent lasts when the person does not choose."""
    consent_max_days: Annotated[int, Field(ge=1, le=36_525)] = 1096
    """The longest a person may choose: three years, as in BIPA 15(a)."""
    proof_retention: KeptFor = THREE_YEARS
    """How long the proof that a consent existed is kept after it ended: days, or as ISO 8601 (`P3Y`); 0 keeps none."""
    renewal_days: Annotated[int, Field(ge=0, le=36_525)] = 30
    """Days before its end from which a person is told that a consent can be renewed."""
    token_unused_days: Annotated[int, Field(ge=1, le=36_525)] = 400
    """Days after which an access token that nobody used ends; the one that its person used last stays."""
    erasure_retention: KeptFor = THREE_YEARS
    """How long a finished erasure, with its receipt, can be looked at: days, or as ISO 8601."""
    access_count_days: Annotated[int, Field(ge=1, le=36_525)] = 400
    """Days for which it is kept how often somebody asked for access on a day."""
    log_interval: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 600.0
    """Seconds between two batches of leaves that join the log, by the clock on the wall. Shorter tells more of when."""
    log_padding: Annotated[int, Field(ge=1, le=10_000)] = 8
    """A batch is filled up with random leaves to a multiple of this, so that its size tells little; 1 adds none."""
    log_noise: Annotated[int, Field(ge=0, le=10_000)] = 16
    """Random leaves that a batch gets besides, so many on average: how many, nobody knows; 0 adds none."""
    callback_days: Annotated[int, Field(ge=1, le=365)] = 7
    """Days for which it is tried to tell a relying party that a consent was given or has ended."""
    callback_private: bool = False
    """Whether callbacks may be `http`, and lead into private networks and to this machine."""
    free_failures: Annotated[int, Field(ge=1, le=100)] = 5
    """Failed comparisons of a person by one relying party, one after the other, before the next has to wait."""
    failure_delay_s: Annotated[int, Field(ge=1, le=86_400)] = 30
    """Seconds that it then waits; each further failure doubles them."""
    failure_delay_max_s: Annotated[int, Field(ge=1, le=86_400)] = 3600
    """Seconds that it waits at most: photos that do not match delay, and lock nobody out for good."""
    failures_per_day: Annotated[int, Field(ge=1, le=1000)] = 50
    """Failed comparisons of a person in 24 hours, by all relying parties together."""
    failed_references: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Different references with a failed comparison, or of nobody, at which a relying party is stopped."""
    failed_references_window_s: Annotated[int, Field(ge=1, le=86_400)] = 3600
    """Seconds in which they are counted, and for which it is stopped."""
    require_capture: bool = False
    """Accepted for the version with live captures; changes nothing in this one."""

    key_overlap_hours: Annotated[int, Field(ge=1, le=MOST_OVERLAP_HOURS)] = 72
    """The most hours that a relying party's old key may go on working beside its new one."""

    request_threads: Annotated[int, Field(ge=4)] = 40
    """Requests worked on at once."""
    sweep_interval_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    """Seconds between two sweeps: what is over ends, interrupted erasures resume."""
    shutdown_grace_s: Annotated[int, Field(ge=1)] = 30
    """Seconds that requests under way are given to finish after SIGTERM."""

    @model_validator(mode="after")
    def rights_keep_a_thread(self) -> Self:
        """Refuse a queue that could hold every thread: rights must always be answered (law 5)."""
        if self.engine_workers + self.engine_queue >= self.request_threads:
            msg = "MIEN_ENGINE_WORKERS + MIEN_ENGINE_QUEUE must be smaller than MIEN_REQUEST_THREADS"
            raise ValueError(msg)
        if self.consent_days > self.consent_max_days:
            msg = "MIEN_CONSENT_DAYS must not be larger than MIEN_CONSENT_MAX_DAYS"
            raise ValueError(msg)
        if self.failure_delay_s > self.failure_delay_max_s:
            msg = "MIEN_FAILURE_DELAY_S must not be larger than MIEN_FAILURE_DELAY_MAX_S"
            raise ValueError(msg)
        if self.kek_next is not None and self.kek is None:
            msg = "MIEN_KEK_NEXT goes with MIEN_KEK; a key-encryption key in a file is followed by a new file"
            raise ValueError(msg)
        return self

    @property
    def custom_card(self) -> Path | None:
        """Path of the card of the operator's engine; None with a shipped engine."""
        return Path(self.engine.removeprefix(_CUSTOM)) if self.engine.startswith(_CUSTOM) else None

    @property
    def register_dir(self) -> Path:
        """Where the register lives."""
        return self.keys_dir or self.data_dir.parent / f"{self.data_dir.name}-keys"

    @property
    def controller(self) -> str:
        """Who answers for the data. In `prototype` always the demonstration, whatever name is set."""
        if self.profile == "prototype":
            return DEMONSTRATION
        return self.controller_name or NOBODY

    @property
    def keys_apart(self) -> bool:
        """Whether the register is outside the data directory, so that no data backup can hold it."""
        return not _within(self.register_dir, self.data_dir)

    @property
    def kek_apart(self) -> bool:
        """Whether the key-encryption key lies neither with the data nor with the keys that it opens."""
        if self.kek is not None:
            return True
        file = self.kek_file
        return file is not None and not any(_within(file, one) for one in (self.data_dir, self.register_dir))


def _within(path: Path, directory: Path) -> bool:
    return path.resolve().is_relative_to(directory.resolve())

"""Every setting and its default. Each is an environment variable `MIEN_…` and a row of `docs/reference/settings.md`."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.kit.addresses import check_listener, check_networks, check_origins, check_root_path, check_transit_key
from app.kit.setting_values import Bytes, DatabaseUrl, Days, Location, RetentionPeriod, Seconds, Text, UpToADay

MIB = 1024 * 1024
MAX_OVERLAP_HOURS = 720
DEMONSTRATION = "demonstration controller: not for real people's data"
"""The controller in `prototype`, always."""
UNNAMED = "not named: MIEN_CONTROLLER_NAME is not set"
"""The controller in `live` without `MIEN_CONTROLLER_NAME`."""

THREE_YEARS = timedelta(days=3 * 365)
_CUSTOM = {"onnx", "fused"}
"""Kinds of an operator's engine: one network, or two."""


def _check_engine(value: str) -> str:
    kind, _, path = value.partition(":")
    if value in {"face_recognition", "sface"} or (kind in _CUSTOM and path and "\0" not in path):
        return value
    msg = (
        "give face_recognition, sface, or onnx: or fused: and the path of a card of your own "
        "(docs/how-to/use-your-own-engine.md)"
    )
    raise ValueError(msg)


PREFIX = "MIEN_"


class Settings(BaseSettings):
    """The configuration of one service. Immutable; read once at start."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    profile: Literal["prototype", "live"] = "prototype"
    """`prototype` starts at once with a demonstration controller; `live` waits for the live requirements."""
    registration: Literal["open", "closed"] = "open"

    # The controller (GDPR Art. 4(7)), shown in `live` only.
    controller_name: Text | None = None
    controller_address: Text | None = None
    controller_contact: Text | None = None
    data_protection_officer: Text | None = None
    authority: Text | None = None

    data_dir: Location = Path("var/data")
    """Directory of `mien.db`. Backed up, restored."""
    keys_dir: Location | None = None
    """Directory of `register.db`. Default: beside the data directory, its name with `-keys` at the end."""
    kek: SecretStr | None = None
    """Key-encryption key: 32 bytes in base64. Default: read from `kek_file`."""
    kek_next: SecretStr | None = None
    """The next key-encryption key, to which `mien keys rotate` rotates `kek`."""
    kek_file: Location | None = None
    """File with the key-encryption key, created on first run with mode 0600. Default: `kek` in the keys directory."""
    kek_transit: Annotated[str, AfterValidator(check_transit_key)] | None = None
    """Address of a key of the transit engine of OpenBao or Vault, which derives the key-encryption key."""
    kek_transit_token_file: Location | None = None
    """File with the token for it, read anew for each call."""
    kek_rotate_hours: Annotated[int, Field(ge=0, le=8784)] | None = None
    """Hours after which the service makes a new key-encryption key and destroys the old one; 0: only by command.
    Default: `kek_turn_hours`."""
    database_url: DatabaseUrl | None = None
    """Address of the data store on PostgreSQL. Without it both stores are SQLite files."""
    register_url: DatabaseUrl | None = None
    """Address of the register on PostgreSQL, in another cluster than the data store."""
    without_standby: bool = False
    """Whether `live` accepts PostgreSQL without a synchronous standby, although acknowledged writes could be lost."""
    rebuild_at_once_mib: Annotated[int, Field(ge=0)] = 64
    """Largest size of the data store that is rebuilt before an erasure is answered."""
    rebuild_after_days: Annotated[int, Field(ge=0)] = 1
    """Days after which a larger data store is rebuilt, once for all erasures since."""
    ending_ballast_mib: Annotated[int, Field(ge=1, le=4096)] = 16
    """Disk space beside each store that only endings use: on a full disk a withdrawal and an erasure need room."""
    sqlite_busy_s: Seconds = 10.0
    """Seconds that a writer waits for another, and a checkpoint for readers."""

    engine: Annotated[str, AfterValidator(_check_engine)] = "face_recognition"
    """`face_recognition`, `sface`, or `onnx:` or `fused:` and the path of the card of a custom engine."""
    engine_workers: Annotated[int, Field(ge=1, le=64)] = 2
    """Processes that measure faces, one job at a time in each. About one for each core."""
    engine_queue: Annotated[int, Field(ge=0, le=1000)] = 16
    """Jobs that may wait for a worker; one more is answered 503 `busy`."""
    engine_timeout_s: Seconds = 20.0
    """Seconds for one image, after which its worker is killed and replaced."""
    engine_memory_mib: Annotated[int, Field(ge=256)] = 2048
    """Address space of one worker."""
    engine_worker_images: Annotated[int, Field(ge=1, le=100_000)] = 500
    """Images that one worker measures until another one replaces it."""
    engine_worker_age_s: Seconds = 600.0
    """Seconds from its first image until another worker replaces it."""
    target_fmr: Annotated[float, Field(gt=0, lt=1)] | None = None
    """False match rate that selects the threshold from the engine's card. Default: the card's own."""
    target_group: Literal["all", "worst"] | None = None
    """Whether all pairs together or every labelled group must meet the target. Default: every group, with labels."""
    superseded_template_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """Days until templates of a replaced engine end."""

    enrol_photos: Annotated[int, Field(ge=1, le=5)] = 2
    """Photos that an enrolment asks for. Fewer are accepted; the answer tells the gain from more."""
    identification_photos: Annotated[int, Field(ge=1, le=5)] = 3
    """The same, for an enrolment with a consent to identification."""

    max_photo_bytes: Bytes = 12 * MIB
    max_enrolment_bytes: Bytes = 61 * MIB
    max_body_bytes: Bytes = 13 * MIB
    """Bytes of the body of one verification."""
    max_json_bytes: Bytes = 256 * 1024
    """Bytes of a body without a photo: it is parsed in the event loop, where other requests wait."""
    max_pixels: Annotated[int, Field(gt=0)] = 25_000_000
    """Width times height of one image; checked before it is decoded."""

    headers_timeout_s: Seconds = 10.0
    """Seconds for the head of a request to arrive, after which its connection is closed."""
    body_timeout_s: Seconds = 300.0
    """Seconds for a body to arrive; then 408. The rest of a refused body has as long."""
    body_gap_s: Seconds = 20.0
    """Seconds in which the next 4 KiB of a body, or all that is left, must arrive; then 408."""
    write_timeout_s: Seconds = 30.0
    """Seconds in which a client must read the next 16 KiB of an answer; then its connection is closed."""
    connections: Annotated[int, Field(ge=16, le=100_000)] = 512
    """Open connections. Beyond it, idle ones and those of the network with most are closed."""
    connections_per_network: Annotated[int, Field(ge=4, le=100_000)] = 64
    """Open connections of one address (IPv6: one /64 network); those of trusted proxies are not counted."""
    bodies_memory_mib: Annotated[int, Field(ge=64)] = 512
    """Memory for the photos of all requests in progress, a quarter for one caller; then 503 `busy`. A form is held
    twice."""
    sign_ups_per_minute: Annotated[int, Field(ge=1)] = 600
    """Sign-ups from one address (IPv6: one /64 network) in a minute; then 429."""
    recovery_failures_per_minute: Annotated[int, Field(ge=1)] = 10
    """Wrong recovery codes from one address in a minute; then 429. A right code always works."""
    receipts_per_day: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Receipts of one subject in a day; after them the subject cannot give, renew or lift until the next day."""
    root_path: Annotated[str, AfterValidator(check_root_path)] = ""
    """The path under which a proxy publishes the service, such as `/mien`. The proxy may remove it or not."""
    trusted_proxies: Annotated[str, AfterValidator(check_networks)] = ""
    """Addresses, separated by commas, of the proxies whose `X-Forwarded-*` headers are trusted. Empty: none."""
    cors_origins: Annotated[str, AfterValidator(check_origins)] = ""
    """Origins, separated by commas, whose pages may call from a browser. Empty: none."""
    metrics: Literal["off", "local", "open"] = "local"
    """Whether `/metrics` is off, open to this machine (not through a proxy), or open to all."""
    metrics_listen: Annotated[str, AfterValidator(check_listener)] = ""
    """`host:port` of a listener of its own for the metrics, open to all who reach it. Empty: none."""

    consent_days: Days = 365
    """Days that a consent lasts unless the subject chooses."""
    consent_max_days: Days = 1096
    """The longest choice: three years, as in BIPA 15(a)."""
    proof_retention: RetentionPeriod = THREE_YEARS
    """How long the proof of an ended consent is kept."""
    renewal_days: Annotated[int, Field(ge=0, le=36_525)] = 30
    """Days before the end of a consent in which its subject is reminded of renewal."""
    token_unused_days: Days = 400
    """Days after which an unused access token ends; the last used one of each subject stays."""
    erasure_retention: RetentionPeriod = THREE_YEARS
    """How long a completed erasure and its receipt can be read."""
    access_count_days: Days = 400
    """Days for which the number of access requests on a day is kept."""
    log_interval: Seconds = 600.0
    """Seconds between two batches of the transparency log. Shorter intervals reveal more about times."""
    log_padding: Annotated[int, Field(ge=1, le=10_000)] = 8
    """A batch is filled with random leaves to a multiple of this, to hide its size; 1 adds none."""
    log_noise: Annotated[int, Field(ge=0, le=10_000)] = 16
    """The mean number of further random leaves in a batch; 0 adds none."""
    callback_days: Annotated[int, Field(ge=1, le=365)] = 7
    """Days for which the delivery of a message to a relying party is tried."""
    callback_private: bool = False
    """Whether callbacks may be `http`, and lead into private networks and to this machine."""
    free_failures: Annotated[int, Field(ge=1, le=100)] = 5
    """Successive failed comparisons of one subject by one relying party before the next must wait."""
    failure_delay_s: UpToADay = 30
    """The first wait in seconds; each further failure doubles it."""
    failure_delay_max_s: UpToADay = 3600
    """The longest wait: photos that do not match can delay a subject, but not lock them out."""
    failures_per_day: Annotated[int, Field(ge=1, le=1000)] = 50
    """Failed comparisons of one subject in 24 hours, by all relying parties together."""
    failed_references: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Different references with a failed comparison, or unknown, at which a relying party is blocked."""
    failed_references_window_s: UpToADay = 3600
    """Seconds in which they are counted, and for which the relying party is blocked."""
    unusable_repeats: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Requests of a relying party with one reference that it may not use, before the next must wait."""
    require_capture: bool = False
    """Accepted for the version with live captures; changes nothing in this one."""

    key_overlap_hours: Annotated[int, Field(ge=1, le=MAX_OVERLAP_HOURS)] = 72
    """The longest time that a relying party's old key may work beside its new one."""

    request_threads: Annotated[int, Field(ge=4)] = 40
    """Requests without a photo that are handled at once; the others have threads of their own."""
    sweep_interval_s: Seconds = 60.0
    """Seconds between two maintenance runs."""
    shutdown_grace_s: Annotated[int, Field(ge=1)] = 30
    """Seconds that requests in progress have to finish after SIGTERM."""

    @model_validator(mode="after")
    def check_combinations(self) -> Self:
        """Refuse settings that contradict each other."""
        if self.engine_workers + self.engine_queue >= self.request_threads:
            # The queue could hold every thread, but rights must always be answered (law 5).
            msg = "MIEN_ENGINE_WORKERS + MIEN_ENGINE_QUEUE must be smaller than MIEN_REQUEST_THREADS"
            raise ValueError(msg)
        if self.consent_days > self.consent_max_days:
            msg = "MIEN_CONSENT_DAYS must not be larger than MIEN_CONSENT_MAX_DAYS"
            raise ValueError(msg)
        if self.failure_delay_s > self.failure_delay_max_s:
            msg = "MIEN_FAILURE_DELAY_S must not be larger than MIEN_FAILURE_DELAY_MAX_S"
            raise ValueError(msg)
        if (self.database_url is None) != (self.register_url is None):
            msg = "set both MIEN_DATABASE_URL and MIEN_REGISTER_URL, or neither of them"
            raise ValueError(msg)
        if self.kek_next is not None and self.kek is None:
            msg = "MIEN_KEK_NEXT needs MIEN_KEK; a key-encryption key in a file is followed by a new file"
            raise ValueError(msg)
        if (self.kek_transit is None) != (self.kek_transit_token_file is None):
            msg = "MIEN_KEK_TRANSIT and MIEN_KEK_TRANSIT_TOKEN_FILE need each other"
            raise ValueError(msg)
        if self.kek_transit is not None and (self.kek is not None or self.kek_file is not None):
            msg = "MIEN_KEK_TRANSIT replaces MIEN_KEK and MIEN_KEK_FILE: set only one of the three"
            raise ValueError(msg)
        if self.kek_rotate_hours and self.kek is not None:
            msg = (
                "MIEN_KEK_ROTATE_HOURS needs a key-encryption key that the service can replace: only you can replace "
                "MIEN_KEK. Use a file, or leave MIEN_KEK_ROTATE_HOURS out"
            )
            raise ValueError(msg)
        return self

    @property
    def custom_card(self) -> Path | None:
        """The card of a custom engine; None with a shipped engine."""
        _, _, path = self.engine.partition(":")
        return Path(path) if path else None

    @property
    def engine_kind(self) -> str:
        """`onnx` or `fused` with a custom engine; else the engine's name."""
        return self.engine.partition(":")[0]

    @property
    def register_dir(self) -> Path:
        """The directory of the register."""
        return self.keys_dir or self.data_dir.parent / f"{self.data_dir.name}-keys"

    @property
    def key_protection(self) -> Literal["file", "setting", "transit"]:
        """Where the key-encryption key comes from."""
        return "setting" if self.kek is not None else "file" if self.kek_transit is None else "transit"

    @property
    def kek_turn_hours(self) -> int:
        """Hours between two turns of the key-encryption key; 0: only by command."""
        if self.kek_rotate_hours is not None:
            return self.kek_rotate_hours
        # SQLite overwrites a destroyed key at once, and only the operator can replace MIEN_KEK.
        return 24 if self.database_url is not None and self.kek is None else 0

    @property
    def controller(self) -> str:
        """The controller. In `prototype` always the demonstration controller."""
        return DEMONSTRATION if self.profile == "prototype" else self.controller_name or UNNAMED

    @property
    def keys_apart(self) -> bool:
        """Whether the register is outside the data directory, so that no data backup holds it."""
        return not _within(self.register_dir, self.data_dir)

    @property
    def kek_apart(self) -> bool:
        """Whether the key-encryption key is stored neither with the data nor with the keys that it opens."""
        if self.kek is not None or self.kek_transit is not None:
            return True
        file = self.kek_file
        return file is not None and not any(
            _within(file, directory) for directory in (self.data_dir, self.register_dir)
        )


def _within(path: Path, directory: Path) -> bool:
    return path.resolve().is_relative_to(directory.resolve())

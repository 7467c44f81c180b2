"""`live` is not ready with a setting that makes a law hollow; every setting has a floor or a reason for none."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.compliance.live_requirements.floors import FLOORS, HARMLESS, find_hollow
from app.settings import Settings
from tests.architecture.source import ROOT
from tests.compliance.complete_service import live
from tests.support.service_fixture import SharedPool

HOLLOW: list[dict[str, Any]] = [
    {"target_fmr": 0.5},
    {"free_failures": 100},
    {"failure_delay_s": 1},
    {"failure_delay_max_s": 60},
    {"failures_per_day": 1000},
    {"failed_references": 10_000},
    {"failed_references_window_s": 1},
    {"unusable_repeats": 10_000},
    {"trusted_proxies": "0.0.0.0/0"},
    {"trusted_proxies": "10.0.0.1, ::/0"},
    {"trusted_proxies": "*"},
    {"trusted_proxies": "0.0.0.0/1,128.0.0.0/1"},
    {"sign_ups_per_minute": 10**9},
    {"recovery_failures_per_minute": 10**6},
    {"receipts_per_day": 10_000},
    {"cors_origins": "https://a.example,http://b.example"},
    {"metrics": "open"},
    {"metrics_listen": "8.8.8.8:9464"},
    {"metrics_listen": "[2001:4860:4860::8888]:9464"},
    {"callback_private": True},
    {"callback_days": 365},
    {"log_interval": 1},
    {"log_interval": 1e9},
    {"log_padding": 1},
    {"log_noise": 0},
    {"consent_max_days": 36_525},
    {"proof_retention": timedelta()},
    {"proof_retention": timedelta(days=36_525)},
    {"erasure_retention": timedelta()},
    {"access_count_days": 36_525},
    {"token_unused_days": 36_525},
    {"superseded_template_days": 3650},
    {"rebuild_after_days": 10**6},
    {"key_overlap_hours": 720},
    {"sweep_interval_s": 1e9},
    {"sqlite_busy_s": 86_400},
    {"engine_timeout_s": 1e6},
    {"engine_memory_mib": 1 << 20},
    {"engine_worker_images": 100_000},
    {"engine_worker_age_s": 1e9},
    {"max_photo_bytes": 1},
    {"max_photo_bytes": 1 << 30},
    {"max_enrolment_bytes": 1 << 40},
    {"max_body_bytes": 1 << 40},
    {"max_json_bytes": 1 << 30},
    {"max_json_bytes": 1},
    {"max_pixels": 10**9},
    {"headers_timeout_s": 1e6},
    {"body_timeout_s": 1e6},
    {"body_gap_s": 1e6},
    {"write_timeout_s": 1e6},
    {"connections": 100_000},
    {"connections_per_network": 100_000},
    {"ending_ballast_mib": 1},
    {"bodies_memory_mib": 1 << 30},
    {"shutdown_grace_s": 10**6},
]


def hollow(**settings: Any) -> list[str]:
    """Return the variables that `live` does not accept with *settings*."""
    return [one.variable for one in find_hollow(Settings(**settings))]


@pytest.mark.parametrize("settings", HOLLOW, ids=lambda one: "-".join(f"{name}-{value}" for name, value in one.items()))
def test_a_value_that_makes_a_law_hollow_is_named(settings: dict[str, Any]) -> None:
    (name,) = settings

    assert hollow(**settings) == [f"MIEN_{name.upper()}"]


def test_the_defaults_and_usual_values_are_accepted() -> None:
    usual: dict[str, Any] = {
        "target_fmr": 1e-4,
        "trusted_proxies": "10.0.0.0/8, fd00::/32, 203.0.113.7",
        "cors_origins": "https://a.example",
        "metrics": "off",
        "metrics_listen": "0.0.0.0:9464",
    }

    assert hollow() == []
    assert hollow(**usual) == []


def test_every_setting_has_a_floor_or_a_reason_for_none() -> None:
    assert set(FLOORS) | set(HARMLESS) == set(Settings.model_fields)
    assert not set(FLOORS) & set(HARMLESS)
    assert {name for one in HOLLOW for name in one} == set(FLOORS), "each floor is attacked above"


def test_the_page_of_settings_lists_every_floor() -> None:
    page = (ROOT / "docs/reference/settings.md").read_text("utf-8")
    table = page[page.index("## Values that `live` accepts") :]

    for name, floor in FLOORS.items():
        (row,) = [line for line in table.splitlines() if line.startswith(f"| `MIEN_{name.upper()}` |")]
        assert floor["why"] in row
        assert all(str(floor[bound]) in row for bound in ("least", "most") if bound in floor)


def test_a_live_service_with_such_a_setting_is_not_ready_and_registers_no_person(root: Path, pool: SharedPool) -> None:
    with live(root, pool, free_failures=100, trusted_proxies="0.0.0.0/0") as service:
        service.pool.wait_full()
        answer = service.client.get("/readyz")
        refused = service.client.post("/v1/subjects", json={"declared_adult": True})
    reasons = [one for one in answer.json()["reasons"] if "hollow" in one]

    assert (answer.status_code, refused.status_code) == (503, 503)
    assert [one.partition(": '")[0] for one in reasons] == [
        "live: setting MIEN_FREE_FAILURES",
        "live: setting MIEN_TRUSTED_PROXIES",
    ]
    assert "'100' makes a law hollow; at most 5 is accepted; change MIEN_FREE_FAILURES" in reasons[0]

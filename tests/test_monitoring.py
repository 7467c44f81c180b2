"""Metrics of the service's state, their own listener, and the alerts and the dashboard that name them."""

import json
import os
import re
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError
from ruamel.yaml import YAML
from sqlalchemy import text
from structlog.testing import capture_logs

from app.backup.create import back_up
from app.callbacks.registration import set_callback
from app.jobs import serve_metrics
from app.settings import Settings
from app.vault.backup_manifest import LAST_BACKUP_FILE
from app.web.metrics import Metrics
from tests.architecture.source import ROOT
from tests.support.launcher import run_program
from tests.support.service_fixture import RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.support.waiting import wait_until

ALERTS, DASHBOARD = ROOT / "deploy" / "prometheus-alerts.yml", ROOT / "deploy" / "grafana-dashboard.json"
PAGE = (ROOT / "docs" / "how-to" / "monitor.md").read_text("utf-8")
Samples = dict[tuple[str, str], float]


def read(service: RunningService) -> Samples:
    """Return the values by name and first label value."""
    found = service.client.get("/metrics").text
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(found)
        for sample in family.samples
    }


def test_decisions_and_refusals_are_counted(service: RunningService) -> None:
    person, party, consent = service.enrolled()
    for face in (1, 1, 2):
        assert party.verify(consent["subject_ref"], toy_photo(face)).status_code == 200
    party.verify("unknown", toy_photo(1))
    service.client.get("/nowhere")
    service.client.head("/nowhere")
    service.client.post("/v1/subjects", content=b"[")
    service.client.post("/v1/subjects", content=bytes(service.settings.max_json_bytes + 1))
    person("POST", "/v1/verifications")
    found = read(service)

    assert {label: value for (name, label), value in found.items() if name == "mien_decisions_total"} == {
        "match": 2,
        "no_match": 1,
    }
    assert {label: value for (name, label), value in found.items() if name == "mien_refusals_total" and value} == {
        "no-such-consent": 1,
        "not-found": 2,
        "invalid-request": 1,
        "too-large": 1,
        "forbidden": 1,
    }


def test_the_queue_of_the_engine_is_counted(service: RunningService) -> None:
    _, party, consent = service.enrolled()
    during: list[Samples] = []
    service.pool.before = lambda: during.append(read(service))

    party.verify(consent["subject_ref"], toy_photo(1))

    service.pool.wait_full()
    # A worker gives its answer a moment before it is free.
    wait_until(service.pool.is_idle)
    found = read(service)
    assert (found["mien_engine_workers", ""], found["mien_engine_queue_size", ""]) == (2, 16)
    assert (found["mien_engine_running", ""], found["mien_engine_waiting", ""]) == (0, 0)
    assert len(during) == 1


def test_unsettled_callbacks_and_erasures_are_counted(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), background=False, sqlite_busy_s=0.2) as service:
        person, party = service.person(), service.party()
        before = read(service)
        set_callback(service.vault, party_id=UUID(party.id), to="https://127.0.0.1/", private=True, now=service.clock())
        service.consent(person, party)
        # No store confirms an erasure while a reader holds its write-ahead log.
        with service.vault.data.read() as reader:
            reader.execute(text("SELECT count(*) FROM subjects")).all()
            erased = person("DELETE", "/v1/me")
        during = read(service)

    names = ("mien_outbox_messages", "mien_erasures_in_progress")
    assert erased.status_code == 202
    assert [before[name, ""] for name in names] == [0, 0]
    assert [during[name, ""] for name in names] == [1, 1]


def test_the_age_of_the_last_maintenance_is_known(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), background=False) as service:
        assert ("mien_job_age_seconds", "sweep") not in read(service)

    with serving(root, pool, toy_card(), sweep_interval_s=3600.0) as service:
        wait_until(lambda: ("mien_job_age_seconds", "sweep") in read(service))
        first = read(service)["mien_job_age_seconds", "sweep"]
        wait_until(lambda: read(service)["mien_job_age_seconds", "sweep"] > first)

    assert first >= 0


def test_the_age_of_the_last_backup_is_known(service: RunningService, tmp_path: Path) -> None:
    before = read(service)
    back_up(service.settings, to=tmp_path / "one", version="1", now=service.clock(), progress=lambda _: None)
    after = read(service)
    file = service.settings.data_dir / LAST_BACKUP_FILE
    week = timedelta(days=7).total_seconds()
    at = file.stat().st_mtime
    os.utime(file, (at - week, at - week))
    later = read(service)
    back_up(service.settings, to=tmp_path / "two", version="1", now=service.clock(), progress=lambda _: None)

    assert ("mien_backup_age_seconds", "") not in before
    assert 0 <= after["mien_backup_age_seconds", ""] < week
    assert later["mien_backup_age_seconds", ""] >= week
    assert read(service)["mien_backup_age_seconds", ""] < week
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_other_metrics_stay_when_the_store_cannot_be_read(service: RunningService) -> None:
    whole = {name for name, _ in read(service)}
    service.vault.data.close()
    (path,) = service.root.rglob("mien.db")
    path.write_bytes(b"no database" * 1000)

    left = {name for name, _ in read(service)}

    assert whole - left == {"mien_outbox_messages", "mien_erasures_in_progress", "mien_templates"}


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
@pytest.mark.service
def test_the_listener_serves_the_metrics_and_nothing_else(host: str) -> None:
    metrics = Metrics()
    metrics.count_decision("match")

    with serve_metrics.listening(f"{host}:0", metrics.registry) as port:
        at = f"http://{host}:{port}"
        answers = [httpx.get(at + path, trust_env=False) for path in ("/metrics", "/v1/subjects")]
        refused = httpx.post(f"{at}/v1/subjects", json={"declared_adult": True}, trust_env=False)

    assert {answer.text for answer in answers} == {answers[0].text}
    assert 'mien_decisions_total{decision="match"} 1.0' in answers[0].text
    assert refused.status_code == 405
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{at}/metrics", trust_env=False)


def free_port() -> int:
    """Return a port that no program uses now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_the_program_has_a_listener_for_metrics(root: Path) -> None:
    port = free_port()

    with run_program(root, MIEN_METRICS="off", MIEN_METRICS_LISTEN=f"127.0.0.1:{port}") as running:
        hidden = running.client.get("/metrics")
        found = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text

    assert hidden.status_code == 404
    assert re.search("^mien_engine_workers [12]", found, re.MULTILINE)
    assert 'mien_requests_total{method="GET",route="/readyz",status="200"}' in found


@pytest.mark.service
def test_a_listener_that_cannot_listen_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, capture_logs() as lines:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match="in use"), serve_metrics.listening(address, CollectorRegistry()):
            pass

    assert [(line["event"], line["address"]) for line in lines] == [("cannot listen for metrics", address)]


@pytest.mark.parametrize("wrong", ["9464", ":9464", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x", "::1"])
def test_a_listener_has_a_host_and_a_port(wrong: str) -> None:
    with pytest.raises(ValidationError, match="is no host:port"):
        Settings(metrics_listen=wrong)


def named_metrics(source: str) -> set[str]:
    """Return the metrics that a text names."""
    return set(re.findall(r"\bmien_[a-z_]+", source))


def test_alerts_dashboard_and_page_name_metrics_that_exist(service: RunningService, tmp_path: Path) -> None:
    from_the_start = read(service)
    _, party, consent = service.enrolled()
    party.verify(consent["subject_ref"], toy_photo(1))
    service.client.get("/nowhere")
    back_up(service.settings, to=tmp_path / "backup", version="1", now=service.clock(), progress=lambda _: None)
    wait_until(lambda: ("mien_job_age_seconds", "sweep") in read(service))
    real = {name for name, _ in read(service) if name.startswith("mien_") and not name.endswith("_created")}
    alerts: Any = YAML(typ="safe").load(ALERTS)
    dashboard: Any = json.loads(DASHBOARD.read_text("utf-8"))
    rules = alerts["groups"][0]["rules"]
    expressions = [rule["expr"] for rule in rules]
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    histogram = {f"mien_request_seconds_{part}" for part in ("bucket", "count", "sum")}

    assert named_metrics(" ".join(expressions + shown)) <= real
    assert named_metrics(PAGE) == real - histogram | {"mien_request_seconds"}
    # The table explains every metric, and the dashboard shows it.
    assert real - histogram <= named_metrics(" ".join(shown))
    assert len({rule["alert"] for rule in rules}) == len(rules)
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in rules)
    slugs = set(re.findall(r'slug="([a-z-]+)"', " ".join(expressions)))
    errors = (ROOT / "docs" / "reference" / "errors.md").read_text("utf-8")
    assert {slug: from_the_start["mien_refusals_total", slug] for slug in slugs} == dict.fromkeys(slugs, 0)
    assert all(f"### `{slug}`" in errors for slug in slugs)
    assert slugs
    assert set(re.findall(r'name="([a-z]+)"', " ".join(expressions))) == {"sweep"}

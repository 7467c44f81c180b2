"""The files in `deploy/` and `compose.postgres.yaml`: they fit the program, each other and the tools that read them."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from app.main import ROUTERS
from app.settings import Settings
from tests.architecture.source import ROOT

DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "systemd" / "mien.service"
BALANCER = (DEPLOY / "haproxy" / "haproxy.cfg").read_text("utf-8")
COMPOSE = ROOT / "compose.postgres.yaml"
PAGE = ROOT / "docs" / "how-to" / "run-several-processes.md"
PROTECTIONS = [
    "NoNewPrivileges",
    "ProtectHome",
    "PrivateTmp",
    "PrivateDevices",
    "ProtectClock",
    "ProtectControlGroups",
    "ProtectHostname",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "RestrictNamespaces",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "LockPersonality",
]


def read_yaml(path: Path) -> Any:
    """Read one document of YAML."""
    return YAML(typ="safe").load(path)


def kubernetes(name: str) -> Any:
    """Read one of the manifests."""
    return read_yaml(DEPLOY / "kubernetes" / f"{name}.yaml")


def unit() -> dict[str, list[str]]:
    """Return the values of each name in the unit."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text("utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def paths() -> set[str]:
    """Return the paths of the service."""
    return {route.path for router in ROUTERS for route in router.routes}  # type: ignore[attr-defined]  # each has one


def test_every_variable_is_a_setting() -> None:
    known = {f"MIEN_{name.upper()}" for name in Settings.model_fields}
    files = [COMPOSE, PAGE, *(path for path in DEPLOY.rglob("*") if path.is_file())]
    used = {name for path in files for name in re.findall(r"MIEN_[A-Z_]+", path.read_text("utf-8"))}

    assert {"MIEN_DATABASE_URL", "MIEN_REGISTER_URL", "MIEN_METRICS_LISTEN", "MIEN_TRUSTED_PROXIES"} <= used <= known


def test_the_unit_has_few_rights() -> None:
    found = unit()

    assert found["User"] == ["mien"]
    assert found["CapabilityBoundingSet"] == [""]
    assert found["ProtectSystem"] == ["strict"]
    assert [name for name in PROTECTIONS if found.get(name) != ["yes"]] == []


def test_the_unit_keeps_data_and_keys_apart_and_waits_for_requests() -> None:
    found = unit()
    directories = [f"/var/lib/{name}" for name in found["StateDirectory"][0].split()]

    assert found["Environment"] == [f"MIEN_DATA_DIR={directories[0]} MIEN_KEYS_DIR={directories[1]}"]
    assert int(found["TimeoutStopSec"][0]) > Settings.model_fields["shutdown_grace_s"].default


@pytest.mark.service
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    # Where systemd is installed. The program is not in /opt here, and a user of this name need not exist.
    if (analyze := shutil.which("systemd-analyze")) is None:
        return
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text("utf-8").replace("/opt/mien/bin/mien", shutil.which("true") or ""))
    found = subprocess.run([analyze, "verify", copy], capture_output=True, text=True, check=False)

    assert (found.returncode, found.stderr) == (0, "")


def test_the_pod_has_few_rights() -> None:
    pod = kubernetes("deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert {one["mountPath"] for one in container["volumeMounts"]} >= {"/var/lib/mien/data", "/tmp"}  # noqa: S108
    assert [one["secretRef"]["name"] for one in container["envFrom"]] == ["mien"]


def test_the_probes_of_the_pod_are_paths_of_the_service() -> None:
    pod = kubernetes("deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    probed = [container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])

    # A process that is not ready must not be killed: it answers rights, and names the missing items.
    assert probed == ["/livez", "/livez", "/readyz"]
    assert set(probed) <= paths()
    assert pod["terminationGracePeriodSeconds"] > Settings.model_fields["shutdown_grace_s"].default + pause


def test_the_manifests_name_each_other() -> None:
    label = kubernetes("deployment")["spec"]["template"]["metadata"]["labels"]
    listed = {Path(name).stem for name in kubernetes("kustomization")["resources"]}
    files = {path.stem for path in (DEPLOY / "kubernetes").glob("*.yaml")}

    assert kubernetes("service")["spec"]["selector"] == label
    assert kubernetes("disruption")["spec"]["selector"]["matchLabels"] == label
    assert kubernetes("network")["spec"]["podSelector"]["matchLabels"] == label
    assert files == listed | {"kustomization"}


def test_the_autoscaler_follows_a_metric_of_the_service() -> None:
    spec = kubernetes("autoscaler")["spec"]
    (metric,) = spec["metrics"]

    assert f'"{metric["pods"]["metric"]["name"]}"' in (ROOT / "app/jobs/serve_metrics.py").read_text("utf-8")
    assert int(metric["pods"]["target"]["averageValue"]) < Settings.model_fields["engine_queue"].default
    assert spec["scaleTargetRef"]["name"] == kubernetes("deployment")["metadata"]["name"]


def test_the_balancer_sends_to_the_two_processes_that_are_ready() -> None:
    services = read_yaml(COMPOSE)["services"]
    servers = re.findall(r"^ +server (\S+) (\S+):8000$", BALANCER, re.MULTILINE)
    checked = re.search(r"http-check send meth GET uri (\S+)", BALANCER)

    assert servers == [("api-1", "api-1"), ("api-2", "api-2")]
    assert {name for name, _ in servers} <= services.keys()
    assert checked is not None
    assert checked[1] in paths()
    assert all("/readyz" in services[name]["healthcheck"]["test"][-1] for name, _ in servers)


def test_compose_has_two_clusters_and_a_register_without_archive() -> None:
    file = read_yaml(COMPOSE)
    data, register = (file["services"][name] for name in ("data", "register"))

    assert data["image"] == register["image"] == "postgres:18"
    assert data["volumes"] != register["volumes"]
    assert data["secrets"] != register["secrets"]
    assert "archive_mode=off" in register["command"]


def test_the_image_of_compose_has_the_driver_of_postgresql() -> None:
    build = read_yaml(COMPOSE)["services"]["api-1"]["build"]
    ((name, file),) = build["args"].items()

    assert f"ARG {name}=run.txt" in (ROOT / "Dockerfile").read_text("utf-8")
    assert "psycopg==" in (ROOT / "requirements" / file).read_text("utf-8")


def test_compose_publishes_the_balancer_alone_on_this_machine_alone() -> None:
    services = read_yaml(COMPOSE)["services"]
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}

    assert published == {"balancer": ["127.0.0.1:8000:8000"]}
    assert all(service["cap_drop"] == ["ALL"] for service in services.values())

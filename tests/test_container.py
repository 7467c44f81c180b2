"""The container's files, read without Docker: they match the description in `docs/how-to/run-in-a-container.md`."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from tests.architecture.source import ROOT
from tests.support.launcher import run_program

COMPILERS = ("gcc", "g++", "cc", "clang", "make", "cmake", "build-essential", "python3-dev", "cargo", "rustc")

Step = tuple[str, str]
"""An instruction and its arguments, on one line."""


def steps(text: str) -> list[Step]:
    """Return the instructions of a Dockerfile."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def final(found: list[Step]) -> list[Step]:
    """Give the steps of the last stage."""
    starts = [number for number, (word, _) in enumerate(found) if word == "FROM"]
    return found[starts[-1] :]


DOCKERFILE = steps((ROOT / "Dockerfile").read_text("utf-8"))
IMAGE = final(DOCKERFILE)
COMPOSE = (ROOT / "compose.yaml").read_text("utf-8")


def given(word: str, among: list[Step] = IMAGE) -> list[str]:
    return [rest for step, rest in among if step == word]


def test_the_base_is_slim_and_pinned_by_tag_or_digest() -> None:
    (tag,) = [rest for rest in given("ARG", DOCKERFILE) if rest.startswith("PYTHON=")]

    assert re.fullmatch(r"PYTHON=3\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", tag)
    assert {base.split()[0] for base in given("FROM", DOCKERFILE)} == {"python:${PYTHON}"}


def test_it_does_not_run_as_root() -> None:
    user = given("USER")[-1]

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert user in COMPOSE
    assert [word for word, _ in IMAGE].index("USER") < [word for word, _ in IMAGE].index("CMD")


def health_check(port: int) -> int:
    """Run the health check on this machine's *port*; return its exit code."""
    (check,) = given("HEALTHCHECK")
    program, *arguments = json.loads(check.partition("CMD ")[2])
    assert program == "python"
    command = [sys.executable, *(one.replace(":8000/", f":{port}/") for one in arguments)]
    assert str(port) in command[-1]
    return subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.service
def test_live_is_healthy_before_it_is_ready(root: Path) -> None:
    with run_program(root, wait=False, MIEN_PROFILE="live") as running:
        port = running.client.base_url.port
        assert port is not None

        assert running.client.get("/readyz").json()["status"] == "not ready"
        assert health_check(port) == 0
        running.stop()
        assert health_check(port) != 0


def test_compose_waits_for_the_health_check_of_the_image() -> None:
    assert "healthcheck" not in compose()["services"]["mien"]


def test_the_final_stage_has_no_compiler() -> None:
    words = {word for run in given("RUN") for word in re.split(r"[\s&|;]+", run)}

    assert not words & set(COMPILERS)
    assert "libseccomp2=${LIBSECCOMP2}" in words


def test_every_package_of_the_system_has_a_version() -> None:
    (install,) = re.findall(r"apt-get install ([^&]+)", " ".join(given("RUN", DOCKERFILE)))
    packages = [word for word in install.split() if not word.startswith("-")]
    (version,) = [rest for rest in given("ARG", DOCKERFILE) if rest.startswith("LIBSECCOMP2=")]

    assert packages == ["libseccomp2=${LIBSECCOMP2}"]
    assert re.fullmatch(r"LIBSECCOMP2=[0-9.]+-[0-9]\S*", version)
    assert "LIBSECCOMP2" in [rest for word, rest in IMAGE if word == "ARG"], "a stage sees only what it declares"


@pytest.mark.parametrize("answer", [f"sha256:{'a1' * 32}", "unauthorized"])
@pytest.mark.service
def test_the_base_is_pinned_by_a_command(tmp_path: Path, answer: str) -> None:
    (tmp_path / "Dockerfile").write_text("ARG PYTHON=3.13-slim-trixie\nFROM python:${PYTHON}\n")
    client = tmp_path / "docker"
    client.write_text(f'#!/bin/sh\n[ "$4" = python:3.13-slim-trixie ] && echo {answer}\n')
    client.chmod(0o755)
    command = ["make", "-f", str(ROOT / "Makefile"), "pin-base"]
    path = f"{tmp_path}:{os.environ['PATH']}"
    # Pinned once more: the old digest is replaced.
    codes = [
        subprocess.run(command, cwd=tmp_path, env=os.environ | {"PATH": path}, check=False).returncode for _ in "ab"
    ]
    (first, _) = (tmp_path / "Dockerfile").read_text().splitlines()

    pinned = answer.startswith("sha256:")
    assert first == f"ARG PYTHON=3.13-slim-trixie{f'@{answer}' if pinned else ''}"
    assert [code == 0 for code in codes] == [pinned, pinned]


def test_wheels_are_installed_by_hash_and_nothing_is_built() -> None:
    installs = [run for run in given("RUN", DOCKERFILE) if "pip install" in run]

    assert installs
    assert all(
        {"--require-hashes", "--no-deps", "--only-binary"} <= set(shlex.split(run.replace("&&", " ")))
        for run in installs
    )


def test_copied_files_exist_and_are_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    copied = [source for rest in given("COPY", DOCKERFILE) if "--from" not in rest for source in rest.split()[:-1]]

    assert ignored[0] == "*"
    assert copied
    assert not [source for source in copied if not (ROOT / source).exists()]
    assert not [source for source in copied if f"!{source}" not in ignored]


def test_every_variable_is_a_setting() -> None:
    known = {f"MIEN_{name.upper()}" for name in Settings.model_fields}
    used = set(re.findall(r"MIEN_[A-Z_]+", (ROOT / "Dockerfile").read_text("utf-8") + COMPOSE))

    assert {"MIEN_DATA_DIR", "MIEN_KEYS_DIR"} <= used <= known


def test_data_and_keys_are_two_volumes() -> None:
    places = json.loads(given("VOLUME")[0])
    service = compose()["services"]["mien"]

    assert len(places) == 2
    assert {volume.partition(":")[2] for volume in service["volumes"]} == set(places)
    assert len(compose()["volumes"]) == 2


def test_compose_drops_unneeded_rights_of_the_container() -> None:
    service = compose()["services"]["mien"]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"][0].startswith("/tmp:")  # noqa: S108 - the container's own
    assert service["mem_limit"]
    assert service["ports"][0].startswith("127.0.0.1:")
    assert "privileged" not in service


def compose() -> dict[str, Any]:
    """Read the part of YAML that compose.yaml is written in: mappings, lists, plain and quoted values."""
    lines = [line for line in COMPOSE.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    found, rest = block(lines, 0)
    assert not rest
    assert isinstance(found, dict)
    return found


def block(lines: list[str], indent: int) -> tuple[Any, list[str]]:
    """Read the lines at *indent* and deeper. Returns their values, and the lines after them."""
    if lines and lines[0].startswith(" " * indent + "- "):
        items = []
        while lines and lines[0].startswith(" " * indent + "- "):
            items.append(value(lines.pop(0).strip()[2:]))
        return items, lines
    mapping: dict[str, Any] = {}
    while lines and len(lines[0]) - len(lines[0].lstrip()) == indent:
        name, colon, rest = lines.pop(0).strip().partition(":")
        assert colon, name
        if rest.strip():
            mapping[name] = value(rest.strip())
            continue
        deeper = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
        mapping[name], lines = block(lines, deeper) if deeper > indent else (None, lines)
    return mapping, lines


def value(text: str) -> Any:
    if text.startswith("["):
        return [value(item.strip()) for item in text.strip("[]").split(",")]
    return int(text) if text.isdigit() else {"true": True, "false": False}.get(text, text.strip('"'))


@pytest.mark.parametrize("text", ["FROM a\nUSER root\nFROM b\nUSER 1:1\nCMD x", "FROM b\n# USER root\nUSER 1:1"])
def test_only_the_last_stage_counts_and_comments_do_not(text: str) -> None:
    assert given("USER", final(steps(text))) == ["1:1"]

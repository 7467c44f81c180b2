"""Committed files name no machine and no registry; the requirement lists contain only pinned packages."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

NOT_COMMITTED = {
    *(".git", ".venv", "var", "build", "dist", "__pycache__", "node_modules"),
    *(".hypothesis", ".import_linter_cache", ".mypy_cache", ".pytest_cache", ".ruff_cache"),
}

REGISTRY = re.compile(
    r"\b(pypi\.org|pythonhosted\.org|npmjs\.(org|com)|crates\.io|proxy\.golang\.org|(deb|security)\.debian\.org|repo1?\.maven)\b"
    r"|--(extra-)?index-[u]rl|--find-[l]inks|file:/{3}"
)
MACHINE_PATH = re.compile(r"(?<![\w.}\])])/(work|root|tmp|home/\w+|Users/\w+)/")

PINNED = re.compile(r"[a-z0-9-]+==[\w.]+( ; [\w.' =<>!()]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
COMMENT = re.compile(r" *#[^:]*(:[^/]*)?")


def committed() -> Iterator[tuple[str, str]]:
    """Yield the path and text of every file that is, or would be, committed."""
    for folder, names, files in os.walk(ROOT):
        names[:] = [name for name in names if name not in NOT_COMMITTED]
        for name in set(files) - NOT_COMMITTED:
            path = Path(folder, name)
            content = path.read_bytes()
            if b"\0" not in content[:8192]:
                yield path.relative_to(ROOT).as_posix(), content.decode("utf-8", "replace")


def foreign(text: str) -> list[str]:
    """Return the parts of *text* that name a path of one machine, or a registry."""
    return [match.group() for rule in (REGISTRY, MACHINE_PATH) for match in rule.finditer(text)]


def unpinned(text: str) -> list[str]:
    """Return the lines of a requirement list that are no pinned version, hash or comment, or lack a hash."""
    faults = []
    lines = text.splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if not any(form.fullmatch(line) for form in (PINNED, HASH, COMMENT)):
            faults.append(line)
        elif PINNED.fullmatch(line) and not HASH.fullmatch(after):
            faults.append(f"{line} has no hash")
    return faults


def test_no_registry_and_no_path_of_one_machine() -> None:
    faults = [f"{path}: {fault}" for path, text in committed() for fault in foreign(text)]

    assert not faults, "\n".join(["", *faults])


@pytest.mark.parametrize("name", ["run", "dev"])
def test_requirements_are_pinned_by_hash_and_nothing_else(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")

    assert "==" in text
    assert not unpinned(text)


def test_the_tested_versions_are_those_that_run() -> None:
    run, dev = (
        {line for line in (ROOT / "requirements" / f"{name}.txt").read_text("utf-8").splitlines() if "==" in line}
        for name in ("run", "dev")
    )

    assert run <= dev


@pytest.mark.parametrize(
    "text",
    [
        "https://" + "pypi" + ".org/simple",
        "--index" + "-url x",
        "--find" + "-links x",
        "file:" + "///opt/x",
        "open('/" + "tmp/x')",
        "cd /" + "root/x",
        "see /" + "work/main",
        "/" + "home/ann/mien",
    ],
)
def test_foreign_text_is_found(text: str) -> None:
    assert foreign(text)


@pytest.mark.parametrize(
    "text", ["tests/work/x", "https://example.org/work/x", "/v1/subjects", "/var/lib/mien/data", "$TMPDIR/x"]
)
def test_common_text_is_accepted(text: str) -> None:
    assert not foreign(text)


@pytest.mark.parametrize(
    "line",
    [
        "numpy>=2.4",
        "numpy==2.4.6",
        "numpy @ https://example.org/numpy.whl",
        "--extra-index" + "-url https://example.org",
        "-e .",
        "./numpy.whl",
        "# from https://example.org",
        "numpy==2.4.6 \\",
    ],
)
def test_unpinned_line_is_found(line: str) -> None:
    assert unpinned(line)

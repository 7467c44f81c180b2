"""Run tests that mount disks where mounting is allowed: in this process, or else in an own namespace."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.disks import mounts

INSIDE = "MIEN_TESTS_INSIDE_NAMESPACE"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that mounts once more, in a user and mount namespace, if it cannot mount here.

    It is never skipped: where neither is allowed, it fails with the reason.
    """
    if pyfuncitem.get_closest_marker("mounts") is None or INSIDE in os.environ:
        return None
    place = Path(str(pyfuncitem.funcargs["tmp_path"])) / "mountable"
    place.mkdir()
    if mounts(place):
        return None
    again = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
        "--import-mode=importlib",
    ]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", *again, "-p", "no:schemathesis", pyfuncitem.nodeid],
        env={**os.environ, INSIDE: "1"},
        cwd=pyfuncitem.config.rootpath,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, f"neither here nor in a namespace can this be tested:\n{done.stdout}{done.stderr}"
    return True

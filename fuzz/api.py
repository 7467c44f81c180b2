"""Send generated requests to every operation, once in each role (`make schemathesis`).

Starts a service of its own in a temporary directory.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROLES = ("public", "person", "relying party")
HERE = Path(__file__).parent
ENGINE = {"MIEN_ENGINE": "sface", "MIEN_ENGINE_WORKERS": "1", "MIEN_FAILED_REFERENCES": "10000"}
UNLIMITED = {"MIEN_SIGN_UPS_PER_MINUTE": "1000000", "MIEN_RECOVERY_FAILURES_PER_MINUTE": "1000000"}
PARTY = ("relying-party", "add", "Door", "--contact", "door@example.org", "--purpose", "verification")
PROGRAM = (sys.executable, "-m", "app")


def _fuzz(address: str, role: str, key: str, options: list[str], root: str) -> int:
    """Run schemathesis in one role and leave its files in *root*; returns its exit code."""
    sys.stdout.write(f"* {role}\n")
    sys.stdout.flush()
    hooks = {"PYTHONPATH": str(HERE.parent), "SCHEMATHESIS_HOOKS": "fuzz.api_roles"}
    given = {"MIEN_FUZZ_API": address, "MIEN_FUZZ_ROLE": role, "MIEN_FUZZ_KEY": key}
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(HERE / "schemathesis.toml")]
    run = subprocess.run(  # noqa: S603 - its own arguments
        [*command, "run", f"{address}/openapi.json", *options], env=os.environ | hooks | given, cwd=root, check=False
    )
    return run.returncode


def main(options: list[str]) -> int:
    """Serve, and run every role; returns the worst exit code."""
    with tempfile.TemporaryDirectory() as root:
        places = {"MIEN_DATA_DIR": f"{root}/data", "MIEN_KEYS_DIR": f"{root}/keys"}
        environment = os.environ | places | ENGINE | UNLIMITED
        with (
            Path(root, "log").open("wb") as log,
            subprocess.Popen(  # noqa: S603 - as above
                [*PROGRAM, "serve", "--port", "0", "--json"], env=environment, stdout=subprocess.PIPE, stderr=log
            ) as service,
        ):
            try:
                address = json.loads(service.stdout.readline())["address"] if service.stdout is not None else ""
                added = subprocess.run(  # noqa: S603 - as above
                    [*PROGRAM, *PARTY, "--alternative", "a key card", "--json"],
                    env=environment,
                    capture_output=True,
                    check=True,
                )
                key = json.loads(added.stdout)["api_key"]
                return max(_fuzz(address, role, key, options, root) for role in ROLES)
            finally:
                service.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Run commands of `mien` in this process, which is much faster than in a process of their own."""

from pathlib import Path
from unittest.mock import patch

from typer.testing import CliRunner, Result

from app.cli.program import app
from tests.support.launcher import environment


def invoke(root: Path, *arguments: str, **settings: str) -> Result:
    """Run one command on the stores in *root*, which no service uses now."""
    # The application log stays as the tests configured it.
    with patch("app.web.request_log.configure"):
        return CliRunner(env=environment(root, **settings)).invoke(app, list(arguments))

"""The `mien` command. Exit codes: 0 done, 1 refused with a reason, 2 wrong usage."""

import typer

from app.cli import (
    compliance,
    demo,
    disputes,
    engines,
    evaluate,
    keys,
    log,
    notices,
    receipts,
    relying_parties,
    serve,
    storage,
)
from app.web import request_log

app = typer.Typer(
    name="mien",
    help="Face matching that asks first. Settings are environment variables MIEN_…: see docs/reference/settings.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for commands in (serve, demo, storage, receipts, log, compliance, disputes, evaluate, engines):
    app.add_typer(commands.app)
app.add_typer(engines.engines_app, name="engines")
app.add_typer(notices.app, name="notice")
app.add_typer(relying_parties.app, name="relying-party")
app.add_typer(keys.app, name="keys")


def main() -> None:
    """Run the command."""
    request_log.configure()
    app(prog_name="mien")

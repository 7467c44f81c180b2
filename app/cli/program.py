"""The `mien` command. Exits 0 (done), 1 (refused, and said why) or 2 (usage)."""

import typer

from app.cli import compliance, disputes, engine_comparison, engines, relying_parties
from app.cli import evaluate as evaluating
from app.cli import log as auditing
from app.cli import receipts as proving
from app.cli import serve as serving
from app.cli import storage as keeping
from app.web import request_log

app = typer.Typer(
    name="mien",
    help="Face matching that asks first. Settings are environment variables MIEN_…: see docs/reference/settings.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(serving.app)
app.add_typer(keeping.app)
app.add_typer(proving.app)
app.add_typer(auditing.app)
app.add_typer(compliance.app)
app.add_typer(disputes.app)
app.add_typer(evaluating.app)
app.add_typer(engines.app)
engines.engines_app.add_typer(engine_comparison.app)
app.add_typer(engines.engines_app, name="engines")
app.add_typer(relying_parties.notice_app, name="notice")
app.add_typer(relying_parties.party_app, name="relying-party")
app.add_typer(keeping.keys_app, name="keys")


def main() -> None:
    """Run the command."""
    request_log.configure()
    app(prog_name="mien")

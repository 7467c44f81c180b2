"""The `mien` command. Exits 0 (done), 1 (refused, and said why) or 2 (usage)."""

import typer

from app.cli import asking, auditing, comparing, disputing, evaluating, keeping, papers, proving, serving
from app.kit import log

app = typer.Typer(
    name="mien",
    help="Face matching that asks first. Settings are environment variables MIEN_…: see docs/settings.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(serving.app)
app.add_typer(keeping.app)
app.add_typer(proving.app)
app.add_typer(auditing.app)
app.add_typer(papers.app)
app.add_typer(disputing.app)
app.add_typer(evaluating.app)
app.add_typer(asking.notice_app, name="notice")
app.add_typer(asking.party_app, name="relying-party")
app.add_typer(keeping.keys_app, name="keys")
app.add_typer(comparing.app, name="engines")


def main() -> None:
    """Run the command."""
    log.configure()
    app(prog_name="mien")

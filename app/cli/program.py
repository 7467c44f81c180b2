"""The `mien` command. Exit codes: 0 done, 1 refused with a reason, 2 wrong usage.

A command group imports half the program, so it is imported only when one of its commands runs. `mien --help`, and
commands without the stores, start in a fraction of the time.
"""

import functools
import gc
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from app.cli.errors import refuse_on_error
from app.kit.process_memory import protect_process
from app.kit.resources import shipped_directory
from app.kit.version import __version__


class Command(NamedTuple):
    """A command or a group of commands."""

    module: str
    """Module of `app.cli` whose `app` has the command, or is the group."""
    summary: str
    """First paragraph of its help."""


COMMANDS: Mapping[str, Command] = {
    "serve": Command("serve", "Run the service. An empty data directory is set up first, with the shipped notices."),
    "demo": Command(
        "demo", "Play the whole story: synthetic people use a real service over HTTP, in temporary directories."
    ),
    "migrate": Command(
        "storage",
        "Bring both databases to this version's schema. An empty data directory also gets the shipped notices.",
    ),
    "sweep": Command(
        "storage",
        "Run maintenance now: apply the retention policy, resume erasures, send messages to relying parties.",
    ),
    "backup": Command(
        "storage",
        "Back up the data, also while the service runs; never the register, never the key-encryption key.",
    ),
    "restore": Command(
        "storage",
        "Replace the data with a backup. Consents and accounts that ended since then stay ended. "
        "Stop the service first.",
    ),
    "move": Command(
        "storage",
        "Move both stores from SQLite to the PostgreSQL databases of the settings. Stop the service first.",
    ),
    "restore-check": Command(
        "storage",
        "Check both stores after a restore or failover by the tools of PostgreSQL, and delete what ended since.",
    ),
    "verify-receipt": Command(
        "receipts",
        "Check that a receipt was signed by that key, is unchanged, and is in the transparency log. Works offline.",
    ),
    "verify-log": Command(
        "log", "Check the whole transparency log and name the first entry that was changed. Changes nothing."
    ),
    "witness": Command(
        "log",
        "Store the checkpoints of a service's transparency log and check that each one continues the one before.",
    ),
    "records-of-processing": Command(
        "compliance",
        "Print the record of processing activities (GDPR Art. 30) of this service as it is configured now.",
    ),
    "dpia-inputs": Command(
        "compliance",
        "Print the facts for a data protection impact assessment (GDPR Art. 35), and the questions left to people.",
    ),
    "privacy-notice": Command(
        "compliance",
        "Print the privacy notice (GDPR Art. 13) in Markdown: the text for people whose data is collected.",
    ),
    "live-check": Command(
        "compliance", "List the requirements of MIEN_PROFILE=live: met or missing, the reason, and the next step."
    ),
    "disputes": Command(
        "disputes",
        "List the comparisons that people say were not them, oldest first, each with the person's own note.",
    ),
    "evaluate": Command(
        "evaluate",
        "Measure the engine's error rates of images in DIR, as JSON and a page (docs/how-to/evaluate-an-engine.md).",
    ),
    "renew-templates": Command(
        "engines", "Renew templates of superseded engines now, from the photos that people agreed to keep."
    ),
    "engines": Command("engines", "Compare engines, and count the templates of each."),
    "notice": Command("notices", "The texts that people read before they consent."),
    "relying-party": Command("relying_parties", "Relying parties, which ask for comparisons, and their keys."),
    "keys": Command("keys", "The key-encryption key, which wraps all other keys, and signing keys."),
}


@functools.cache
def load_command(name: str) -> Any:  # noqa: ANN401 - typer does not publish the type of a command
    """Import the module of a command and return the command."""
    # Everything that imports make stays until the end; collecting it again and again takes a sixth of their time.
    gc.disable()
    group = get_group(import_module(f"app.cli.{COMMANDS[name].module}").app)
    gc.freeze()
    gc.enable()
    return group.commands.get(name, group)


class Program(TyperGroup):
    """The root of all commands: loads the one that runs, and prints its expected errors as one sentence."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - typer's own
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=command.summary) for name, command in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - as `load_command`
        """Return the command that *args* name, loaded."""
        name, command, rest = super().resolve_command(ctx, args)
        loaded = command and load_command(str(name))
        if ctx.obj is not None:
            ctx.obj()
        return name, loaded, rest

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as `load_command`
        """Run the command."""
        with refuse_on_error():
            return super().invoke(ctx)


app = typer.Typer(
    name="mien",
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"The pages docs/… are in {shipped_directory('docs')}.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer's callback
    if wanted:
        typer.echo(f"mien {__version__}")
        raise typer.Exit


@app.callback()
def mien(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Face matching that asks first. Settings are environment variables MIEN_…: see docs/reference/settings.md."""


def main() -> None:
    """Run the command, in a process that no other process of the same user can read."""
    # First: the settings may hold the key-encryption key.
    protect_process()
    app(prog_name="mien", obj=_configure_log)


def _configure_log() -> None:
    """Configure the application log if the loaded command can write to it."""
    if "structlog" in sys.modules:
        import_module("app.kit.application_log").configure()

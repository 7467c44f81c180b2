"""`mien demo`."""

from typing import Annotated

import typer
from rich.console import Console

from app.cli.command import Json, print_result
from app.demo.story import play

app = typer.Typer()


@app.command()
def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary directories.")] = False,
    as_json: Json = False,
) -> None:
    """Play the whole story: synthetic people use a real service over HTTP, in temporary directories."""
    passed = play(console=Console(stderr=as_json), keep=keep)
    if as_json:
        print_result({"held": passed}, as_json=True)
    raise typer.Exit(0 if passed else 1)

"""`mien engines` and `mien renew-templates`: what a change of the engine leaves to be done."""

import json
from dataclasses import asdict
from typing import Any

import typer

from app.cli.command import Json, answer, opened, read_settings
from app.faces.service import Measuring
from app.kit.clock import utc_now
from app.kit.progress import telling
from app.main import choose_threshold, create_engine
from app.templates import coverage, engine_history, renewal

app = typer.Typer()
engines_app = typer.Typer(no_args_is_help=True, help="The engines: which there are, which is in force, and which were.")


@engines_app.command("coverage")
def show_coverage(*, as_json: Json = False) -> None:
    """Count the templates of each engine: how many are renewed from kept photos, and whose people have to enrol again.

    Counts only. Every template is opened, to find those whose label is false.
    """
    with opened(read_settings()) as vault, telling() as tell:
        with vault.data.read() as session:
            found = coverage.by_engine(session, now=utc_now())
        mislabelled = coverage.mislabelled(vault, tell=tell)
    if as_json:
        told = {"engines": [asdict(one) for one in found], "mislabelled": mislabelled}
        typer.echo(json.dumps(told, default=str))
        return
    for one in found:
        typer.echo(_line(one))
    typer.echo(f"templates with a false label, never compared: {mislabelled}")


def _line(one: coverage.Coverage) -> str:
    known = f"{one.engine} ({one.weights_sha256[:8]})"
    if one.in_force:
        return f"{known}  in force since {one.in_force_from}: {one.templates} templates"
    if not one.templates:
        return f"{known}  superseded {one.in_force_until}: no templates"
    return (
        f"{known}  superseded {one.in_force_until}: {one.templates} templates, which end on {one.templates_end_on}; "
        f"{one.renewable} are renewed from kept photos, of {one.enrol_again} people have to enrol again"
    )


@app.command("renew-templates")
def renew_templates(*, as_json: Json = False) -> None:
    """Renew now, from photos that people agreed to keep, the templates of engines that are no longer in force.

    The service does that by itself when it has nothing else to measure. The engine in force has to be MIEN_ENGINE.
    """
    settings = read_settings()
    with opened(settings) as vault, telling() as tell:
        pool, card = create_engine(settings)
        with vault.data.read() as session:
            engine_history.refuse_if_not_in_force(session, card)
        faces: Measuring = choose_threshold(settings, (pool, card))
        pool.start()
        try:
            done = renewal.look(renewal.Look(vault=vault, faces=faces, tell_time=utc_now, tell=tell))
        finally:
            pool.close()
    told: dict[str, Any] = asdict(done)
    answer(told, as_json=as_json)

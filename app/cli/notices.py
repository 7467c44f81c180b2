"""`mien notice`: the texts that people read before they consent."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from app.cli.command import Json, print_result, read_settings
from app.cli.stores import open_stores
from app.compliance import notice_facts, shipped_notices
from app.consent import notice_template, notices
from app.consent.facts import Facts
from app.consent.notice_template import NoticeError
from app.faces.cards.select import select_card
from app.faces.permit import Purpose
from app.kit.clock import utc_now
from app.kit.files import read_limited
from app.kit.text import to_utf8

app = typer.Typer(no_args_is_help=True, help="The texts that people read before they consent.")
MAX_BYTES = 1024 * 1024
"""Bytes of a notice's file."""

PurposeArgument = Annotated[Purpose, typer.Argument(metavar="PURPOSE", help=f"One of {', '.join(Purpose)}.")]


@contextmanager
def _transaction() -> Iterator[tuple[Session, Facts]]:
    """Open one write transaction on the data store, with the facts in force."""
    settings = read_settings()
    facts = notice_facts.collect(settings, select_card(settings))
    with open_stores(settings) as vault, vault.data.write() as session:
        yield session, facts


@app.command("list")
def list_notices(*, as_json: Json = False) -> None:
    """List every published notice: in force, stale, retired or superseded.

    A stale notice states a fact that is no longer true; new consents wait until its next version is published.
    """
    with _transaction() as (session, facts):
        found = notices.list_history(session, facts)
    if as_json:
        typer.echo(json.dumps({"notices": [_as_json(one) for one in found]}))
        return
    for one in found:
        notice, changed = one.notice, f"  changed: {', '.join(one.changed)}" if one.changed else ""
        published = f"{notice.published_at:%Y-%m-%d %H:%M} UTC"
        typer.echo(f"{notice.purpose}.{notice.language}  version {notice.version}  {published}  {one.state}{changed}")


def _as_json(status: notices.NoticeStatus) -> dict[str, Any]:
    notice = status.notice
    return {
        "purpose": notice.purpose,
        "language": notice.language,
        "version": notice.version,
        "published_at": notice.published_at.isoformat(timespec="seconds"),
        "state": status.state,
        "changed": list(status.changed),
        "sha256": notice.sha256,
    }


@app.command("draft")
def draft_notice(
    purpose: PurposeArgument,
    *,
    language: Annotated[str, typer.Option(help="Language of the notice.")] = "en",
    filled: Annotated[bool, typer.Option("--filled", help="Fill the placeholders, as people will read them.")] = False,
    as_json: Json = False,
) -> None:
    """Print the next version of a notice, with its placeholders, for `mien notice publish`.

    It starts from the latest notice for the purpose and language; without one, from the text that ships with Mien.
    """
    with _transaction() as (session, facts):
        latest = notices.find_latest(session, purpose, language)
        template = shipped_notices.find(purpose, language) if latest is None else latest.template
        template = template or shipped_notices.find(purpose, language)
        if template is None:
            raise NoticeError(f"there is no notice for {purpose} in {language} to start from")
        version = shipped_notices.VERSION if latest is None else latest.version + 1
        draft = notice_template.with_version(template, version)
        text = (notice_template.fill(draft, facts, version=version).body if filled else draft).decode()
    if as_json:
        print_result({"purpose": str(purpose), "language": language, "version": version, "text": text}, as_json=True)
    else:
        typer.echo(text, nl=False)


@app.command("publish")
def publish_notice(file: Annotated[Path, typer.Argument(metavar="FILE")], *, as_json: Json = False) -> None:
    """Fill a notice with the facts in force, and put it in force for its purpose.

    Placeholders such as $engine stand for facts: see docs/reference/notices.md. Earlier consents stay under the notice
    that they were given on.
    """
    with _transaction() as (session, facts):
        head, new = notices.publish_template(
            session, to_utf8(read_limited(file, max_bytes=MAX_BYTES)), facts, now=utc_now()
        )
    print_result({**asdict(head), "new": new}, as_json=as_json)


@app.command("publish-shipped")
def publish_shipped(
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Also replace notices of your own text.")] = False,
    as_json: Json = False,
) -> None:
    """Publish the notices that ship with Mien, filled with the facts in force. Unchanged notices stay in force.

    A changed text gets the next version. Earlier consents stay under the older text until they end. In `live` the
    notices name the controller of the settings; all its settings are needed.
    """
    with _transaction() as (session, facts):
        published = shipped_notices.publish_shipped(session, facts, now=utc_now(), replace=replace)
    if as_json:
        typer.echo(json.dumps({"notices": [{**asdict(notice.head), "new": notice.new} for notice in published]}))
        return
    for notice in published:
        head = notice.head
        typer.echo(f"{head.purpose}.{head.language}  version {head.version}  {'new' if notice.new else 'unchanged'}")


@app.command("retire")
def retire_notice(
    purpose: PurposeArgument,
    *,
    language: Annotated[str | None, typer.Option(help="Only in this language; by default in all.")] = None,
    as_json: Json = False,
) -> None:
    """Retire a notice: no new consent can be given on it, and none can be renewed.

    Consents that were given on it stay in force until they are withdrawn or expire. Publishing a next version ends the
    retirement.
    """
    with _transaction() as (session, _):
        retired = notices.retire(session, purpose, language=language, now=utc_now())
    if as_json:
        typer.echo(json.dumps({"retired": [asdict(head) for head in retired]}))
        return
    for head in retired:
        typer.echo(f"{head.purpose}.{head.language}  version {head.version}  retired")
    if not retired:
        typer.echo("nothing to do: it is retired already")

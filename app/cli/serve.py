"""`mien serve` and `mien demo`."""

import os
import signal
import socket
import sys
from typing import Annotated

import typer
import uvicorn
from rich.console import Console

from app.cli.command import Json, answer, read_settings, reason, refuse, refusing
from app.demo.story import play
from app.main import build
from app.settings import Settings
from app.vault.directory_lock import in_use
from app.vault.open import check
from app.web.http_protocol import DeadlineProtocol

app = typer.Typer()


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 8000,
    as_json: Json = False,  # noqa: FBT002 - an option
) -> None:
    """Serve. On an empty data directory it migrates and publishes the shipped notices first."""
    settings = read_settings()
    with refusing(), in_use(settings.data_dir):
        _serve(settings, host, port, as_json=as_json)


def _serve(settings: Settings, host: str, port: int, *, as_json: bool) -> None:
    try:
        os.environ.setdefault("SQLITE_TMPDIR", str(settings.data_dir))
        service = build(settings)
        check(service.state.vault)
    except ValueError as error:
        refuse(reason(error))
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        refuse(f"cannot listen on {host} port {port}: {error.strerror}")
    host, port = listening.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    answer({"address": address, "profile": settings.profile, "controller": settings.controller}, as_json=as_json)
    sys.stdout.flush()
    config = uvicorn.Config(
        service,
        log_config=None,
        http=DeadlineProtocol,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
    )
    DeadlineProtocol.headers_s, DeadlineProtocol.rest_s = settings.headers_timeout_s, settings.body_timeout_s
    server = uvicorn.Server(config)
    # uvicorn finishes what it has begun, then raises the signal again for whoever handled it before: that is us, so
    # that the exit code is 0, and so that a signal which comes before uvicorn listens for it is not lost.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    try:
        server.run(sockets=[listening])
    except SystemExit:
        # uvicorn's own code for a start that failed.
        refuse("the service did not start; the log says why")


@app.command()
def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the directories for you to look into.")] = False,
    as_json: Json = False,
) -> None:
    """Play the whole story with synthetic people, as outside HTTP clients, on temporary directories."""
    held = play(console=Console(stderr=as_json), keep=keep)
    if as_json:
        answer({"held": held}, as_json=True)
    raise typer.Exit(0 if held else 1)

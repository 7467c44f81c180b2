"""`mien serve`."""

import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer
import uvicorn
from fastapi import FastAPI

from app.cli.command import Json, print_result, read_settings
from app.cli.errors import refuse
from app.cli.processes import Parent
from app.kit.addresses import parse_networks
from app.main import build
from app.settings import Settings
from app.vault.directory_lock import in_use, serving
from app.web.connections import ConnectionLimits
from app.web.http_protocol import create_protocol
from app.web.wiped_reads import WipedReads

MAX_PROCESSES = 64
"""Processes of one service on one machine."""
OTHER_FILES = 256
"""Open files for the stores, the workers and callbacks."""

app = typer.Typer()


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 8000,
    processes: Annotated[
        int, typer.Option(min=1, max=MAX_PROCESSES, help="Processes that serve; several need PostgreSQL.")
    ] = 1,
    as_json: Json = False,  # noqa: FBT002 - an option
) -> None:
    """Run the service. An empty data directory is set up first, with the shipped notices."""
    settings = read_settings()
    if processes > 1 and settings.database_url is None:
        refuse("SQLite data can have only one process; several need PostgreSQL (docs/how-to/run-several-processes.md)")
    # Refuse a second service before it opens anything; the application takes this lock for good when it starts.
    with serving(settings.data_dir, only_one=settings.database_url is None):
        pass
    with in_use(settings.data_dir):
        _allow_open_files(settings.connections)
        os.environ.setdefault("SQLITE_TMPDIR", str(settings.data_dir))
        if processes == 1:
            service = build(settings)
            listener = _listen(host, port)
            _announce(settings, listener, as_json=as_json)
            _serve(settings, service, listener)
        else:
            _serve_as_one_of(settings, _listen(host, port), processes, as_json=as_json)


def _allow_open_files(connections: int) -> None:
    """Raise this process's own limit of open files, if it is too low for the connections."""
    needed = connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        refuse(f"MIEN_CONNECTIONS needs {needed} open files, but the system allows {hard}; set it lower, or allow more")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        refuse(f"cannot listen on {host} port {port}: {error.strerror}; choose another with --host and --port")


def _announce(settings: Settings, listener: socket.socket, *, as_json: bool) -> None:
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print_result({"address": address, "profile": settings.profile, "controller": settings.controller}, as_json=as_json)
    sys.stdout.flush()


def _serve_as_one_of(settings: Settings, listener: socket.socket, processes: int, *, as_json: bool) -> None:
    """Fork *processes*, and serve in each. The parent never returns from `run`."""
    parent = Parent(processes, announce=partial(_announce, settings, listener, as_json=as_json))
    child = parent.run()
    own = settings.model_copy(update={"metrics": "off", "metrics_listen": own_listener(settings, child.index)})
    _serve(own, build(own), listener, on_start=child.report_started)


def own_listener(settings: Settings, index: int) -> str:
    """Return the address of the metrics of one process: each has the next port."""
    host, _, port = settings.metrics_listen.rpartition(":")
    return f"{host}:{int(port) + index}" if port else ""


class _Server(uvicorn.Server):
    """Calls a function when it serves."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, and begin to accept connections."""
        await super().startup(sockets)
        if self.started:
            self._on_start()


def _serve(
    settings: Settings, service: FastAPI, listener: socket.socket, *, on_start: Callable[[], None] = lambda: None
) -> None:
    config = uvicorn.Config(
        service,
        log_config=None,
        http=WipedReads(create_protocol(_limits(settings))),  # type: ignore[arg-type]  # it makes protocols
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
    )
    server = _Server(config, on_start)
    # After a clean stop uvicorn raises the signal again for the handler that was set before. This handler keeps the
    # exit code at 0, and catches a signal that arrives before uvicorn has set its own handler.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    try:
        server.run(sockets=[listener])
    except SystemExit:
        # uvicorn exits with a code of its own when the start fails.
        refuse("the service did not start; see the application log for the reason")


def _limits(settings: Settings) -> ConnectionLimits:
    return ConnectionLimits(
        headers_s=settings.headers_timeout_s,
        body_s=settings.body_timeout_s,
        body_gap_s=settings.body_gap_s,
        write_s=settings.write_timeout_s,
        max_body_bytes=max(settings.max_enrolment_bytes, settings.max_body_bytes, settings.max_json_bytes),
        per_network=settings.connections_per_network,
        total=settings.connections,
        trusted_proxies=parse_networks(settings.trusted_proxies),
    )

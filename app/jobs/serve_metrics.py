"""Metrics of the service's state, read at each scrape, and their own listener (`MIEN_METRICS_LISTEN`)."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.callbacks import outbox
from app.comparisons.policy import Decision
from app.faces.workers.pool import EnginePool
from app.kit.clock import Clock
from app.kit.errors import TooManyAttemptsError
from app.rights import erasure
from app.settings import Settings
from app.templates import coverage
from app.vault.backup_manifest import LAST_BACKUP_FILE
from app.vault.vault import Vault
from app.web.metrics import Metrics
from app.web.problems import InternalError, StorageUnavailableError

SLOW_READER_S = 10.0
"""Seconds after which the listener gives up a reader: each one holds a thread."""

log = structlog.get_logger()


class StateCollector(Collector):
    """Collects the state of the engine, the stores and the last backup."""

    def __init__(self, vault: Vault, pool: EnginePool, settings: Settings, clock: Clock) -> None:
        self._vault, self._pool, self._settings, self._clock = vault, pool, settings, clock

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; those of a store that cannot be read are missing."""
        pool = self._pool.status()
        yield GaugeMetricFamily("mien_engine_workers", "Running engine workers.", pool.workers)
        yield GaugeMetricFamily("mien_engine_running", "Jobs that an engine worker does now.", pool.running)
        yield GaugeMetricFamily("mien_engine_waiting", "Jobs that wait for an engine worker.", pool.waiting)
        yield GaugeMetricFamily("mien_engine_queue_size", "Jobs that may wait.", self._settings.engine_queue)
        with suppress(FileNotFoundError):
            age = self._clock().timestamp() - (self._settings.data_dir / LAST_BACKUP_FILE).stat().st_mtime
            yield GaugeMetricFamily("mien_backup_age_seconds", "Seconds since the last backup.", max(0.0, age))
        # The operator needs the other metrics also when the store cannot be read.
        with suppress(DBAPIError), self._vault.data.read() as session:
            yield from _count_rows(session)


def _count_rows(session: Session) -> Iterator[Metric]:
    yield GaugeMetricFamily("mien_outbox_messages", "Callbacks not settled yet.", outbox.count_waiting(session))
    unfinished = erasure.count_in_progress(session)
    yield GaugeMetricFamily("mien_erasures_in_progress", "Erasures that are not completed.", unfinished)
    labels = ("engine", "weights", "in_force")
    templates = GaugeMetricFamily("mien_templates", "Templates by the engine that made them.", labels=labels)
    for row, count in coverage.count_by_engine(session):
        in_force = str(row.in_force_until is None).lower()
        templates.add_metric((row.engine_id, row.weights_sha256[:16], in_force), count)
    yield templates


def create(vault: Vault, pool: EnginePool, settings: Settings, clock: Clock) -> Metrics:
    """Create the metrics of one application."""
    metrics = Metrics()
    alarming = (InternalError, StorageUnavailableError, TooManyAttemptsError)
    metrics.begin_at_zero(slugs=[kind.slug for kind in alarming], decisions=Decision)
    metrics.registry.register(StateCollector(vault, pool, settings, clock))
    return metrics


@contextmanager
def listening(address: str, registry: CollectorRegistry) -> Iterator[int | None]:
    """Serve the metrics at *address*, a `host:port`, and nothing else; gives the port. Does nothing if it is empty.

    Raises:
        OSError: the address cannot be used.
    """
    if not address:
        yield None
        return
    host, _, port = address.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except OSError as error:
        log.error("cannot listen for metrics", address=address, error=error.strerror)
        raise
    server.RequestHandlerClass.timeout = SLOW_READER_S  # type: ignore[attr-defined]
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

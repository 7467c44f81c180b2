"""Metrics for the operator, in Prometheus' text format. No label names a person, a relying party or an address."""

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
NO_ROUTE = "none"
"""Label of a request that matches no route; its path may hold anything."""


class Metrics:
    """The counts of one application. Collectors of its state are added to `registry`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter("mien_requests", "Requests answered.", labels, registry=self.registry)
        self._seconds = Histogram(
            "mien_request_seconds",
            "Seconds from request to answer.",
            ("route",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._refusals = Counter("mien_refusals", "Problem documents answered.", ("slug",), registry=self.registry)
        self._decisions = Counter("mien_decisions", "Decisions answered.", ("decision",), registry=self.registry)
        self._job_age = Gauge(
            "mien_job_age_seconds", "Seconds since the job last succeeded.", ("name",), registry=self.registry
        )

    def count_request(self, method: str, route: str | None, status: int, seconds: float, slug: str | None) -> None:
        """Count one answered request; *slug* is that of a problem document."""
        self._requests.labels(method, route or NO_ROUTE, status).inc()
        self._seconds.labels(route or NO_ROUTE).observe(seconds)
        if slug is not None:
            self._refusals.labels(slug).inc()

    def begin_at_zero(self, *, slugs: Iterable[str], decisions: Iterable[str]) -> None:
        """Show these before they are counted once: Prometheus sees no increase when a series appears."""
        for slug in slugs:
            self._refusals.labels(slug)
        for decision in decisions:
            self._decisions.labels(decision)

    def count_decision(self, decision: str) -> None:
        """Count one decision that a relying party got."""
        self._decisions.labels(decision).inc()

    def note_success(self, job: str) -> None:
        """Note that a job beside the requests has just succeeded."""
        now = time.monotonic()
        self._job_age.labels(job).set_function(lambda: time.monotonic() - now)

    def forget_job(self, job: str) -> None:
        """Stop showing the age of a job that this process does not run: another one does."""
        self._job_age.remove_by_labels({"name": job})

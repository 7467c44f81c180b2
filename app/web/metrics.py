"""Metrics for the operator, in Prometheus' text format. No label names a person, a relying party or an address."""

from prometheus_client import CollectorRegistry, Counter, Histogram

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
NO_ROUTE = "none"
"""Label of a request that matches no route; its path may hold anything."""


class Metrics:
    """The request metrics of one application."""

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

    def count_request(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(method, route or NO_ROUTE, status).inc()
        self._seconds.labels(route or NO_ROUTE).observe(seconds)

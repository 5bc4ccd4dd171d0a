"""What the server counts, in the form that Prometheus reads."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
TOGETHER = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The counters of one server; several in one process count apart."""

    def __init__(self):
        self.registry = CollectorRegistry()
        kept = {"registry": self.registry, "namespace": "generalist"}
        self.clients = Gauge("clients", "clients that are connected", **kept)
        self.requests = Counter("requests", "requests by what became of them", ("outcome",), **kept)
        self.waited = Histogram("wait_seconds", "from a request to the step that answers it", buckets=SECONDS, **kept)
        self.steps = Histogram("step_seconds", "one step of the network", buckets=SECONDS, **kept)
        self.together = Histogram("together", "requests answered by one step", buckets=TOGETHER, **kept)

    def step(self, together: int, seconds: float) -> None:
        self.steps.observe(seconds)
        self.together.observe(together)

    def page(self) -> bytes:
        return generate_latest(self.registry)

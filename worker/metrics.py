"""What the worker counts, for Prometheus. Labels are channels, outcomes and job names: nothing about a person."""

from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, start_http_server

ATTEMPTS: Final = Counter("delivery_attempts", "Attempts to send, by channel and outcome.", ("channel", "outcome"))
END_TO_END: Final = Histogram(
    "delivery_e2e_seconds",
    "From the event to the remote's yes.",
    ("channel",),
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400),
)
RELEASED: Final = Counter("delivery_released", "Claims given back unsent, by channel.", ("channel",))
CANCELLED: Final = Counter(
    "delivery_cancelled", "Alerts that the guard stopped, by channel and reason.", ("channel", "reason")
)
FENCED: Final = Counter("delivery_fenced", "Settles that came after somebody else had claimed.", ("channel",))
LEASES_LAPSED: Final = Counter("delivery_lease_expired", "Claims whose worker was never heard of again.", ("channel",))
REPEATS_AVOIDED: Final = Counter(
    "delivery_receipts_used", "Alerts settled by a receipt instead of a repeat.", ("channel",)
)
BREAKER_OPENED: Final = Counter("breaker_opened", "Openings of the circuit breaker by this process.", ("channel",))
IN_FLIGHT: Final = Gauge("delivery_in_flight", "Sends under way in this process.", ("channel",))
SWEPT: Final = Gauge("sweeper_last_success_timestamp_seconds", "When this process last swept.")
JOB_SUCCEEDED: Final = Gauge("job_last_success_timestamp_seconds", "When this process last ran a job.", ("job",))
JOB_FAILURES: Final = Counter("job_failures", "Runs of a job that failed in this process.", ("job",))


def serve(port: int) -> None:
    """Answer Prometheus on `port`, in a thread of its own. OSError when the port is taken."""
    start_http_server(port, registry=REGISTRY)

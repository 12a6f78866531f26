"""One lead's alert that Slack did not take, as the schema's examples tell it, and how its channel stands then."""

from typing import Any, Final

_LEAD: Final = "5b1c9a70-3f0e-4a55-9a43-2d8f7c6e1b10"
_ALERT: Final = "c2a4d1f6-58a3-4d8e-b1b7-6e0f9d3a7c21"
_DEAD_LETTER: Final = "e8b7f3d2-1c64-4f0a-8d19-5a2b7e9c4d32"
ATTEMPT: Final[dict[str, Any]] = {
    "attempt": 1,
    "outcome": "ambiguous",
    "status": 503,
    "error": "http_503",
    "started_at": "2026-11-24T10:15:31.004512Z",
    "duration_ms": 214,
}
ALERT: Final[dict[str, Any]] = {
    "id": _ALERT,
    "event": "lead.captured",
    "channel": "slack",
    "subject_id": _LEAD,
    "state": "retrying",
    "attempts": 1,
    "possible_repeat": True,
    "last_outcome": ATTEMPT["outcome"],
    "last_error": ATTEMPT["error"],
    "next_attempt_at": "2026-11-24T10:20:31.218903Z",
    "created_at": "2026-11-24T10:15:30.123456Z",
    "delivered_at": None,
}
ALERT_DETAIL: Final[dict[str, Any]] = ALERT | {
    "request_id": "24a62d287a06bea54974071a0ef096f2",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "dead_letter_id": _DEAD_LETTER,
    "attempts_made": [ATTEMPT],
}
DEAD_LETTER: Final[dict[str, Any]] = {
    "id": _DEAD_LETTER,
    "alert_id": _ALERT,
    "event": ALERT["event"],
    "channel": ALERT["channel"],
    "subject_id": _LEAD,
    "status": "pending",
    "reason": ATTEMPT["error"],
    "attempts": 1,
    "possible_repeat": True,
    "next_attempt_at": ALERT["next_attempt_at"],
    "created_at": "2026-11-24T10:15:31.218903Z",
    "closed_at": None,
    "escalated": False,
}
RETRY: Final[dict[str, Any]] = {
    "id": "0b6e2c18-7d3f-4c92-a5e4-8f1d6b0a9e43",
    "at": "2026-11-24T10:18:02.507311Z",
    "actor": "cli:anna",
    "action": "dead_letter.retry",
    "target": _DEAD_LETTER,
    "reason": None,
    "count": 1,
    "request_id": None,
}
DEAD_LETTER_DETAIL: Final[dict[str, Any]] = DEAD_LETTER | {"attempts_made": [ATTEMPT], "actions": [RETRY]}
RETRIED: Final[dict[str, Any]] = {
    "retried": 12,
    "channels": ["monday", "slack"],
    "last_attempt_at": "2026-11-24T10:18:04.707311Z",
}
CHANNEL: Final[dict[str, Any]] = {
    "name": "slack",
    "configured": True,
    "breaker": {
        "state": "open",
        "failures": 5,
        "reason": ATTEMPT["error"],
        "opened_at": "2026-11-24T10:16:40.330127Z",
        "retry_at": "2026-11-24T10:17:40.330127Z",
    },
    "blocked_until": None,
    "blocked_reason": None,
    "paused": False,
    "paused_at": None,
    "paused_by": None,
    "paused_reason": None,
    "trial_at": None,
    "backlog": {"pending": 3, "sending": 0, "retrying": 1, "failed": 0},
    "oldest_pending_seconds": 12.4,
}
SENT_TEST: Final[dict[str, Any]] = {"alert_id": "9d4f0e7b-6a21-4b3c-8e58-1c7a5f2d0b54"}
JOB: Final[dict[str, Any]] = {
    "name": "retry_dead_letters",
    "every_seconds": 300.0,
    "started_at": "2026-11-24T10:15:00.020114Z",
    "succeeded_at": "2026-11-24T10:15:00.058730Z",
    "failed_at": None,
    "last_error": None,
    "last_count": 0,
    "overdue": False,
}
RATE_LIMIT: Final[dict[str, Any]] = {
    "policy": "chat",
    "value": "60 per minute",
    "default": "30 per minute",
    "changed_at": "2026-11-20T08:30:12.640025Z",
    "changed_by": "cli:anna",
    "limited": 41,
    "limited_at": "2026-11-24T09:58:47.112903Z",
}
STATUS: Final[dict[str, Any]] = {
    "scheduler_enabled": True,
    "jobs": [JOB],
    "dead_letters": {"pending": 1, "failed": 0},
    "channels": [CHANNEL],
    "rate_limits": [RATE_LIMIT],
}

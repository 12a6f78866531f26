"""Headers of answers, as OpenAPI tells of them: each is described once, whoever sends it."""

from typing import Any, Final

_TEXT: Final = {"type": "string"}
_TRUE: Final = {"type": "string", "const": "true"}

HEADERS: Final[dict[str, dict[str, Any]]] = {
    name: {"description": description, "schema": schema}
    for name, description, schema in (
        ("X-Request-ID", "Quote it when you ask us: the caller's own, or one of ours.", _TEXT),
        ("traceparent", "Our part in the caller's trace, or in a new one (W3C Trace Context).", _TEXT),
        ("RateLimit", "What is left, and for how long (draft-ietf-httpapi-ratelimit-headers).", _TEXT),
        ("RateLimit-Policy", "Every limit that holds here: its amount `q` in `w` seconds.", _TEXT),
        ("Retry-After", "Seconds to wait.", {"type": "integer", "minimum": 0}),
        ("WWW-Authenticate", "`Bearer`.", _TEXT),
        ("Accept-Encoding", "`identity`, where the body had a `Content-Encoding`.", _TEXT),
        ("Idempotent-Replayed", "`true` when nothing was done, because it had been done before; else absent.", _TRUE),
        ("Content-Disposition", "`attachment`, with a name for the file.", _TEXT),
    )
}
"""What stands under `components/headers`."""
EVERYWHERE: Final = ("X-Request-ID", "traceparent")
"""On every answer."""
OF_LIMITS: Final = ("RateLimit", "RateLimit-Policy")
"""On every answer to a request that was counted."""


def carrying(*names: str) -> dict[str, Any]:
    """The `headers` of an answer in OpenAPI."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}

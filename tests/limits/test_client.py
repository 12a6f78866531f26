"""Who is calling: whatever a visitor sends, it is the address that a trusted machine saw."""

from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from app.core.keys import KeyRing
from app.web.client import Callers
from tests.limits.conftest import left
from tests.processes import api
from tests.talk import CONSENT, ENQUIRY, open_session, say

REAL = "203.0.113.7"
Headers = list[tuple[str, str | bytes]]


def raw(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Headers as httpx sends them without changing a byte."""
    return [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers]


FORGED: dict[str, Headers] = {
    "one": [("X-Forwarded-For", "1.2.3.4")],
    "two": [("X-Forwarded-For", "1.2.3.4, 5.6.7.8")],
    "two headers": [("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-For", "5.6.7.8")],
    "no space": [("X-Forwarded-For", "1.2.3.4,5.6.7.8")],
    "spaces": [("X-Forwarded-For", "1.2.3.4\t ,\t  5.6.7.8")],
    "empty": [("X-Forwarded-For", "")],
    "commas": [("X-Forwarded-For", ",,,,")],
    "empty hop": [("X-Forwarded-For", "1.2.3.4,")],
    "port": [("X-Forwarded-For", "1.2.3.4:80")],
    "wrong port": [("X-Forwarded-For", "1.2.3.4:99999999")],
    "IPv6": [("X-Forwarded-For", "2001:db8::1")],
    "IPv6 in brackets": [("X-Forwarded-For", "[2001:db8::1]")],
    "IPv6 with port": [("X-Forwarded-For", "[2001:db8::1]:443")],
    "half a bracket": [("X-Forwarded-For", "[2001:db8::1")],
    "IPv4 in IPv6": [("X-Forwarded-For", "::ffff:1.2.3.4")],
    "zone": [("X-Forwarded-For", "fe80::1%eth0")],
    "loopback": [("X-Forwarded-For", "127.0.0.1")],
    "IPv6 loopback": [("X-Forwarded-For", "::1")],
    "private": [("X-Forwarded-For", "10.0.0.1")],
    "unknown": [("X-Forwarded-For", "unknown")],
    "hidden": [("X-Forwarded-For", "_hidden")],
    "name": [("X-Forwarded-For", "example.org")],
    "octal": [("X-Forwarded-For", "0177.0.0.1")],
    "number": [("X-Forwarded-For", "2130706433")],
    "hexadecimal": [("X-Forwarded-For", "0x7f000001")],
    "short": [("X-Forwarded-For", "127.1")],
    "quotes": [("X-Forwarded-For", '"1.2.3.4"')],
    "semicolon": [("X-Forwarded-For", "1.2.3.4;5.6.7.8")],
    "not ASCII": [("X-Forwarded-For", b"\xb9.2.3.4")],
    "script": [("X-Forwarded-For", "<script>alert(1)</script>")],
    "SQL": [("X-Forwarded-For", "' OR 1=1 --")],
    "log line": [("X-Forwarded-For", "1.2.3.4 level=error event=forged")],
    "long": [("X-Forwarded-For", "1" * 2000)],
    "many hops": [("X-Forwarded-For", ", ".join(["1.2.3.4"] * 300))],
    "lower case": [("x-forwarded-for", "1.2.3.4")],
    "Forwarded": [("Forwarded", "for=1.2.3.4;proto=https;by=203.0.113.43")],
    "X-Real-IP": [("X-Real-IP", "1.2.3.4")],
    "Client-IP": [("Client-IP", "1.2.3.4"), ("X-Client-IP", "1.2.3.4"), ("True-Client-IP", "1.2.3.4")],
    "CDN": [("CF-Connecting-IP", "1.2.3.4"), ("Fastly-Client-IP", "1.2.3.4"), ("X-Cluster-Client-IP", "1.2.3.4")],
    "all": [("Forwarded", "for=1.2.3.4"), ("X-Real-IP", "1.2.3.4"), ("X-Forwarded-For", "5.6.7.8")],
}


def test_there_are_forty() -> None:
    assert len(FORGED) == 40


@pytest.mark.parametrize("name", FORGED)
async def test_no_header_changes_who_calls_without_a_trusted_proxy(direct: httpx.AsyncClient, name: str) -> None:
    before = left(await direct.get("/v1/packages"), "api-minute")
    after = left(await direct.get("/v1/packages", headers=raw(FORGED[name])), "api-minute")
    assert after == before - 1


@pytest.mark.parametrize("name", FORGED)
async def test_nor_behind_one_which_adds_whom_it_saw(small: httpx.AsyncClient, name: str) -> None:
    del small.headers["X-Forwarded-For"]
    seen: Headers = [("X-Forwarded-For", REAL)]
    before = left(await small.get("/v1/packages", headers=raw(seen)), "api-minute")
    after = left(await small.get("/v1/packages", headers=raw(FORGED[name] + seen)), "api-minute")
    assert after == before - 1


PEER, PROXY, OTHER_PROXY = "198.51.100.1", "10.0.0.1", "10.9.9.9"


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        (PEER, [b"1.2.3.4"], PEER),
        (PROXY, [], PROXY),
        (PROXY, [b"1.2.3.4"], "1.2.3.4"),
        (PROXY, [b"1.2.3.4", b"5.6.7.8"], "5.6.7.8"),
        (PROXY, [b"1.2.3.4, 5.6.7.8, 10.9.9.9"], "5.6.7.8"),
        (PROXY, [b"1.2.3.4", b"10.9.9.9, 10.0.0.1"], "1.2.3.4"),
        (PROXY, [b"10.9.9.9, 10.0.0.1"], OTHER_PROXY),
        (PROXY, [b"1.2.3.4, nonsense, 10.9.9.9"], None),
        (PROXY, [b"nonsense, 5.6.7.8"], "5.6.7.8"),
        (PROXY, [b"1.2.3.4:5678"], "1.2.3.4"),
        (PROXY, [b"[2001:db8::1]:5678"], "2001:db8::1"),
        (PROXY, [b"::ffff:10.9.9.9, ::ffff:10.0.0.1"], OTHER_PROXY),
        ("::ffff:10.0.0.1", [b"1.2.3.4"], "1.2.3.4"),
        ("fd00::1", [b"1.2.3.4"], "1.2.3.4"),
        ("fe80::1%eth0", [b"1.2.3.4"], "fe80::1"),
        (None, [b"1.2.3.4"], None),
        ("", [b"1.2.3.4"], None),
    ],
    ids=str,
)
def test_the_client_is_the_right_most_hop_that_no_proxy_of_ours_is(
    peer: str | None, headers: list[bytes], expected: str | None
) -> None:
    callers = Callers(["10.0.0.0/8", "fd00::/64"], KeyRing("secret"))
    scope: dict[str, Any] = {
        "client": (peer, 1) if peer is not None else None,
        "scheme": "http",
        "headers": [(b"x-forwarded-for", value) for value in headers],
    }
    assert callers.identify(scope).address == expected
    assert scope["client"] == ((expected, 1) if expected else None)


@pytest.mark.parametrize(
    ("peer", "proto", "expected"),
    [
        (PROXY, b"https", "https"),
        (PEER, b"https", "http"),
        (PROXY, b"gopher", "http"),
        (PROXY, b"http, HTTPS", "https"),
    ],
)
def test_the_scheme_is_a_trusted_proxy_s_word(peer: str, proto: bytes, expected: str) -> None:
    scope = {"client": (peer, 1), "scheme": "http", "headers": [(b"x-forwarded-proto", proto)]}
    Callers(["10.0.0.0/8"], KeyRing("secret")).identify(scope)
    assert scope["scheme"] == expected


def test_with_a_star_anybody_is_anybody() -> None:
    scope = {"client": (PEER, 1), "scheme": "http", "headers": [(b"x-forwarded-for", b"1.2.3.4, 5.6.7.8")]}
    assert Callers(["*"], KeyRing("secret")).identify(scope).address == "1.2.3.4"


def test_what_stands_for_an_address_is_keyed() -> None:
    def hashed(secret: str, address: str) -> str:
        scope = {"client": (address, 1), "scheme": "http", "headers": []}
        return Callers([], KeyRing(secret)).identify(scope).hashed

    assert hashed("one", REAL) == hashed("one", REAL)
    assert hashed("one", REAL) != hashed("two", REAL)
    assert hashed("one", REAL) != hashed("one", "203.0.113.8")
    assert REAL not in hashed("one", REAL)


async def test_forged_headers_are_neither_stored_nor_logged(
    environment: dict[str, str], sql: asyncpg.Connection, tmp_path: Path
) -> None:
    forged = {
        "X-Forwarded-For": "66.66.66.66",
        "Forwarded": "for=66.66.66.66",
        "X-Real-IP": "66.66.66.66",
    }
    async with api(environment | {"LOG_LEVEL": "DEBUG", "ENVIRONMENT": "development"}, tmp_path / "log") as (
        process,
        client,
    ):
        token = await open_session(client) | forged
        for text in (ENQUIRY, CONSENT):
            assert (await say(client, token, text)).status_code == 201
    assert {row["ip"] for row in await sql.fetch("SELECT ip FROM consent_evidence")} == {"127.0.0.0"}
    assert "66.66.66.66" not in process.output
    assert process.output.count("forwarded_by_untrusted_peer") == 1
    assert "127.0.0.1" not in "".join(line for line in process.output.splitlines() if "forwarded_by" in line)

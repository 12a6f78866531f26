"""Who is calling: the one function that reads proxies' headers, and what stands for an address where it is kept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

import structlog
from starlette.types import Scope

from app.core.keys import KeyRing

SCOPE_KEY: Final = "novahouse.client"
"""Where a request's scope holds its Client."""

_HASH_USE: Final = "client address"
_HASH_BYTES: Final = 8
_REMEMBERED: Final = 4096
_IPV6_PREFIX: Final = 64
_IPV6_SITE: Final = 48
"""What providers hand to one customer at most: 65,536 networks of the size that stands for one client."""
_MAX_HOP: Final = 64
_MAX_HOPS: Final = 50
"""Of the proxies on a request's way. Whoever stands before more of them is nobody."""
_MAX_PORT_DIGITS: Final = 5
_UNKNOWN: Final = b"unknown"
_SCHEMES: Final = {b"http": "http", b"https": "https"}

Address = IPv4Address | IPv6Address

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Client:
    """Who is calling, as far as the network tells."""

    address: str | None
    """The IP address; None when nobody we trust gave a readable one."""
    hashed: str
    """A keyed hash of the address, of IPv6 its /64; the same for all unreadable ones. For logs and limits."""
    site: str = ""
    """A keyed hash of an IPv6 address's /48; empty for others."""
    public: bool = True
    """Whether the address may be a stranger's: False for loopback and private networks."""

    @property
    def customer(self) -> str:
        """A keyed hash of what nobody has many of: the /48 of an IPv6 address, else the address."""
        return self.site or self.hashed


def parse_address(text: str) -> Address | None:
    """An IP address, IPv4 in IPv6 unmapped, without zone; None for anything else."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or (IPv6Address(int(address)) if address.scope_id else address)
    return address


def parse_hop(text: str) -> Address | None:
    """One hop of X-Forwarded-For: an address, an IPv4 one with a port, or one in brackets with or without a port."""
    hop = text.strip(" \t")
    if len(hop) > _MAX_HOP or "%" in hop:
        return None
    if hop.startswith("["):
        host, bracket, rest = hop[1:].partition("]")
        separator, port = rest[:1], rest[1:]
        if not bracket or ":" not in host or (rest and not (separator == ":" and _is_port(port))):
            return None
        return parse_address(host)
    if hop.count(":") == 1:
        hop, _, port = hop.partition(":")
        if not _is_port(port):
            return None
    return parse_address(hop)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_PORT_DIGITS


class Callers:
    """Tells who calls, with these proxies trusted.

    The peer is the client, unless it is a trusted proxy: then it is the right-most hop of all X-Forwarded-For headers
    that is no trusted proxy, or the left-most one when all are. `Forwarded` and every other header are ignored.
    """

    def __init__(self, trusted_proxies: Sequence[str], keys: KeyRing) -> None:
        self._networks = [ip_network(proxy) for proxy in trusted_proxies if proxy != "*"]
        self._everybody = "*" in trusted_proxies
        self._keys = keys
        self._client = lru_cache(_REMEMBERED)(self._make_client)
        self._trusts = lru_cache(_REMEMBERED)(self._find_trust)
        self._warned = False

    def identify(self, scope: Scope) -> Client:
        """Who calls. `scope` gets the client's address and scheme, and the Client under SCOPE_KEY."""
        peer = scope["client"]
        host: str | None = peer[0] if peer else None
        if self._trusts(host):
            host = self._forwarded(scope, host)
        elif not self._warned:
            self._warn(scope["headers"])
        client = self._client(host)
        scope["client"] = (client.address, peer[1] if peer else 0) if client.address else None
        scope[SCOPE_KEY] = client
        return client

    def _forwarded(self, scope: Scope, peer: str | None) -> str | None:
        """The client that a trusted proxy tells of. Takes the scheme over too."""
        values = []
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                values.append(value)
            elif name == b"x-forwarded-proto":
                proto = value.rpartition(b",")[2].strip().lower()
                scope["scheme"] = _SCHEMES.get(proto, scope["scheme"])
        if not values:
            return peer
        hops = b",".join(values).decode("latin-1").split(",")
        for number, hop in enumerate(reversed(hops), start=1):
            address = parse_hop(hop)
            if address is None or number > _MAX_HOPS:
                return None
            if not self._trusts(str(address)):
                break
        return str(address)

    def _find_trust(self, host: str | None) -> bool:
        if self._everybody:
            return True
        address = parse_address(host or "")
        return address is not None and any(address in network for network in self._networks)

    def _make_client(self, host: str | None) -> Client:
        address = parse_address(host or "")
        if address is None:
            return Client(None, self._hash(_UNKNOWN))
        if isinstance(address, IPv4Address):
            return Client(str(address), self._hash(address.packed), public=address.is_global)
        network, site = address.packed[: _IPV6_PREFIX // 8], address.packed[: _IPV6_SITE // 8]
        return Client(str(address), self._hash(network), self._hash(site), public=address.is_global)

    def _hash(self, data: bytes) -> str:
        return self._keys.digest(_HASH_USE, data)[:_HASH_BYTES].hex()

    def _warn(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Say once that somebody forwards whom we do not trust: without TRUSTED_PROXIES all visitors look like one."""
        if any(name == b"x-forwarded-for" for name, _ in headers):
            self._warned = True
            _log.warning("forwarded_by_untrusted_peer", setting="TRUSTED_PROXIES")

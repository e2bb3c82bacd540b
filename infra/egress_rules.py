"""Which addresses outside of this machine may be asked: pure rules, no network.

The operator lists hosts. A host on the list may be asked at addresses of the public internet. An address inside
(this machine, the private network, link-local) is asked only where the operator's list names that very place: the
address itself, or a name with its port. What hands out credentials of the machine is reached through no name at all.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

DEFAULT_PORTS = {"http": 80, "https": 443}

_MAX_URL = 4_096
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^#]*)(#.*)?", re.DOTALL)
_PRINTABLE = re.compile(r"[!-~]+")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_GLOBAL_IPV6 = IPv6Network("2000::/3")
# What the standard library calls global, or does not know, though it is not the open internet.
_NOT_PUBLIC: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("168.63.129.16/32"),  # Azure's host, which answers with credentials
    IPv4Network("192.0.0.0/24"),  # protocol assignments, with Oracle's metadata
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
    IPv6Network("2001::/23"),  # protocol assignments, with Teredo, which wraps an IPv4 address
    IPv6Network("2002::/16"),  # 6to4, which wraps an IPv4 address
    IPv6Network("3fff::/20"),  # documentation
)
_SITE: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("::1/128"),
    IPv6Network("fc00::/7"),
)
_METADATA = frozenset({IPv4Address("100.100.100.200"), IPv6Address("fd00:ec2::254"), IPv6Address("fd20:ce::254")})


class EgressError(Exception):
    """A request to the outside that brought no usable answer; the message is one clause for a person."""


class EgressForbiddenError(EgressError):
    """The address may not be asked; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a URL leads.

    Attributes:
        scheme: ``http`` or ``https``.
        host: A name in lower case, or an IP address in its shortest form, without brackets.
        port: Also where the URL names none.
        target: Path and query, as they are sent.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def address(self) -> Address | None:
        """The IP address, if the URL names one instead of a name."""
        return _address_of(self.host)

    @property
    def authority(self) -> str:
        """Host, and the port where it is not the scheme's own: the Host header."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == DEFAULT_PORTS[self.scheme] else f"{shown}:{self.port}"

    @property
    def shown(self) -> str:
        """Host and port, always both."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class AllowedHosts:
    """The operator's list.

    Args:
        entries: ``host`` or ``host:port``; a host is a name or an IP address, IPv6 with a port in brackets.

    Raises:
        ValueError: An entry is neither.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._entries = frozenset(_entry_of(entry) for entry in entries)

    def __bool__(self) -> bool:
        """Whether anything is allowed."""
        return bool(self._entries)

    def lists(self, to: Destination) -> bool:
        """Whether the host is listed, with this port or with none."""
        return (to.host, None) in self._entries or self.lists_port(to)

    def lists_port(self, to: Destination) -> bool:
        """Whether the host is listed with this very port."""
        return (to.host, to.port) in self._entries

    def refusal_of(self, to: Destination, address: Address) -> str | None:
        """Say why a listed destination may not be asked at this address; None if it may."""
        if _is_public(address):
            return None
        if to.address is not None:
            return None if self.lists(to) else f"{to.shown} is an address inside"
        if not any(address in network for network in _SITE) or address in _METADATA:
            return f"{to.host} leads to {address}, which is asked for nobody"
        if self.lists_port(to):
            return None
        return f"{to.host} leads to {address}, an address inside; where that is meant, list it as {to.shown}"


def allowed_host(entry: str) -> str:
    """Return the entry of a list of hosts as it is.

    Raises:
        ValueError: It is no ``host`` and no ``host:port``.
    """
    _entry_of(entry)
    return entry


def destination_of(url: str, schemes: Iterable[str]) -> Destination:
    """Read a URL strictly: what two programs could read in two ways is refused.

    Raises:
        EgressForbiddenError: It is not one of ``schemes://host[:port][/path][?query]``.
    """
    wanted = tuple(schemes)
    if not 0 < len(url) <= _MAX_URL:
        raise EgressForbiddenError(f"an address has 1 to {_MAX_URL} characters")
    if not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise EgressForbiddenError("the address holds a space, a backslash or what is not ASCII; percent-encode it")
    parts = _URL.fullmatch(url)
    if parts is None or parts[1].lower() not in wanted:
        raise EgressForbiddenError(f"the address must begin with {' or '.join(f'{scheme}://' for scheme in wanted)}")
    if "@" in parts[2]:
        raise EgressForbiddenError("the address holds a user name or a password; leave it out")
    if parts[4] is not None:
        raise EgressForbiddenError("the address has a fragment; write %23 for a # in a name")
    authority = _AUTHORITY.fullmatch(parts[2])
    host = _host_of(authority[1]) if authority is not None else None
    if authority is None or host is None:
        raise EgressForbiddenError(
            "the address's host must be a plain name or an IP address in its usual form, with a port or none"
        )
    scheme = parts[1].lower()
    port = int(authority[2]) if authority[2] is not None else DEFAULT_PORTS[scheme]
    if not 1 <= port <= 65_535:
        raise EgressForbiddenError(f"the address has the port {port}; ports are 1 to 65535")
    target = parts[3] if parts[3].startswith("/") else "/" + parts[3]
    return Destination(scheme, host, port, target)


def _entry_of(entry: str) -> tuple[str, int | None]:
    bare = _address_of(entry)
    if bare is not None:
        return str(bare), None
    parts = _AUTHORITY.fullmatch(entry)
    host = _host_of(parts[1]) if parts is not None else None
    if parts is None or host is None:
        raise ValueError(f"{entry[:200]!r} is no host; write host or host:port, without scheme, path or *")
    port = int(parts[2]) if parts[2] is not None else None
    if port is not None and not 1 <= port <= 65_535:
        raise ValueError(f"{entry[:200]!r} has no port from 1 to 65535")
    return host, port


def _host_of(text: str) -> str | None:
    """Return the host in its one form; None for what is none, or an IP address in disguise."""
    if text.startswith("["):
        address = _address_of(text[1:-1])
        return str(address) if isinstance(address, IPv6Address) else None
    name = text.lower()
    labels = name.split(".")
    # Resolvers read 2130706433, 0x7f.1 and 0177.0.0.1 as addresses, whatever the list of hosts says of such a name.
    if _NUMBER.fullmatch(labels[-1]):
        address = _address_of(name)
        return str(address) if address is not None else None
    return name if len(name) <= 253 and all(_LABEL.fullmatch(label) for label in labels) else None


def _address_of(text: str) -> Address | None:
    if "%" in text:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_public(address: Address) -> bool:
    if any(address in network for network in _NOT_PUBLIC) or address.is_multicast or not address.is_global:
        return False
    # Every other form of IPv6, the mapped and translated IPv4 addresses among them, is outside of this block.
    return isinstance(address, IPv4Address) or address in _GLOBAL_IPV6

"""The one client that asks hosts outside, for assets and for models.

It asks listed hosts only. A name is resolved once and the connection goes to the address that was looked at, so a
second answer of the name service changes nothing; the Host header and the name that TLS proves stay the URL's. No
redirect is followed, no proxy or password of the environment is used, and there is one time for everything and one
size, of the content as it is once unpacked.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import zlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import httpx

from infra.egress_rules import (
    Address,
    AllowedHosts,
    Destination,
    EgressError,
    EgressForbiddenError,
    destination_of,
)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Take = Callable[[bytes], object]

_CHUNK_BYTES = 65_536
_ADDRESSES = 4
_EXCERPT_WITHIN_S = 2.0
_GZIP = 31  # zlib's word for: a gzip header, the largest window


class EgressTooLargeError(EgressError):
    """The answer is larger than the limit, as sent or once unpacked."""


class EgressEncodingError(EgressError):
    """The answer is packed in a way that is not unpacked."""


class EgressTimeoutError(EgressError):
    """There was no whole answer in time."""


class EgressFailedError(EgressError):
    """The host can not be found, can not be reached, or does not speak HTTP; another attempt may succeed."""


@dataclass(frozen=True, slots=True)
class EgressAnswer:
    """What came back.

    Attributes:
        status: The HTTP status; redirects are answers like others.
        headers: The headers.
        excerpt: How the body begins, whatever the status, where that was asked for and the body is not packed.
    """

    status: int
    headers: httpx.Headers
    excerpt: bytes = b""

    @property
    def encoding(self) -> str:
        """How the body is packed; empty if it is not."""
        encoding = self.headers.get("content-encoding", "").strip().lower()
        return "" if encoding == "identity" else encoding


async def resolve_by_system(host: str, port: int) -> Sequence[str]:
    """Return the addresses that this machine finds for a name, the best first."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(item[4][0]) for item in found))


class EgressClient:
    """Sends single requests to listed hosts.

    Args:
        allowed_hosts: ``host`` or ``host:port``. A name without a port, and a name with one, may lead to public
            addresses; only an address itself, or a name with its port, may lead inside.
        max_bytes: Largest body of an answer, once unpacked.
        timeout_s: Longest time for one request, from the name's resolution to the last byte.
        schemes: Schemes that may be asked.
        unpack: Whether a body packed with gzip is unpacked; if not, it is refused.
        resolve: Finds the addresses of a name.
        ssl_context: Whom TLS trusts; the usual authorities if left out.
        transport: For tests; the network if left out.

    Raises:
        ValueError: An allowed host is none.
    """

    def __init__(
        self,
        allowed_hosts: Collection[str],
        *,
        max_bytes: int,
        timeout_s: float,
        schemes: Iterable[str] = ("https",),
        unpack: bool = False,
        resolve: Resolve = resolve_by_system,
        ssl_context: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._hosts = AllowedHosts(allowed_hosts)
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._schemes = tuple(schemes)
        self._unpack = unpack
        self._resolve = resolve
        self._ssl_context = ssl_context
        self._transport = transport

    @property
    def hosts(self) -> AllowedHosts:
        """The allowed hosts."""
        return self._hosts

    def destination(self, url: str) -> Destination:
        """Return where a URL leads; nothing is asked yet.

        Raises:
            EgressForbiddenError: It may not be asked.
        """
        to = destination_of(url, self._schemes)
        if not self._hosts.lists(to):
            raise EgressForbiddenError(f"the host {to.shown} is not among the allowed hosts")
        return to

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        take: Take | None = None,
        excerpt_bytes: int = 0,
    ) -> EgressAnswer:
        """Send one request.

        Args:
            method: The HTTP method.
            url: The address.
            headers: Further headers.
            content: The body.
            take: Is given the body of a 2xx answer, unpacked, piece by piece; without it no body is read.
            excerpt_bytes: Without ``take``, read so many bytes of any answer's body for a log. A body that is slow
                or breaks off does not make an answer of what has a status already fail.

        Raises:
            EgressForbiddenError: The address may not be asked; nothing was sent.
            EgressTooLargeError: The body is too large; what was taken so far is to be dropped.
            EgressEncodingError: The body is packed in a way that is not unpacked.
            EgressTimeoutError: Not everything came in time.
            EgressFailedError: The host can not be reached, or its answer is no HTTP.
        """
        to = self.destination(url)
        try:
            async with asyncio.timeout(self._timeout_s):
                addresses = await self._addresses(to)
                return await self._send(to, addresses, method, dict(headers or {}), content, take, excerpt_bytes)
        except TimeoutError:
            raise EgressTimeoutError(f"no whole answer within {self._timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EgressFailedError(f"{type(error).__name__}: {str(error)[:200]}") from error

    async def _addresses(self, to: Destination) -> list[Address]:
        """Return the addresses of a destination after a look at each; one that may not be asked refuses them all."""
        if to.address is not None:
            found = [to.address]
        else:
            try:
                found = [ipaddress.ip_address(text) for text in await self._resolve(to.host, to.port)]
            except (OSError, UnicodeError) as error:
                raise EgressFailedError(f"the host {to.host} can not be found: {error}") from error
            except ValueError:
                raise EgressForbiddenError(f"{to.host} leads to what is no address") from None
        if not found:
            raise EgressFailedError(f"the host {to.host} has no address")
        for address in found:
            refusal = self._hosts.refusal_of(to, address)
            if refusal is not None:
                raise EgressForbiddenError(refusal)
        return found[:_ADDRESSES]

    async def _send(
        self,
        to: Destination,
        addresses: list[Address],
        method: str,
        headers: dict[str, str],
        content: bytes | None,
        take: Take | None,
        excerpt_bytes: int,
    ) -> EgressAnswer:
        """Ask the first address that can be connected to."""
        # One address that swallows everything must leave time for the others.
        timeout = httpx.Timeout(self._timeout_s, connect=self._timeout_s / len(addresses))
        extensions = {} if to.address is not None else {"sni_hostname": to.host}
        own = {"host": to.authority, "user-agent": "concord", "accept": "*/*", "accept-encoding": "identity"}
        async with httpx.AsyncClient(
            transport=self._transport or httpx.AsyncHTTPTransport(verify=self._tls(), trust_env=False),
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
        ) as client:
            for number, address in enumerate(addresses, 1):
                pinned = httpx.URL(
                    scheme=to.scheme, host=str(address), port=to.port, raw_path=to.target.encode("ascii")
                )
                try:
                    async with client.stream(
                        method, pinned, headers=own | headers, content=content, extensions=extensions
                    ) as response:
                        answer = EgressAnswer(response.status_code, response.headers)
                        if take is not None and response.is_success:
                            await self._read(response, answer, take)
                        elif take is None and excerpt_bytes and not answer.encoding:
                            return replace(answer, excerpt=await _beginning(response, excerpt_bytes))
                        return answer
                except (httpx.ConnectError, httpx.ConnectTimeout):
                    if number == len(addresses):
                        raise
        raise AssertionError("unreachable")

    async def _read(self, response: httpx.Response, answer: EgressAnswer, take: Take) -> None:
        packed = answer.encoding
        if packed and not (self._unpack and packed in ("gzip", "x-gzip")):
            raise EgressEncodingError(f"the answer is packed as {packed[:40]!r}, though it was asked for as it is")
        announced = answer.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced[:20]) > self._max_bytes:
            raise self._too_large()
        unpacked = _Gunzip() if packed else None
        received = taken = 0
        async for chunk in response.aiter_raw(_CHUNK_BYTES):
            received += len(chunk)
            for piece in unpacked.pieces(chunk) if unpacked is not None else (chunk,):
                taken += len(piece)
                if max(received, taken) > self._max_bytes:
                    raise self._too_large()
                take(piece)
                # One packed chunk may hold a thousand pieces: others get their turn, and the clock too.
                await asyncio.sleep(0)
        if unpacked is not None and not unpacked.ended:
            raise EgressFailedError("the packed answer ends too early")

    def _too_large(self) -> EgressTooLargeError:
        return EgressTooLargeError(f"the answer is larger than {self._max_bytes} bytes")

    def _tls(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = httpx.create_ssl_context()
        return self._ssl_context


async def _beginning(response: httpx.Response, size: int) -> bytes:
    found = bytearray()
    with suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(_EXCERPT_WITHIN_S):
            async for chunk in response.aiter_raw():
                found += chunk
                if len(found) >= size:
                    break
    return bytes(found[:size])


class _Gunzip:
    """Unpacks gzip in pieces of bounded size, however well it was packed."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._begun = False

    @property
    def ended(self) -> bool:
        """Whether the last member is whole."""
        return self._member.eof or not self._begun

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what a chunk unpacks to."""
        rest = chunk
        while rest:
            if self._member.eof:
                self._member = zlib.decompressobj(_GZIP)
            self._begun = True
            try:
                piece = self._member.decompress(rest, _CHUNK_BYTES)
            except zlib.error as error:
                raise EgressFailedError(f"the packed answer can not be unpacked: {error}") from None
            if piece:
                yield piece
            rest = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

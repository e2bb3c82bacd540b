"""Reads assets over HTTPS from hosts that the operator lists, with limits on size and time."""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
from collections.abc import Collection, Coroutine
from typing import TypeVar

from infra.egress import (
    EgressAnswer,
    EgressClient,
    EgressEncodingError,
    EgressFailedError,
    EgressTimeoutError,
    EgressTooLargeError,
    Resolve,
    resolve_by_system,
)
from infra.egress_rules import EgressError, EgressForbiddenError
from services.errors import (
    AssetError,
    AssetForbiddenError,
    AssetHashMismatchError,
    AssetMissingError,
    AssetTooLargeError,
)
from services.ports.assets import AssetBytes

Answer = TypeVar("Answer")

_FIRST_BYTE = {"range": "bytes=0-0"}
_TOTAL = re.compile(r"bytes (?:[0-9]+-[0-9]+|\*)/([0-9]{1,19})")
_LENGTH = re.compile(r"[0-9]{1,19}")
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_PAUSES_S = (0.2, 0.8)
_SECRET = re.compile(r"//[^/?#]*@")


class RemoteAssetReader:
    """The asset port over hosts outside.

    ``https:`` is read from every listed host; ``http:`` only from one that is listed with its port, as there nobody
    proves who answers. Messages leave out an address's query, which may be a signature.

    Args:
        hosts: ``host`` or ``host:port``, as :class:`infra.egress.EgressClient` takes them. None allows nothing.
        max_bytes: Largest asset, unpacked where the host packs it with gzip.
        timeout_s: Longest time for one asset, with all attempts.
        resolve: Finds the addresses of a name.
        ssl_context: Whom TLS trusts; the usual authorities if left out.

    Raises:
        ValueError: A host is none.
    """

    def __init__(
        self,
        hosts: Collection[str],
        max_bytes: int,
        timeout_s: float,
        *,
        resolve: Resolve = resolve_by_system,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._client = EgressClient(
            hosts,
            max_bytes=max_bytes,
            timeout_s=timeout_s,
            schemes=("https", "http"),
            unpack=True,
            resolve=resolve,
            ssl_context=ssl_context,
        )

    async def check(self, uri: str, *, sha256: str | None) -> int:
        """Return the size in bytes as the host states it; a hash is compared when the asset is read.

        The host is asked with HEAD. One that does not answer that is asked for the first byte, and one that states
        no size even then is read to the end.
        """
        del sha256
        size = await self._in_time(uri, self._size(uri))
        if size > self._max_bytes:
            raise AssetTooLargeError(f"the asset {_shown(uri)} has {size} bytes; at most {self._max_bytes} are read")
        return size

    async def read(self, uri: str, *, sha256: str | None, max_bytes: int | None = None) -> AssetBytes:
        """Return the bytes with their hash, which is compared with ``sha256`` where that is given.

        Args:
            uri: The address.
            sha256: What the hash must be.
            max_bytes: Largest asset, where that is less than for all.
        """
        body = await self._in_time(uri, self._body(uri))
        if max_bytes is not None and len(body.data) > max_bytes:
            raise AssetTooLargeError(
                f"the asset {_shown(uri)} has {len(body.data)} bytes; at most {max_bytes} are read"
            )
        digest = body.digest.hexdigest()
        if sha256 is not None and digest != sha256:
            raise AssetHashMismatchError(
                f"the asset {_shown(uri)} has the SHA-256 {digest}, not {sha256[:64]}; correct the manifest or the file"
            )
        return AssetBytes(data=bytes(body.data), sha256=digest, size_bytes=len(body.data))

    async def digest(self, uri: str, *, sha256: str | None) -> str:
        """Return the hash of the bytes; it is compared as by :meth:`read`."""
        return (await self.read(uri, sha256=sha256)).sha256

    async def _in_time(self, uri: str, work: Coroutine[None, None, Answer]) -> Answer:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await work
        except (TimeoutError, EgressTimeoutError):
            raise AssetError(f"the asset {_shown(uri)} was not read within {self._timeout_s:g} s") from None

    async def _size(self, uri: str) -> int:
        # A HEAD that is refused says nothing: a signed address is often good for GET alone.
        answer = await self._ask("HEAD", uri)
        size = _stated_size(answer) if answer.status == 200 else None
        if size is None:
            answer = await self._ask("GET", uri, headers=_FIRST_BYTE)
            if answer.status not in (206, 416):
                _ensure_read(answer, uri)
            size = _stated_size(answer)
        if size is None:
            size = len((await self._body(uri)).data)
        return size

    async def _body(self, uri: str) -> _Body:
        body = _Body()
        _ensure_read(await self._ask("GET", uri, body=body), uri)
        return body

    async def _ask(
        self, method: str, uri: str, *, headers: dict[str, str] | None = None, body: _Body | None = None
    ) -> EgressAnswer:
        """Ask the host, and again where that may help."""
        reason = ""
        for pause_s in (*_PAUSES_S, None):
            if body is not None:
                body.clear()
            try:
                self._ensure_scheme(uri)
                take = body.take if body is not None else None
                answer = await self._client.send(method, uri, headers=headers, take=take)
                if answer.status not in _PASSING:
                    return answer
                reason = f"HTTP status {answer.status}"
            except EgressFailedError as error:
                reason = str(error)
            except EgressTimeoutError:
                raise
            except EgressError as error:
                raise _asset_error(error, uri) from error
            if pause_s is not None:
                await asyncio.sleep(pause_s)
        raise AssetError(f"the asset {_shown(uri)} can not be read, asked {len(_PAUSES_S) + 1} times: {reason}")

    def _ensure_scheme(self, uri: str) -> None:
        if not self._client.hosts:
            raise EgressForbiddenError(
                "no asset host is allowed; name its host in CONCORD_ASSET_HOSTS, or as --asset-host of concord up"
            )
        to = self._client.destination(uri)
        if to.scheme == "http" and not self._client.hosts.lists_port(to):
            raise EgressForbiddenError(
                f"http: is read only from hosts that are listed with their port; give https:, or list {to.shown}"
            )


class _Body:
    """What came so far, with its hash."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.digest = hashlib.sha256()

    def take(self, piece: bytes) -> None:
        """Add a piece."""
        self.data += piece
        self.digest.update(piece)

    def clear(self) -> None:
        """Forget an attempt."""
        self.data = bytearray()
        self.digest = hashlib.sha256()


def _stated_size(answer: EgressAnswer) -> int | None:
    """Return the size of the whole asset, if an answer without its body tells it."""
    if answer.encoding:
        return None
    if answer.status in (206, 416):
        total = _TOTAL.fullmatch(answer.headers.get("content-range", "").strip())
        return int(total[1]) if total is not None else None
    length = answer.headers.get("content-length", "")
    return int(length) if _LENGTH.fullmatch(length) else None


def _ensure_read(answer: EgressAnswer, uri: str) -> None:
    status = answer.status
    if status == 200:
        return
    if status in (404, 410):
        raise AssetMissingError(f"there is nothing at {_shown(uri)} (HTTP status {status})")
    if status in (401, 403, 407, 451):
        raise AssetForbiddenError(f"the host does not give the asset {_shown(uri)} to this service (HTTP {status})")
    if 300 <= status < 400:
        raise AssetForbiddenError(
            f"the asset {_shown(uri)} is answered with a redirect (HTTP {status}), which is not followed; "
            "state the final address"
        )
    raise AssetError(f"the asset {_shown(uri)} is answered with HTTP status {status}")


def _asset_error(error: EgressError, uri: str) -> AssetError:
    if isinstance(error, EgressTooLargeError):
        return AssetTooLargeError(f"the asset {_shown(uri)} can not be read: {error}")
    if isinstance(error, EgressEncodingError):
        return AssetError(f"the asset {_shown(uri)} can not be read: {error}")
    return AssetForbiddenError(f"the asset {_shown(uri)} is not asked for: {error}")


def _shown(uri: str) -> str:
    """Return an address for a message, without what may be secret in it."""
    path, query, _ = _SECRET.sub("//…@", uri).partition("?")
    return repr((path if len(path) <= 200 else path[:200] + "…") + ("?…" if query else ""))

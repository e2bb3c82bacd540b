"""A pre-label model behind HTTP, in the Label Studio ML backend protocol.

The model is a guest: it is asked through :mod:`infra.egress`, only at hosts the operator allows, has a time for each
attempt and one for everything, and may answer only so much. Whatever it does wrong becomes a :class:`PreLabelError`.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import httpx
from PIL import Image

from infra.egress import EgressClient, EgressEncodingError, EgressTimeoutError, EgressTooLargeError
from infra.egress_rules import EgressError, EgressForbiddenError
from infra.pre_label.label_studio import SizePx, predict_body, read_answer, setup_body
from services.contracts.annotations import Annotation
from services.contracts.canonical import parse_json
from services.contracts.pre_label import HttpModel, ObjectTag
from services.errors import ConcordError, MalformedJsonError, PreLabelError
from services.ports.pre_label import PreLabelRequest

_BACK_OFF_S = 0.25
_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_IMAGE_PIXELS = 400_000_000
UNKNOWN_VERSION = "unknown"


class _TryAgainError(Exception):
    """An attempt failed in a way that another one may not."""


class HttpPreLabeler:
    """Asks one model over HTTP.

    Args:
        config: The source, as the project states it.
        allowed_hosts: ``host`` or ``host:port``; no other host is ever asked, and a name without a port only at public
            addresses, as :class:`infra.egress.EgressClient` has it.
        transport: For tests; the network if left out.

    Raises:
        PreLabelError: The source's host is not allowed.
    """

    def __init__(
        self,
        config: HttpModel,
        *,
        allowed_hosts: Collection[str],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._config = config
        self._client = _client_of(config, allowed_hosts, transport)
        self._version = config.model_version or UNKNOWN_VERSION

    @property
    def name(self) -> str:
        """The source's name."""
        return self._config.name

    @property
    def version(self) -> str:
        """The version that the model named last, or the configured one."""
        return self._version

    @property
    def turn(self) -> AbstractAsyncContextManager[None]:
        """Nothing to wait for: how many samples it takes at once is the model's own affair."""
        return nullcontext()

    async def predict(self, request: PreLabelRequest) -> tuple[Annotation, ...]:
        """Return the model's labels for one sample; none if the sample has none of the model's streams.

        Raises:
            PreLabelError: No usable answer within ``budget_s``.
        """
        streams = {stream.id: stream for stream in request.manifest.streams}
        tags = [tag for tag in self._config.objects if tag.stream in streams]
        if not tags:
            return ()
        try:
            async with asyncio.timeout(self._config.budget_s):
                return await self._predict(request, tags)
        except TimeoutError:
            raise PreLabelError(
                f"The model {self.name} gave no answer within its {self._config.budget_s:g} s"
            ) from None
        except PreLabelError:
            raise
        except ConcordError as error:
            raise PreLabelError(f"The model {self.name} was not asked: {error.detail}") from error

    async def check_health(self) -> None:
        """Ask ``GET /health``.

        Raises:
            PreLabelError: The model does not answer, or does not say that it is up.
        """
        try:
            async with asyncio.timeout(self._config.timeout_s):
                answer = await self._attempt("GET", "/health", None)
        except TimeoutError:
            raise PreLabelError(
                f"The model {self.name} does not answer /health within {self._config.timeout_s:g} s"
            ) from None
        except _TryAgainError as error:
            raise PreLabelError(f"The model {self.name} is not healthy: {error}") from None
        if not isinstance(answer, dict) or str(answer.get("status", "")).upper() != "UP":
            raise PreLabelError(f"The model {self.name} does not say that it is UP")

    async def _predict(self, request: PreLabelRequest, tags: list[ObjectTag]) -> tuple[Annotation, ...]:
        manifest = request.manifest
        assets: dict[str, bytes] = {}
        data = {tag.name: await self._value(tag, request, assets) for tag in tags}
        sizes = {
            tag.stream: await self._size(tag, request, assets)
            for tag in tags
            if tag.type == "Image" and _has_shapes(self._config, tag)
        }
        # A label configuration must not name what the sample lacks, so the model sees a narrowed copy.
        names = {tag.name for tag in tags}
        controls = tuple(control for control in self._config.controls if control.to_name in names)
        if not controls:
            return ()
        model = self._config.model_copy(update={"objects": tuple(tags), "controls": controls})
        body = await asyncio.to_thread(_encoded, predict_body(model, manifest.project, manifest.sample_id, data))
        if len(body) > self._config.max_request_bytes:
            raise PreLabelError(
                f"The request to {self.name} would have {len(body)} bytes; {self._config.max_request_bytes} are allowed"
            )
        if self._config.setup:
            await self._ask("/setup", _encoded(setup_body(model, manifest.project)))
        document = await self._ask("/predict", body)
        streams = {stream.id: stream for stream in manifest.streams}
        default = self._config.model_version or UNKNOWN_VERSION
        known_sizes = {stream: size for stream, size in sizes.items() if size is not None}
        answer = await asyncio.to_thread(read_answer, model, document, streams, known_sizes, default)
        self._version = answer.version
        return answer.annotations

    async def _value(self, tag: ObjectTag, request: PreLabelRequest, assets: dict[str, bytes]) -> str:
        stream = request.manifest.stream(tag.stream)
        if stream.inline is not None:
            return stream.inline if isinstance(stream.inline, str) else json.dumps(stream.inline, sort_keys=True)
        if stream.uri is None:
            raise PreLabelError(f"The stream {tag.stream} has no asset to show to the model {self.name}")
        if tag.type != "Text" and self._config.send == "uri":
            return stream.uri
        content = await self._read(tag.stream, request, assets)
        if tag.type == "Text":
            try:
                return content.decode("utf-8")
            except UnicodeDecodeError:
                raise PreLabelError(f"The text of stream {tag.stream} is not UTF-8") from None
        media_type = stream.media_type or "application/octet-stream"
        encoded = await asyncio.to_thread(base64.b64encode, content)
        return f"data:{media_type};base64,{encoded.decode('ascii')}"

    async def _read(self, stream: str, request: PreLabelRequest, assets: dict[str, bytes]) -> bytes:
        if stream not in assets:
            assets[stream] = await request.read(stream)
            if len(assets[stream]) > self._config.max_request_bytes:
                raise PreLabelError(
                    f"The asset of stream {stream} has {len(assets[stream])} bytes; "
                    f"{self._config.max_request_bytes} may be sent to {self.name}"
                )
        return assets[stream]

    async def _size(self, tag: ObjectTag, request: PreLabelRequest, assets: dict[str, bytes]) -> SizePx | None:
        stream = request.manifest.stream(tag.stream)
        if stream.image_size_px is not None or stream.uri is None:
            return stream.image_size_px
        return await asyncio.to_thread(_image_size, await self._read(tag.stream, request, assets))

    async def _ask(self, path: str, body: bytes) -> Any:
        reason = "no attempt was made"
        for attempt in range(self._config.retries + 1):
            if attempt:
                await asyncio.sleep(_BACK_OFF_S * 2 ** (attempt - 1))
            try:
                async with asyncio.timeout(self._config.timeout_s):
                    return await self._attempt("POST", path, body)
            except TimeoutError:
                reason = f"no answer within {self._config.timeout_s:g} s"
            except _TryAgainError as error:
                reason = str(error)
        raise PreLabelError(
            f"The model {self.name} failed {self._config.retries + 1} times on {path}; the last time: {reason}"
        )

    async def _attempt(self, method: str, path: str, body: bytes | None) -> Any:
        url = self._config.url.rstrip("/") + path
        headers = {"accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/json"
        content = bytearray()
        try:
            answer = await self._client.send(method, url, headers=headers, content=body, take=content.extend)
        except EgressTooLargeError:
            limit = self._config.max_response_bytes
            raise PreLabelError(f"The answer of the model {self.name} is larger than {limit} bytes") from None
        except EgressEncodingError as error:
            raise PreLabelError(f"The model {self.name} gave no plain JSON: {error}") from None
        except EgressForbiddenError as error:
            raise PreLabelError(f"The model {self.name} was not asked: {error}") from None
        except EgressTimeoutError:
            raise TimeoutError from None
        except EgressError as error:
            raise _TryAgainError(str(error)) from error
        self._ensure_answered(answer.status, path)
        try:
            return await asyncio.to_thread(parse_json, bytes(content))
        except (MalformedJsonError, RecursionError) as error:
            detail = error.detail if isinstance(error, MalformedJsonError) else "nested too deeply"
            raise PreLabelError(f"The model {self.name} answered {path} with unreadable JSON: {detail}") from error

    def _ensure_answered(self, status: int, path: str) -> None:
        if status in _RETRIED_STATUSES:
            raise _TryAgainError(f"HTTP status {status}")
        if 300 <= status < 400:
            raise PreLabelError(
                f"The model {self.name} answered {path} with a redirect (HTTP {status}), which is not followed; "
                "state the final address"
            )
        if not 200 <= status < 300:
            raise PreLabelError(f"The model {self.name} refused {path} with HTTP status {status}")


def _client_of(
    config: HttpModel, allowed_hosts: Collection[str], transport: httpx.AsyncBaseTransport | None
) -> EgressClient:
    try:
        client = EgressClient(
            allowed_hosts,
            max_bytes=config.max_response_bytes,
            timeout_s=config.timeout_s,
            schemes=("http", "https"),
            transport=transport,
        )
        client.destination(config.url)
    except ValueError as error:
        raise PreLabelError(f"The list of hosts that pre-label models may be asked at is not valid: {error}") from None
    except EgressForbiddenError as error:
        raise PreLabelError(
            f"The address {config.url[:200]!r} is not among the hosts that pre-label models may be asked at "
            f"({error}); let the operator add it to the allowed hosts"
        ) from None
    return client


def _has_shapes(config: HttpModel, tag: ObjectTag) -> bool:
    return any(control.to_name == tag.name and control.type != "Choices" for control in config.controls)


def _encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()


def _image_size(content: bytes) -> SizePx:
    try:
        with Image.open(io.BytesIO(content)) as image:
            width, height = image.size
    except (OSError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PreLabelError(f"The size of the image can not be read: {str(error)[:200]}") from None
    if width * height > _IMAGE_PIXELS:
        raise PreLabelError(f"The image has {width} x {height} pixels, more than {_IMAGE_PIXELS}")
    return width, height

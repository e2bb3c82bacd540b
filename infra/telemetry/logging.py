"""Structured logs: one line a fact, with the sample and workflow it belongs to, and never a secret or a payload."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog

HIDDEN = "[hidden]"
_SECRET_NAMES = re.compile(r"(?i)(password|passwd|secret|token|authorization|api_?key|bootstrap_key|credential)")
_PAYLOAD_NAMES = frozenset({"data", "body", "payload", "manifest", "annotations", "patch", "labels", "raw", "inline"})
_URL_PASSWORD = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s@/]+@", re.IGNORECASE)
_API_KEY = re.compile(r"\bck_[A-Za-z0-9_-]{8,}")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_MAX_TEXT = 8_000


def mask(text: str) -> str:
    """Return ``text`` without passwords in URLs, API keys and bearer tokens, and not endlessly long."""
    text = _URL_PASSWORD.sub(rf"\g<scheme>:{HIDDEN}@", text)
    text = _API_KEY.sub(f"ck_{HIDDEN}", text)
    text = _BEARER.sub(rf"\g<1> {HIDDEN}", text)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}… ({len(text)} characters)"


def hide_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: values of secret or payload names are left out, all texts are masked."""
    for name, value in event.items():
        event[name] = _safe(name, value, depth=0)
    return event


def _safe(name: str, value: Any, *, depth: int) -> Any:
    if name in _PAYLOAD_NAMES or _SECRET_NAMES.search(name):
        return HIDDEN
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, bool | int | float) or value is None:
        return value
    if depth >= 4:
        return HIDDEN
    if isinstance(value, dict):
        return {str(key): _safe(str(key), item, depth=depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_safe("", item, depth=depth + 1) for item in value]
    return mask(str(value))


def configure_logging(*, level: str = "INFO", form: str = "json", stream: TextIO | None = None) -> None:
    """Send every log line, of the product and of its libraries, through one chain to ``stream``.

    Args:
        level: Name of the lowest level to write.
        form: ``json`` for machines, ``console`` for people.
        stream: Where to; standard error by default.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.stdlib.ExtraAdder(allow=("sample_id", "workflow_id", "project")),
        structlog.processors.format_exc_info,
        # After the traceback became text, so that what it quotes is masked as well.
        hide_secrets,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(sort_keys=True, ensure_ascii=False)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared[:-1],
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared[:-1],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, hide_secrets, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Their lines quote addresses and queries at a rate that hides everything else.
    for name in ("httpx", "httpcore", "sqlalchemy", "asyncio", "uvicorn.access"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


@contextmanager
def log_context(
    *, project: str | None = None, sample_id: str | None = None, workflow_id: str | None = None
) -> Iterator[None]:
    """Add what is known to every log line inside the block, whichever module writes it."""
    given = {"project": project, "sample_id": sample_id, "workflow_id": workflow_id}
    with structlog.contextvars.bound_contextvars(**{name: value for name, value in given.items() if value}):
        yield

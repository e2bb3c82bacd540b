"""One request of a webhook: to listed hosts only, bounded in time and size, no redirect followed."""

from __future__ import annotations

import ssl
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from infra.egress import EgressAnswer, EgressClient, Resolve, resolve_by_system
from infra.egress_rules import EgressError, EgressForbiddenError
from services.errors import InvalidInputError
from services.webhooks.retries import AttemptOutcome

MAX_EXCERPT = 1_000
"""Bytes that are kept of an answer."""

_MAX_ERROR = 500


@dataclass(frozen=True, slots=True)
class Posted:
    """What came of one request.

    Attributes:
        outcome: Whether it succeeded, and if not, why.
        latency_ms: From before the name is resolved until the answer was read.
        excerpt: How the answer's body begins; None if there is none.
    """

    outcome: AttemptOutcome
    latency_ms: float
    excerpt: str | None


class WebhookHttp:
    """Posts events, and says where they may be posted; implements :class:`services.ports.webhooks.WebhookTargets`.

    ``https:`` is asked at every listed host; ``http:`` only at one that is listed with its port. An address inside
    (loopback, private) only where the list has that very place, as :class:`infra.egress.EgressClient` has it.

    Args:
        hosts: ``host`` or ``host:port``. None allows nothing.
        timeout_s: Longest time for one request.
        resolve: Finds the addresses of a name.
        ssl_context: Whom TLS trusts; the usual authorities if left out.

    Raises:
        ValueError: A host is none.
    """

    def __init__(
        self,
        hosts: Collection[str],
        timeout_s: float,
        *,
        resolve: Resolve = resolve_by_system,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._client = EgressClient(
            hosts,
            max_bytes=MAX_EXCERPT,
            timeout_s=timeout_s,
            schemes=("https", "http"),
            resolve=resolve,
            ssl_context=ssl_context,
        )

    def ensure_allowed(self, url: str) -> None:
        """Raise InvalidInputError unless events may be posted to this address."""
        try:
            self._ensure(url)
        except EgressForbiddenError as error:
            sentence = f"{error}; the operator lists the hosts in CONCORD_WEBHOOK_HOSTS"
            raise InvalidInputError(
                f"The webhook is not valid: /url: {sentence}", places=(("/url", sentence),)
            ) from error

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Posted:
        """Post a body and tell what came of it; nothing is raised for what a receiver or the network does."""
        began = time.monotonic()
        excerpt = None
        try:
            self._ensure(url)
            answer = await self._client.send("POST", url, headers=headers, content=body, excerpt_bytes=MAX_EXCERPT)
        except EgressForbiddenError as error:
            outcome = AttemptOutcome(None, clean(f"not sent: {error}"))
        except EgressError as error:
            outcome = AttemptOutcome(None, clean(str(error)))
        else:
            outcome = _outcome_of(answer)
            excerpt = clean(answer.excerpt.decode("utf-8", "replace"), MAX_EXCERPT) or None
        return Posted(outcome, (time.monotonic() - began) * 1_000, excerpt)

    def _ensure(self, url: str) -> None:
        to = self._client.destination(url)
        if to.scheme == "http" and not self._client.hosts.lists_port(to):
            raise EgressForbiddenError(f"http: is for a host that is listed with its port, as {to.shown}; use https:")


def clean(text: str, limit: int = _MAX_ERROR) -> str:
    """Return what somebody outside wrote as it can be kept: bounded, and without what no text may hold."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()[:limit]


def _outcome_of(answer: EgressAnswer) -> AttemptOutcome:
    if 200 <= answer.status < 300:
        return AttemptOutcome(answer.status, None)
    error = f"HTTP status {answer.status}"
    if 300 <= answer.status < 400:
        error += ", a redirect, which is not followed; state the final address"
    asked = answer.headers.get("retry-after", "")
    seconds = float(asked[:9]) if asked.isascii() and asked.isdigit() else None
    return AttemptOutcome(answer.status, error, seconds)

"""The receiver of docs/webhooks.md does what it says, and the page names what the product has."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime
from http.server import HTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from infra.webhooks.http import WebhookHttp
from services.contracts.events import OUTGOING_EVENT_TYPES
from services.ports.webhooks import ClaimedDelivery
from services.webhooks.retries import RetryPolicy
from services.webhooks.signing import new_signing_secret, signed_headers

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
BODY = b'{"id":"p/s/1","type":"concord.sample.committed.v1"}'


@pytest.fixture
def program() -> dict[str, Any]:
    [source] = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    namespace: dict[str, Any] = {"__name__": "receiver", "SECRET": ""}
    exec(compile(source, "docs/webhooks.md", "exec"), namespace)  # noqa: S102 - our own example
    namespace["SECRET"] = new_signing_secret()
    namespace["handled"] = []
    namespace["handle"] = namespace["handled"].append
    return namespace


def headers_of(secret: str) -> dict[str, str]:
    claimed = ClaimedDelivery(
        delivery_id=uuid4(),
        endpoint_id=uuid4(),
        project="p",
        url="https://x.example/",
        secrets=(new_signing_secret(), secret),
        fence=1,
        attempts=1,
        first_attempt_at=datetime.now(UTC),
        claimed_at=datetime.now(UTC),
        message=None,
        body={},
    )
    return signed_headers(claimed, BODY, datetime.now(UTC))


def test_receiver_takes_each_event_once_and_refuses_what_is_not_signed(program: dict[str, Any]) -> None:
    headers = headers_of(program["SECRET"])
    assert [program["take"](headers, BODY) for _ in range(2)] == [204, 204]
    assert [event["id"] for event in program["handled"]] == ["p/s/1"]
    assert program["take"](headers, BODY + b" ") == 401
    for signature in ("", "v1", "v1,%%%", "v1,a", "v2,AAAA", "nonsense", "v1,ü"):
        assert program["take"](headers | {"webhook-signature": signature}, BODY) == 401, signature
    assert program["take"](headers | {"webhook-timestamp": "1"}, BODY) == 401
    assert program["take"](headers, b"\xff") == 401
    assert len(program["handled"]) == 1


async def test_receiver_answers_what_the_sender_posts(program: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program["Receiver"], "log_message", lambda *_: None)
    with HTTPServer(("127.0.0.1", 0), program["Receiver"]) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        host = f"127.0.0.1:{server.server_port}"
        posted = await WebhookHttp((host,), 60).post(f"http://{host}/", headers_of(program["SECRET"]), BODY)
        thread.join(60)
    assert (posted.outcome.status, posted.outcome.error) == (204, None)
    assert [event["id"] for event in program["handled"]] == ["p/s/1"]


def test_page_names_the_events_and_the_pauses() -> None:
    for kind in OUTGOING_EVENT_TYPES:
        assert kind in PAGE or kind.startswith("concord.sample."), kind
    policy = RetryPolicy()
    minutes = [policy.pause_s(failures, 0.5) / 60 for failures in range(1, policy.max_attempts)]
    assert [round(value * 60) for value in minutes[:3]] == [5, 20, 80]
    assert [round(value) for value in minutes[3:5]] == [5, 21]
    assert [round(value / 60, 1) for value in minutes[5:]] == [1.4, 5.7, 8, 8]
    assert "5 s, 20 s, 80 s, 5 min, 21 min, 1.4 h, 5.7 h, 8 h, 8 h, each 20 %" in PAGE

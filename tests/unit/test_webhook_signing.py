from __future__ import annotations

import base64
from datetime import UTC, datetime
from uuid import UUID

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from services.ports.webhooks import ClaimedDelivery
from services.webhooks.signing import new_signing_secret, signed_headers

BODY = '{"id":"p/s/1","text":"Überholt 🚗"}'.encode()
DELIVERY = UUID("0b8e7c0e-7b0a-4c55-9c3e-0a7c1d9d1f7e")


def claimed(*secrets: str) -> ClaimedDelivery:
    return ClaimedDelivery(
        delivery_id=DELIVERY,
        endpoint_id=DELIVERY,
        project="p",
        url="https://receiver.example/hook",
        secrets=secrets,
        fence=1,
        attempts=1,
        first_attempt_at=datetime.now(UTC),
        claimed_at=datetime.now(UTC),
        message=None,
        body={},
    )


def test_signature_equals_the_example_of_the_specification_library() -> None:
    # The published example: id, time and secret of the specification, with its body.
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    at = datetime.fromtimestamp(1614265330, UTC)
    signature = Webhook(secret).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, '{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    headers = signed_headers(claimed(secret), b'{"test": 2432232314}', at)
    assert headers["webhook-timestamp"] == "1614265330"


def test_headers_verify_and_a_changed_byte_does_not() -> None:
    secret = new_signing_secret()
    headers = signed_headers(claimed(secret), BODY, datetime.now(UTC))
    assert headers["webhook-id"] == "msg_0b8e7c0e7b0a4c559c3e0a7c1d9d1f7e"
    assert Webhook(secret).verify(BODY, headers)["id"] == "p/s/1"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, headers | {"webhook-id": "msg_other"})
    with pytest.raises(WebhookVerificationError):
        Webhook(new_signing_secret()).verify(BODY, headers)


def test_every_secret_signs_the_newest_first() -> None:
    new, old = new_signing_secret(), new_signing_secret()
    headers = signed_headers(claimed(new, old), BODY, datetime.now(UTC))
    first, second = headers["webhook-signature"].split(" ")
    assert first != second
    Webhook(new).verify(BODY, headers | {"webhook-signature": first})
    for secret in (new, old):
        Webhook(secret).verify(BODY, headers)


def test_secrets_are_256_random_bits_and_not_shown() -> None:
    secret = new_signing_secret()
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert new_signing_secret() != secret
    assert secret not in repr(claimed(secret))

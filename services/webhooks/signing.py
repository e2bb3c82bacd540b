"""Signatures of the Standard Webhooks specification, version 1: HMAC-SHA256 over id, time and body."""

from __future__ import annotations

import base64
import secrets
from datetime import datetime

from standardwebhooks import Webhook

from services.contracts.webhooks import webhook_id_of
from services.ports.webhooks import ClaimedDelivery

SECRET_PREFIX = "whsec_"  # noqa: S105 - tells a scanner what a found secret is for
_SECRET_BYTES = 32


def new_signing_secret() -> str:
    """Return a fresh secret: ``whsec_`` and 32 random bytes in base64."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signed_headers(delivery: ClaimedDelivery, body: bytes, now: datetime) -> dict[str, str]:
    """Return the headers by which a receiver proves who sent the body, and knows it again.

    Args:
        delivery: What is sent; each of its secrets signs, the newest first.
        body: The bytes as they are sent, UTF-8.
        now: When they are sent, aware, in UTC: the library takes the clock's face and ignores the zone.
    """
    webhook_id = webhook_id_of(delivery.delivery_id)
    text = body.decode()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(webhook_id, now, text) for secret in delivery.secrets),
    }

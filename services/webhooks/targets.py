"""Where webhooks may go while nobody has said so."""

from __future__ import annotations

from services.errors import InvalidInputError


class NoTargets:
    """Implements :class:`services.ports.webhooks.WebhookTargets`: nothing may be told of events."""

    def ensure_allowed(self, url: str) -> None:
        """Raise InvalidInputError, whatever the address."""
        del url
        sentence = "this Concord sends no webhooks; the operator lists the hosts that may be told"
        raise InvalidInputError(f"The webhook is not valid: /url: {sentence}", places=(("/url", sentence),))

"""What the API is made of: ports and use-cases, wired by the composition root."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.intake.inbox import Inbox
from services.ports.checks import CheckRunner
from services.ports.database import Database
from services.ports.webhooks import WebhookTargets
from services.webhooks.targets import NoTargets

DEFAULT_MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ApiServices:
    """Everything the routes call.

    Attributes:
        database: The store of record; use-cases that need nothing else are made from it call by call.
        inbox: Takes events in.
        webhook_targets: Where webhooks may go; nowhere unless somebody says so.
        body_max_bytes: A larger request body is refused while it is read.
        runner: Runs the checks for previews; None where this server runs none.
        pace_s: Where known answers are mixed in, answers about tasks come at a multiple of this after their request:
            several times what one takes on a quiet machine. 0 for no pace.
    """

    database: Database
    inbox: Inbox
    body_max_bytes: int = DEFAULT_MAX_BYTES
    webhook_targets: WebhookTargets = field(default_factory=NoTargets)
    runner: CheckRunner | None = None
    pace_s: float = 0.15

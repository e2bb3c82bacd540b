"""Taxonomies as upstream sends them."""

from __future__ import annotations

from typing import Any

from services.contracts.events import EventType
from services.intake.cloud_events import EventMessage
from tests.intake_events import event, structured


def taxonomy(version: int = 1, *classes: str, **more: Any) -> dict[str, Any]:
    """A taxonomy document with these classes."""
    return {"id": "av", "version": version, "classes": [{"id": name} for name in classes or ("auto", "van")], **more}


def published(version: int = 1, *classes: str, event_id: str | None = None, **more: Any) -> EventMessage:
    """The message that a taxonomy was published."""
    document = taxonomy(version, *classes, **more)
    return structured(event(document, EventType.TAXONOMY_PUBLISHED, id=event_id or f"av-{version}"))

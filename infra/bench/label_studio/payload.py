"""What both sides are given: one image a sample, with one box that a model has drawn, in each side's own form."""

from __future__ import annotations

from typing import Any

from infra.client import cloud_event
from services.contracts.events import EventType

IMAGE = "frame.png"
SIZE_PX = (1920, 1080)
BOX_PX = (192.0, 108.0, 576.0, 324.0)
CLASS = "car"
CONFIDENCE = 0.75
MODEL = "detector"

LABEL_CONFIG = (
    f'<View><Image name="image" value="$image"/>'
    f'<RectangleLabels name="label" toName="image"><Label value="{CLASS}"/></RectangleLabels></View>'
)


def our_event(project: str, sample_id: str) -> dict[str, Any]:
    """The event that brings a sample."""
    manifest = {
        "format": "concord.sample/1",
        "sample_id": sample_id,
        "project": project,
        "streams": [{"id": "cam", "modality": "image", "uri": IMAGE, "image_size_px": list(SIZE_PX)}],
        "annotations": [our_box() | {"confidence": CONFIDENCE, "author": {"kind": "model", "id": MODEL}}],
    }
    return cloud_event(EventType.SAMPLE_CREATED.value, "concord-bench", sample_id, manifest)


def our_box() -> dict[str, Any]:
    """The box."""
    return {"id": "a1", "type": "box", "stream": "cam", "label": CLASS, "frame": 0, "box": list(BOX_PX)}


def their_task(sample_id: str) -> dict[str, Any]:
    """The task that brings a sample."""
    return {
        "data": {"image": IMAGE, "sample_id": sample_id},
        "predictions": [{"model_version": MODEL, "score": CONFIDENCE, "result": [their_box()]}],
    }


def their_box() -> dict[str, Any]:
    """The box; its corner and size are percent of the image."""
    (width, height), (x_min, y_min, x_max, y_max) = SIZE_PX, BOX_PX
    return {
        "id": "a1",
        "type": "rectanglelabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "x": 100 * x_min / width,
            "y": 100 * y_min / height,
            "width": 100 * (x_max - x_min) / width,
            "height": 100 * (y_max - y_min) / height,
            "rotation": 0,
            "rectanglelabels": [CLASS],
        },
    }

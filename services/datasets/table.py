"""Records as rows: what the columns of a table are, and what stands in them.

The column ``annotation`` holds the whole label as canonical JSON, so that nothing is lost; the others are what people
filter and count by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from services.contracts.canonical import canonical_json
from services.contracts.datasets import MemberRecord

Kind = Literal["text", "integer", "number", "json"]

SAMPLE_COLUMNS: Mapping[str, tuple[Kind, str]] = {
    "sample_id": ("text", "Id of the sample."),
    "revision": ("integer", "Revision of its record."),
    "split": ("text", "The split it is in."),
    "group": ("text", "The group by which it is in that split."),
    "captured_at": ("text", "When it was recorded, RFC 3339, UTC."),
    "region": ("text", "Of its context."),
    "product": ("text", "Of its context."),
    "risk": ("text", "Of its context."),
    "context": ("json", "The whole context."),
    "streams": ("json", "Its recordings: address, SHA-256, clock, calibration."),
    "labels": ("integer", "How many labels it has."),
    "content_sha256": ("text", "SHA-256 of the record's canonical form."),
    "lineage_sha256": ("text", "SHA-256 of the canonical form of why it is believed."),
}
LABEL_COLUMNS: Mapping[str, tuple[Kind, str]] = {
    "sample_id": ("text", "Id of the sample."),
    "split": ("text", "The split it is in."),
    "annotation_id": ("text", "Id of the label, unique in its sample."),
    "type": ("text", "The kind of label."),
    "stream": ("text", "The stream that it describes."),
    "label": ("text", "The class."),
    "object_id": ("text", "The identity of the thing across streams and time."),
    "frame": ("integer", "Frame in the stream, from 0."),
    "start_s": ("number", "Where it begins in the stream, seconds."),
    "end_s": ("number", "Where it ends in the stream, seconds."),
    "x_min_px": ("number", "Left edge of a box."),
    "y_min_px": ("number", "Upper edge of a box."),
    "x_max_px": ("number", "Right edge of a box."),
    "y_max_px": ("number", "Lower edge of a box."),
    "text": ("text", "What was said or written."),
    "confidence": ("number", "From 0 to 1."),
    "taxonomy_version": ("text", "The taxonomy that names the class."),
    "author_kind": ("text", "Whether a person, a model or a tool made it."),
    "author_id": ("text", "Who made it."),
    "attributes": ("json", "Its attributes."),
    "annotation": ("json", "The whole label."),
}
_EDGES = ("x_min_px", "y_min_px", "x_max_px", "y_max_px")
_AS_IT_IS = (
    "type", "stream", "label", "object_id", "frame", "start_s", "end_s", "text", "confidence", "taxonomy_version",
)  # fmt: skip


def sample_row(item: MemberRecord) -> dict[str, Any]:
    """Return the row of a sample."""
    member, body = item.member, item.record.body
    context = body["context"]
    return {
        "sample_id": member.sample_id,
        "revision": member.revision,
        "split": member.split,
        "group": member.group,
        "captured_at": body.get("captured_at"),
        "region": context.get("region"),
        "product": context.get("product"),
        "risk": context["risk"],
        "context": _json(context),
        "streams": _json(body["streams"]),
        "labels": len(body["annotations"]),
        "content_sha256": item.record.content_sha256,
        "lineage_sha256": item.record.lineage_sha256,
    }


def label_rows(item: MemberRecord) -> Iterator[dict[str, Any]]:
    """Yield the row of each label of a sample, by id."""
    for label in item.record.body["annotations"]:
        author = label.get("author", {})
        row: dict[str, Any] = dict.fromkeys(LABEL_COLUMNS)
        row |= {name: label.get(name) for name in _AS_IT_IS}
        row |= {
            "sample_id": item.member.sample_id,
            "split": item.member.split,
            "annotation_id": label["id"],
            "author_kind": author.get("kind"),
            "author_id": author.get("id"),
            "attributes": _json(label["attributes"]),
            "annotation": _json(label),
        }
        if label["type"] == "box":
            row |= zip(_EDGES, label["box"], strict=True)
        yield row


def _json(value: Any) -> str:
    return canonical_json(value).decode()

"""Versions of datasets, and how they differ, for people."""

from __future__ import annotations

from typing import Any

from infra.cli.console import output, plain, print_facts, print_json, print_table
from services.contracts.dataset_diff import DiffSummary, LabelChange, SampleChange
from services.contracts.datasets import DatasetVersionView


def print_version(version: DatasetVersionView, *, json_output: bool) -> None:
    """Print a version: what it is, how it is split, and what became of its samples since."""
    if json_output:
        print_json(version)
        return
    content, standing = version.content, version.standing
    gone_on = ", ".join(f"{count} {name}" for name, count in standing.model_dump().items() if count)
    print_facts(
        [
            ("version", f"{version.name} of {content.project}"),
            ("made", f"{version.created_at.isoformat(timespec='seconds')} by {version.created_by}"),
            ("samples", content.samples),
            ("labels", content.labels),
            ("Merkle root", content.merkle_root),
            ("manifest", version.manifest_sha256),
            ("since then", gone_on or "every record is the newest word on its sample"),
            *([("note", content.note)] if content.note else []),
        ]
    )
    print_table(
        ("split", "samples", "groups", "labels"),
        [(one.name, one.samples, one.groups, one.labels) for one in content.splits],
    )


def print_change(change: SampleChange) -> None:
    """Print a sample that differs, with its labels."""
    signs = {"added": "+", "removed": "-", "changed": "~"}
    more = f" ({', '.join(change.other_fields)} differ)" if change.other_fields else ""
    output().print(plain(f"{signs[change.change]} {change.sample_id}{more}"))
    for label in change.labels:
        output().print(
            plain(f"    {signs[label.change]} {label.type} {label.annotation_id} {label.label}{_fields(label)}")
        )


def _fields(label: LabelChange) -> str:
    told = [f"{field.field} {_short(field.before)} → {_short(field.after)}" for field in label.fields]
    return f": {'; '.join(told)}" if told else ""


def _short(value: Any) -> str:
    text = "(none)" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def print_summary(counted: DiffSummary) -> None:
    """Print a diff, counted."""
    output().print(
        plain(
            f"samples +{counted.samples_added} -{counted.samples_removed} ~{counted.samples_changed}, "
            f"labels +{counted.labels_added} -{counted.labels_removed} ~{counted.labels_changed}"
        )
    )
    print_table(
        ("class", "kind", "added", "removed", "changed", "moved", "other class", "attributes"),
        [
            (one.label, one.type, one.added, one.removed, one.changed, one.geometry, one.classes, one.attributes)
            for one in counted.by_class
        ],
    )

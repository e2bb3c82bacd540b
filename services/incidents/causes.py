"""Whether a finding's cause can be shared by samples, with whom, and what it estimates. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.contracts.annotations import Annotation
from services.contracts.base import Scalar
from services.contracts.canonical import content_sha256
from services.contracts.findings import Cause, Finding
from services.contracts.incidents import MemberValue
from services.contracts.label_base import Author
from services.contracts.manifest import SampleManifest
from services.review.authorship import concerned_ids
from services.rules.incidents import IncidentRules, SharedCause

_UNKNOWN_MAKER = "maker:unknown"
_LONGEST_SOURCE = 500


@dataclass(frozen=True, slots=True)
class SharedFinding:
    """A finding whose cause other samples may have too.

    Attributes:
        finding: The finding.
        rule: How causes of its kind are shared.
        key: Hash of what samples of one incident have in common without doubt: check, kind, whose fault it is, and
            the members of the estimate that must be equal. What is compared within uncertainty is no part of it.
        sources: Whose fault it is, for people.
        values: The sample's own estimate, in the order of the rule.
        same: The members of the estimate that must be equal.
    """

    finding: Finding
    rule: SharedCause
    key: str
    sources: tuple[str, ...]
    values: tuple[MemberValue, ...]
    same: dict[str, Scalar]


def shared_finding(
    finding: Finding,
    manifest: SampleManifest,
    annotations: Sequence[Annotation],
    rules: IncidentRules,
    *,
    default_author: Author | None = None,
) -> SharedFinding | None:
    """Return the finding as one that samples may share, None where its cause is the sample's own.

    Args:
        finding: A finding of the sample.
        manifest: The sample; it says which sensors its streams come from.
        annotations: Its labels, which say who made them.
        rules: Which causes can be shared.
        default_author: Who made labels that name no author.
    """
    cause = finding.cause
    rule = rules.shared(finding.check, cause.kind) if cause is not None else None
    if not rules.enabled or cause is None or rule is None:
        return None
    same = {name: cause.estimate[name] for name in rule.same if name in cause.estimate}
    sources = tuple(
        source for by in rule.by for source in _sources(by, finding, cause, manifest, annotations, default_author)
    )
    key = content_sha256({"check": finding.check, "kind": cause.kind, "sources": sources, "same": same})
    return SharedFinding(finding, rule, key, sources, _values(cause, rule), same)


def sensor_of(manifest: SampleManifest, stream_id: str) -> str:
    """Return the sensor behind a stream; the stream itself where the manifest names none."""
    return next((stream.sensor for stream in manifest.streams if stream.id == stream_id and stream.sensor), stream_id)


def _sources(
    by: str,
    finding: Finding,
    cause: Cause,
    manifest: SampleManifest,
    annotations: Sequence[Annotation],
    default_author: Author | None,
) -> Iterable[str]:
    if by == "sensor":
        return sorted({f"sensor:{sensor_of(manifest, stream)}" for stream in finding.streams})
    if by == "group":
        return (f"group:{cause.group}",)
    return (_maker(finding, annotations, default_author)[:_LONGEST_SOURCE],)


def _maker(finding: Finding, annotations: Sequence[Annotation], default_author: Author | None) -> str:
    """Return who made most of the labels concerned: a team, a person without one, a model or an importer."""
    named = frozenset(concerned_ids(finding, annotations))
    authors = [label.author or default_author for label in annotations if label.id in named]
    made = Counter(_name(author) for author in authors if author is not None)
    return min(made, key=lambda name: (-made[name], name)) if made else _UNKNOWN_MAKER


def _name(author: Author) -> str:
    if author.team is not None:
        return f"team:{author.team}"
    version = f"@{author.version}" if author.version is not None else ""
    return f"{author.kind}:{author.id}{version}"


def _values(cause: Cause, rule: SharedCause) -> tuple[MemberValue, ...]:
    values = []
    for wanted in rule.values:
        number = _number(cause.estimate.get(wanted.name))
        if number is not None:
            std = _number(cause.estimate.get(wanted.uncertainty)) if wanted.uncertainty is not None else None
            values.append(MemberValue(name=wanted.name, value=number, std=None if std is None else abs(std)))
    return tuple(values)


def _number(value: Scalar | None) -> float | None:
    return None if value is None or isinstance(value, bool | str) else float(value)

"""``taxonomy_conformance``: are the labels' classes and attributes those of the project's taxonomy?

Each label is judged by itself, the version first. A label of another version is translated by the crosswalks:
``crosswalk_available`` where one class comes out, ``crosswalk_ambiguous`` where a split leaves several, and
``unknown_version`` where no crosswalk leads here. A label of this version, or of none, is looked up: ``unknown_class``,
``not_canonical`` (a synonym or another spelling of a known class), ``deprecated_class``; then the class is held to its
``wrong_modality``, ``wrong_label_kind``, ``missing_attribute``, ``wrong_attribute`` and ``unknown_attribute``.

Where the rule set asks for it, an unknown class that no spelling explains is looked up by its meaning; the answer is a
question to people and changes nothing.

Where one class is certain the finding carries the corrected label; the correction is judged again before it is
proposed. The same fault in many labels is one finding with the cause ``systematic_label``, and the single ones are
folded under it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from rapidfuzz.distance import OSA

from services.alignment.attribute_values import among, converted, of_type
from services.alignment.meaning import Meanings, Meant
from services.alignment.sample import CheckOutcome, CheckSample
from services.contracts.annotations import Annotation
from services.contracts.base import Scalar
from services.contracts.findings import (
    Cause,
    Finding,
    LabelPatch,
    Measured,
    NotApplicable,
    Severity,
    Suggestion,
    finding_id,
)
from services.contracts.manifest import Modality
from services.ports.text_encoder import TextEncoder
from services.rules.rule_set import RuleSet
from services.rules.taxonomy_conformance import TaxonomyConformanceKind, TaxonomyConformanceRules
from services.taxonomy.crosswalk import Crosswalks, Translation
from services.taxonomy.lookup import TaxonomyIndex
from services.taxonomy.taxonomy import AttributeRule, Taxonomy
from services.taxonomy.words import folded

CHECK = "taxonomy_conformance"
_SEVERITIES: dict[TaxonomyConformanceKind, Severity] = {
    "unknown_class": "major", "not_canonical": "minor", "deprecated_class": "major", "wrong_modality": "major",
    "wrong_label_kind": "major", "missing_attribute": "major", "wrong_attribute": "major",
    "unknown_attribute": "minor", "crosswalk_available": "major", "crosswalk_ambiguous": "major",
    "unknown_version": "major",
}  # fmt: skip
_CLEARLY = 0.08
_MAX_PATCH = 10_000


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one label.

    Attributes:
        kind: The finding's kind.
        about: What labels with the same fault share: class, version, attribute.
        sentence: About one label, with its class.
        fixed: The corrected label, where it is certain.
        similarity: Of the spelling, where the correction rests on it.
        meant: The class that an unknown one may mean: a question to people, never a correction.
    """

    kind: TaxonomyConformanceKind
    about: tuple[str, ...]
    sentence: str
    fixed: Annotation | None = None
    similarity: float | None = None
    meant: Meant | None = None


def check_taxonomy_conformance(sample: CheckSample, rules: RuleSet) -> CheckOutcome:
    """Return every label that does not conform to the taxonomy of the rule set's section ``taxonomy_conformance``."""
    section = rules.taxonomy_conformance
    if section is None or section.taxonomy is None:
        return CheckOutcome(not_applicable=(NotApplicable(check=CHECK, reason="the rule set names no taxonomy"),))
    judged = [item for item in sample.annotations if _is_judged(item, section)]
    if not judged:
        reason = "the sample has no label whose class belongs to the taxonomy"
        return CheckOutcome(not_applicable=(NotApplicable(check=CHECK, reason=reason),))
    modalities = {stream.id: stream.modality for stream in sample.manifest.streams}
    encoder = sample.text_encoder if section.meaning is not None else None
    judge = Judge(section, section.taxonomy, encoder)
    missing: tuple[NotApplicable, ...] = ()
    if section.meaning is not None and encoder is None:
        why = sample.unavailable.get("text_encoder", "no semantic model was given")
        missing = (NotApplicable(check=CHECK, reason=f"unknown classes were not looked up by their meaning: {why}"),)
    groups: dict[tuple[str, ...], list[tuple[Annotation, Fault]]] = {}
    for label in sorted(judged, key=lambda item: item.id):
        for fault in judge.faults(label, modalities.get(label.stream)):
            author = label.author.id if label.author is not None else ""
            groups.setdefault((fault.kind, *fault.about, author), []).append((label, fault))
    findings: list[Finding] = []
    folded_findings: list[Finding] = []
    for key in sorted(groups):
        members = [_finding(rules, section, label, fault) for label, fault in groups[key]]
        if len(members) < section.cause_min_labels:
            findings.extend(members)
        else:
            findings.append(_cause(rules, key, groups[key], members))
            folded_findings.extend(members)
    return CheckOutcome(tuple(findings), tuple(folded_findings), missing)


def _is_judged(label: Annotation, section: TaxonomyConformanceRules) -> bool:
    return (
        label.type not in section.exempt_label_kinds
        and label.label.casefold() not in {name.casefold() for name in section.exempt_labels}
        and not getattr(label, "ignore", False)
    )


class Judge:
    """Judges single labels; prepared once for many.

    Args:
        section: The rules.
        taxonomy: The taxonomy they name.
        encoder: Tells what an unknown class may mean; None to leave that open.
    """

    def __init__(
        self, section: TaxonomyConformanceRules, taxonomy: Taxonomy, encoder: TextEncoder | None = None
    ) -> None:
        self._encoder = encoder
        self._section = section
        self._index = TaxonomyIndex(taxonomy)
        self._here = taxonomy.reference
        self._walks = Crosswalks((*section.crosswalks, *(taxonomy.steps or ())))
        self._spellings = {folded(name): item.id for item in taxonomy.classes for name in (*item.synonyms, item.id)}
        self._resolved: dict[str, tuple[str | None, float | None]] = {}
        self._meant_by_name: dict[str, Meant | None] = {}

    def faults(self, label: Annotation, modality: Modality | None) -> list[Fault]:
        """Return the faults of one label; ``modality`` is None where its stream does not exist."""
        version = label.taxonomy_version
        if version is not None and version != self._here:
            return [self._of_other_version(label, version, modality)]
        if version is None and self._section.require_version:
            return [Fault("unknown_version", (label.label, "none"), "names no taxonomy version")]
        item = self._index.get(label.label)
        if item is None:
            return [self._unknown(label, modality)]
        faults = list(self._of_class(label, modality))
        if item.deprecated:
            current = self._index.current(item.id)
            instead = f"; use {current!r}" if current != item.id else " and nothing replaces it"
            fixed = self._proved(label, current, modality) if current != item.id else None
            faults.insert(
                0, Fault("deprecated_class", (item.id,), f"has the deprecated class {item.id!r}{instead}", fixed)
            )
        return faults

    def _of_other_version(self, label: Annotation, version: str, modality: Modality | None) -> Fault:
        found = self._translate(label, version, modality)
        about = (label.label, version)
        if not found.known:
            sentence = f"is {label.label!r} of {version}, from which no crosswalk leads to {self._here}"
            return Fault("unknown_version", about, sentence)
        if found.exact is not None:
            sentence = f"is {label.label!r} of {version}, which is {found.exact!r} in {self._here}"
            return Fault("crosswalk_available", about, sentence, self._proved(label, found.exact, modality))
        if not found.candidates:
            return Fault("deprecated_class", about, f"is {label.label!r} of {version}, which {self._here} dropped")
        shown = ", ".join(repr(name) for name in found.candidates[:8])
        return Fault(
            "crosswalk_ambiguous", about, f"is {label.label!r} of {version}, which {self._here} splits: {shown}"
        )

    def _translate(self, label: Annotation, version: str, modality: Modality | None) -> Translation:
        found = self._walks.translate(
            label.label, version, self._here, label.attributes, modality=modality, label_kind=label.type
        )
        if found.known and all(self._index.get(name) is not None for name in found.candidates):
            return found
        own = self._index.crosswalk(label.label, version)
        return Translation((own,)) if own is not None else Translation((), known=False)

    def _unknown(self, label: Annotation, modality: Modality | None) -> Fault:
        if label.label not in self._resolved:
            self._resolved[label.label] = self._resolve(label.label)
        name, similarity = self._resolved[label.label]
        if name is None or similarity is not None:
            earlier = self._of_an_earlier_version(label, modality)
            if earlier is not None:
                version, current = earlier
                sentence = f"has the class {label.label!r}, which {self._here} lacks; in {version} it was {current!r}"
                return Fault("unknown_class", (label.label,), sentence, self._proved(label, current, modality))
        if name is None:
            sentence = f"has the class {label.label!r}, which {self._here} lacks"
            return Fault("unknown_class", (label.label,), sentence, meant=self._meant(label.label))
        fixed = self._proved(label, name, modality)
        if similarity is None:
            sentence = f"calls {name!r} {label.label!r}, which is not its name in {self._here}"
            return Fault("not_canonical", (label.label,), sentence, fixed)
        sentence = f"has the class {label.label!r}, which {self._here} lacks; {name!r} is spelt nearly so"
        return Fault("unknown_class", (label.label,), sentence, fixed, similarity)

    def _of_an_earlier_version(self, label: Annotation, modality: Modality | None) -> tuple[str, str] | None:
        """Return (version, class today) where a label without a version carries a name that only changes know."""
        found: dict[str, str] = {}
        for version in self._walks.sources():
            moved = self._walks.translate(
                label.label, version, self._here, label.attributes, modality=modality, label_kind=label.type
            )
            if moved.exact is not None and moved.kinds and self._index.get(moved.exact) is not None:
                found.setdefault(moved.exact, version)
        for walk in self._index.taxonomy.crosswalks:
            if label.label in walk.classes:
                found.setdefault(walk.classes[label.label], walk.source)
        return next(((version, current) for current, version in found.items()), None) if len(found) == 1 else None

    def _resolve(self, name: str) -> tuple[str | None, float | None]:
        known = self._index.normalise(name)
        if known is not None:
            return self._index.current(known), None
        wanted = folded(name)
        best: dict[str, float] = {}
        for spelling, class_id in self._spellings.items():
            similarity = OSA.normalized_similarity(wanted, spelling)
            best[class_id] = max(similarity, best.get(class_id, 0.0))
        ranked = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))
        (first, similarity), second = ranked[0], ranked[1][1] if len(ranked) > 1 else 0.0
        if similarity >= self._section.min_spelling_similarity and similarity - second >= _CLEARLY:
            return self._index.current(first), similarity
        return None, None

    @cached_property
    def _meanings(self) -> Meanings | None:
        if self._encoder is None or self._section.meaning is None:
            return None
        return Meanings(self._index, self._encoder, self._section.meaning)

    def _meant(self, name: str) -> Meant | None:
        if name not in self._meant_by_name:
            meant = self._meanings.nearest([name])[0] if self._meanings is not None else None
            self._meant_by_name[name] = meant if meant is not None and meant.clear else None
        return self._meant_by_name[name]

    def _proved(self, label: Annotation, class_id: str, modality: Modality | None) -> Annotation | None:
        """Return the label with another class, if that has no fault of its own that the label did not have."""
        fixed = label.model_copy(update={"label": class_id, "taxonomy_version": self._here})
        item = self._index.get(class_id)
        if item is None or item.deprecated or any(self._place_faults(fixed, modality)):
            return None
        return fixed

    def _of_class(self, label: Annotation, modality: Modality | None) -> Iterator[Fault]:
        yield from self._place_faults(label, modality)
        rules = self._index.attributes_of(label.label)
        for name in sorted(rules):
            rule = rules[name]
            if rule.label_kinds and label.type not in rule.label_kinds:
                continue
            if name not in label.attributes:
                if rule.required:
                    sentence = f"({label.label!r}) lacks the attribute {name!r}, which its class requires"
                    yield Fault("missing_attribute", (label.label, name), sentence)
                continue
            yield from self._value_faults(label, rule, label.attributes[name])
        if self._section.report_unknown_attributes:
            for name in sorted(set(label.attributes) - set(rules)):
                sentence = f"({label.label!r}) has the attribute {name!r}, which {self._here} does not name"
                yield Fault("unknown_attribute", (label.label, name), sentence)

    def _place_faults(self, label: Annotation, modality: Modality | None) -> Iterator[Fault]:
        modalities = self._index.modalities_of(label.label)
        if modality is not None and modalities and modality not in modalities:
            allowed = " or ".join(sorted(modalities))
            sentence = f"({label.label!r}) stands on a stream of {modality}; its class is for {allowed}"
            yield Fault("wrong_modality", (label.label, modality), sentence)
        kinds = self._index.label_kinds_of(label.label)
        if kinds and label.type not in kinds:
            sentence = f"({label.label!r}) is a {label.type}; its class is drawn as {' or '.join(sorted(kinds))}"
            yield Fault("wrong_label_kind", (label.label, label.type), sentence)

    def _value_faults(self, label: Annotation, rule: AttributeRule, value: Scalar) -> Iterator[Fault]:
        shown = f"({label.label!r}) has {rule.name} = {str(value)[:60]!r}"
        about = (label.label, rule.name, type(value).__name__, str(value)[:100])
        meant = converted(rule, value)
        if not of_type(rule, value):
            fixed = self._with_attribute(label, rule, meant)
            yield Fault("wrong_attribute", about, f"{shown}, which is no {rule.type}", fixed)
        elif rule.values and not among(value, rule.values):
            allowed = ", ".join(str(item) for item in rule.values[:12])
            fixed = self._with_attribute(label, rule, meant)
            yield Fault("wrong_attribute", about, f"{shown}; allowed is {allowed}", fixed)

    @staticmethod
    def _with_attribute(label: Annotation, rule: AttributeRule, value: Scalar | None) -> Annotation | None:
        if value is None or not of_type(rule, value) or (rule.values and not among(value, rule.values)):
            return None
        return label.model_copy(update={"attributes": {**label.attributes, rule.name: value}})


def _severity(section: TaxonomyConformanceRules, kind: TaxonomyConformanceKind) -> Severity:
    return section.severities.get(kind, _SEVERITIES[kind])


def _finding(rules: RuleSet, section: TaxonomyConformanceRules, label: Annotation, fault: Fault) -> Finding:
    # What the label says belongs to the place, so that another wrong class is another finding.
    place = "/".join(fault.about)
    suggestion = None
    if fault.fixed is not None:
        summary = _change(label, fault.fixed)
        suggestion = Suggestion(summary=summary, patch=LabelPatch(upsert=(fault.fixed,)))
    elif fault.meant is not None:
        suggestion = _question(fault.meant)
    measured = None
    if fault.similarity is not None:
        measured = Measured(value=fault.similarity, unit="similarity", threshold=section.min_spelling_similarity)
    return Finding(
        finding_id=finding_id(CHECK, fault.kind, rules.id, annotations=(label.id,), place=place),
        check=CHECK,
        kind=fault.kind,
        severity=_severity(section, fault.kind),
        message=f"The label {label.id} {fault.sentence}."[:2_000],
        measured=measured,
        streams=(label.stream,),
        annotations=(label.id,),
        frames=(label.frame,) if label.frame is not None else (),
        rule=rules.reference,
        suggestion=suggestion,
    )


def _question(meant: Meant) -> Suggestion:
    """Return a suggestion that changes nothing: a meaning that is near is no proof."""
    return Suggestion(summary=f"Did you mean {meant.class_id[:200]!r}? Its meaning is near ({meant.similarity:.2f}).")


def _change(before: Annotation, after: Annotation) -> str:
    if before.label != after.label:
        return f"Change the class from {before.label[:200]!r} to {after.label[:200]!r}."
    for name, value in after.attributes.items():
        if name not in before.attributes or before.attributes[name] is not value:
            return f"Set {name[:200]} to {value!r}."[:2_000]
    return f"Set the taxonomy version to {after.taxonomy_version}."


def _cause(
    rules: RuleSet, key: tuple[str, ...], group: Sequence[tuple[Annotation, Fault]], members: Sequence[Finding]
) -> Finding:
    first_label, first = group[0]
    author = key[-1]
    fixed = [fault.fixed for _, fault in group if fault.fixed is not None]
    suggestion = _question(first.meant) if first.meant is not None else None
    if len(fixed) == len(group) and len(fixed) <= _MAX_PATCH:
        summary = f"{_change(first_label, fixed[0])} In all {len(fixed)} labels."
        suggestion = Suggestion(summary=summary[:2_000], patch=LabelPatch(upsert=tuple(fixed)))
    who = f" by {author}" if author else ""
    identity = finding_id(CHECK, first.kind, rules.id, place="/".join(("all", *key[1:])))
    estimate: dict[str, Scalar] = {"labels": len(members), "about": " / ".join(first.about)[:2_000]}
    return Finding(
        finding_id=identity,
        check=CHECK,
        kind=first.kind,
        severity=members[0].severity,
        message=f"{len(members)} labels{who} have one fault: each {first.sentence}."[:2_000],
        measured=Measured(value=float(len(members)), unit="labels"),
        streams=tuple(sorted({stream for item in members for stream in item.streams})),
        annotations=tuple(name for item in members for name in item.annotations),
        frames=tuple(sorted({frame for item in members for frame in item.frames})),
        cause=Cause(kind="systematic_label", group=identity, estimate=estimate),
        rule=rules.reference,
        suggestion=suggestion,
        explains=tuple(item.finding_id for item in members),
    )

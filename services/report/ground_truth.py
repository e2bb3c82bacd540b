"""Unvalidated ground truth: samples whose labels nobody, or nobody else, stands behind.

What is asked is the rule set's (section ``report``, ``validation``). A sample fails once, whatever it lacks; its
reasons are counted one by one. In files a second look shows as one thing labelled by two people, or as a consensus
label; in a store also as a decision by somebody who did not make the labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from services.alignment.drift_units import gather
from services.contracts.annotations import Annotation
from services.contracts.dataset_report import ReportEntry
from services.contracts.findings import Finding
from services.contracts.review import JUDGING_KINDS, Verdict
from services.report.sample import ReportSample
from services.report.tally import Tally, gravest_first
from services.rules.definition_drift import DefinitionDriftRules
from services.rules.report import ReportRules, Validation
from services.rules.rule_set import RuleSet

_PEOPLE = frozenset({"human", "consensus"})
_CONFIRMS = frozenset({Verdict.APPROVE, Verdict.FIX, Verdict.ACCEPT_CONFLICT})
_NOBODY = "nobody who is named"
_REASONS: dict[Validation, str] = {
    "human_author": "no_human_author",
    "second_look": "no_second_look",
    "no_open_conflict": "open_conflict",
    "lineage": "no_lineage",
    "gold": "no_gold",
}


class GroundTruthUse:
    """Judges the labels of each sample, and whether the dataset has gold labels.

    Args:
        rules: The section ``report``, and which findings block.
        tally: Of the issue.
    """

    def __init__(self, rules: RuleSet, tally: Tally) -> None:
        self._rules = rules
        self._section = rules.report or ReportRules()
        self._drift = rules.definition_drift or DefinitionDriftRules()
        self._tally = tally
        self._samples = 0
        self._gold = 0

    def add(self, item: ReportSample) -> None:
        """Judge one sample."""
        if not item.sample.annotations:
            self._tally.not_judged("the sample has no labels")
            return
        self._samples += 1
        authors = _authors(item)
        self._gold += any(
            label.attributes.get(self._section.gold_attribute) is True or authors[label.id][0] == "consensus"
            for label in item.sample.annotations
        )
        open_findings = self._open(item)
        faults = {
            fault: sentence
            for fault, sentence in (
                ("human_author", _no_human(authors)),
                ("second_look", self._no_second_look(item, authors)),
                ("no_open_conflict", _open_sentence(open_findings)),
                ("lineage", _no_lineage(item)),
            )
            if sentence is not None and fault in self._section.validation
        }
        if not set(self._section.validation) - {"gold"}:
            self._tally.not_judged("the rule set asks for nothing of a sample (report.validation)")
            return
        manifest = item.sample.manifest
        told = open_findings if "no_open_conflict" in faults else []
        entry = ReportEntry(
            project=manifest.project,
            sample_id=manifest.sample_id,
            place=f"{len(authors)} label{'' if len(authors) == 1 else 's'}",
            sentence=" ".join(faults.values())[:2_000],
            reasons=tuple(_REASONS[fault] for fault in self._section.validation if fault in faults) or ("none",),
            severity=told[0].severity if told else None,
            finding_ids=tuple(finding.finding_id for finding in told),
        )
        self._tally.add_sample(1, [entry] if faults else [])

    def count(self) -> None:
        """Judge the dataset."""
        if not self._samples or "gold" not in self._section.validation:
            return
        entry = ReportEntry(
            place="the dataset",
            sentence=f"No sample of {self._samples} with labels has a consensus label or one whose attribute "
            f"{self._section.gold_attribute!r} is true, so nothing shows how good the others are.",
            reasons=(_REASONS["gold"],),
        )
        self._tally.add(1, [] if self._gold else [entry])

    def _open(self, item: ReportSample) -> list[Finding]:
        if item.evidence is not None:
            return gravest_first(item.evidence.open_findings)
        return gravest_first([one for one in item.report.findings if self._rules.blocks(one)])

    def _no_second_look(self, item: ReportSample, authors: dict[str, tuple[str, str]]) -> str | None:
        people = {who for kind, who in authors.values() if kind == "human"}
        if item.evidence is not None and any(
            decision.task_kind in JUDGING_KINDS and decision.verdict in _CONFIRMS and decision.actor_id not in people
            for decision in item.evidence.decisions
        ):
            return None
        alone = {name for name, (kind, _) in authors.items() if kind != "consensus"}
        if len(people) > 1:
            alone -= self._labelled_twice(item, authors)
        if not alone:
            return None
        if not people:
            return f"{len(alone)} of {len(authors)} labels show no second look."
        by = Counter(_shown(*authors[name]) for name in alone)
        return f"{len(alone)} of {len(authors)} labels were seen by one alone ({_listed(by)})."

    def _labelled_twice(self, item: ReportSample, authors: dict[str, tuple[str, str]]) -> set[str]:
        """Return the labels of things that two people labelled; kinds that can not be matched count by their stream."""
        section = self._drift.model_copy(
            update={"group_by": "author", "exempt_author_kinds": ("model", "tool", "importer", "consensus")}
        )
        prefix = f"{item.sample.manifest.sample_id}/"
        units = gather([item.sample], section).units
        found = {one.name.removeprefix(prefix) for unit in units for one in unit.items.values()}
        people: dict[tuple[str, str, int | None], set[str]] = {}
        others = [label for label in item.sample.annotations if label.type in _UNMATCHED]
        for label in others:
            if authors[label.id][0] == "human":
                people.setdefault(_spot(label), set()).add(authors[label.id][1])
        return found | {label.id for label in others if len(people.get(_spot(label), ())) > 1}


_UNMATCHED = frozenset(
    {"cuboid", "spatial_track", "mask", "keypoints", "point_segmentation", "rotated_box", "lane_marking",
     "spatial_label", "metadata_field", "relation", "summary"}
)  # fmt: skip
"""Label kinds whose things can not be matched between two people."""


def _spot(label: Annotation) -> tuple[str, str, int | None]:
    return label.stream, label.type, label.frame


def _authors(item: ReportSample) -> dict[str, tuple[str, str]]:
    """Return (kind, id) of whoever made each label; ("", "") where nobody is named."""
    known = item.evidence.authors if item.evidence is not None else {}
    found: dict[str, tuple[str, str]] = {}
    for label in item.sample.annotations:
        author = label.author or known.get(label.id)
        found[label.id] = (author.kind, author.id) if author is not None else ("", "")
    return found


def _shown(kind: str, who: str) -> str:
    return f"{kind} {who}" if who else _NOBODY


def _listed(by: Counter[str]) -> str:
    ordered = sorted(by.items(), key=lambda one: (-one[1], one[0]))
    more = f" and {len(ordered) - 5} more" if len(ordered) > 5 else ""
    return ", ".join(f"{count} by {who}" for who, count in ordered[:5]) + more


def _no_human(authors: dict[str, tuple[str, str]]) -> str | None:
    others = Counter(_shown(kind, who) for kind, who in authors.values() if kind not in _PEOPLE)
    if not others:
        return None
    return f"{sum(others.values())} of {len(authors)} labels have no human author ({_listed(others)})."


def _open_sentence(findings: list[Finding]) -> str | None:
    if not findings:
        return None
    what = "finding that blocks is" if len(findings) == 1 else "findings that block are"
    return f"{len(findings)} {what} open; the gravest: {findings[0].message[:800]}"


def _no_lineage(item: ReportSample) -> str | None:
    hashed = item.evidence.hashed_streams if item.evidence is not None else frozenset()
    labelled = {label.stream for label in item.sample.annotations}
    lacking = sorted(_without_hash(item, labelled, hashed))
    if not lacking:
        return None
    shown = ", ".join(lacking[:5]) + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
    return f"Nothing says which data was labelled on {shown} (no inline content, no sha256)."


def _without_hash(item: ReportSample, labelled: set[str], hashed: frozenset[str]) -> Iterator[str]:
    return (
        stream.id
        for stream in item.sample.manifest.streams
        if stream.id in labelled and stream.inline is None and stream.sha256 is None and stream.id not in hashed
    )

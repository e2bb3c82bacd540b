"""The card of a version, counted record by record while the version is made."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from services.contracts.agreement import AgreementReport
from services.contracts.dataset_card import Conflicts, Coverage, DatasetCard, ReviewCounts
from services.contracts.dataset_report import DatasetReport
from services.contracts.datasets import ClassCount
from services.datasets.selection import Candidate

NONE, OTHERS = "(none)", "(others)"
_MOST_VALUES = 100
_MOST_CLASSES = 5_000
_LABELLING = ("annotate", "rework")
_NOT_LABELLED = ("reviewer", "adjudicator", "migration")
"""Origins of labels whose author did not label the sample; what was carried over keeps the author that it had."""
_OPEN = frozenset({"open", "noted"})
_ACCEPTED = frozenset({"accepted", "dismissed"})


class CardBuilder:
    """Counts what the records of a version say; what is kept grows with classes and people, not with samples."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._annotators: set[str] = set()
        self._reviewers: set[str] = set()
        self._classes: Counter[tuple[str, str]] = Counter()
        self._class_samples: Counter[tuple[str, str]] = Counter()
        self._captured: tuple[datetime, datetime] | None = None
        self._reviewed = 0
        self._open = 0
        self._accepted = 0

    def add(self, candidate: Candidate) -> None:
        """Count one record."""
        self._count_body(candidate)
        self._count_lineage(candidate)

    def classes(self) -> tuple[ClassCount, ...]:
        """Return how often each class is there: the most frequent ones if there are very many, by kind and class."""
        most = self._classes.most_common(_MOST_CLASSES)
        return tuple(
            ClassCount(type=key[0], label=key[1], labels=count, samples=self._class_samples[key])
            for key, count in sorted(most)
        )

    def card(
        self, *, samples_read: int, agreement: AgreementReport | None, report: DatasetReport | None
    ) -> DatasetCard:
        """Return the card.

        Args:
            samples_read: How many members agreement and report are of.
            agreement: How far people agree on them.
            report: How they do on the nine failures.
        """
        first, last = self._captured or (None, None)
        return DatasetCard(
            coverage=Coverage(
                modalities=self._of("modality"),
                risks=self._of("risk"),
                regions=self._of("region"),
                products=self._of("product"),
                kinds=self._of("kind"),
                captured_from=first,
                captured_to=last,
            ),
            review=ReviewCounts(
                annotators=len(self._annotators),
                reviewers=len(self._reviewers),
                decisions=self._of("decision"),
                reviewed_samples=self._reviewed,
            ),
            conflicts=Conflicts(
                findings=self._of("finding"),
                open_conflicts=self._open,
                accepted_conflicts=self._accepted,
                by_check=self._of("conflict"),
            ),
            rule_sets=self._of("rules"),
            taxonomies=self._of("taxonomy"),
            samples_read=samples_read,
            agreement=agreement,
            report=report,
        )

    def _count_body(self, candidate: Candidate) -> None:
        body = candidate.body
        context = body["context"]
        for modality in {stream["modality"] for stream in body["streams"]}:
            self._add("modality", modality)
        self._add("risk", context["risk"])
        self._add("region", context.get("region", NONE))
        self._add("product", context.get("product", NONE))
        own = Counter((label["type"], label["label"]) for label in candidate.annotations)
        self._classes.update(own)
        self._class_samples.update(own.keys())
        for label in candidate.annotations:
            self._add("kind", label["type"])
            author = label.get("author")
            if author is not None and author["kind"] == "human":
                self._annotators.add(author["id"])
        if "captured_at" in body:
            at = datetime.fromisoformat(body["captured_at"])
            first, last = self._captured or (at, at)
            self._captured = (min(first, at), max(last, at))

    def _count_lineage(self, candidate: Candidate) -> None:
        reviewed = False
        rules = None
        for lineage in candidate.lineages:
            for labels in lineage["label_sets"]:
                if labels["author"]["kind"] == "human" and labels["origin"] not in _NOT_LABELLED:
                    self._annotators.add(labels["author"]["id"])
            for decision in lineage["decisions"]:
                self._add("decision", f"{decision['task_kind']}:{decision['verdict']}")
                if decision["task_kind"] not in _LABELLING:
                    self._reviewers.add(decision["actor"])
                    reviewed = True
            rules = lineage["rule_set"] or rules
        self._reviewed += reviewed
        for finding in candidate.findings:
            state = finding["state"]
            self._add("finding", state)
            self._open += state in _OPEN
            self._accepted += state in _ACCEPTED
            if state in _OPEN | _ACCEPTED:
                self._add("conflict", f"{finding['check']}/{finding['kind']}")
        self._add("rules", NONE if rules is None else f"{rules['id']}@{rules['version']}")
        for taxonomy in candidate.lineage["taxonomy_versions"]:
            self._add("taxonomy", taxonomy)

    def _add(self, what: str, value: str) -> None:
        self._counts.setdefault(what, Counter())[value] += 1

    def _of(self, what: str) -> dict[str, int]:
        counts = self._counts.get(what, Counter())
        # By count and then by name, so that the order does not depend on which record came first.
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        told = dict(sorted(ranked[:_MOST_VALUES]))
        rest = sum(count for _, count in ranked[_MOST_VALUES:])
        return told | ({OTHERS: rest} if rest else {})

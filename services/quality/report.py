"""Accuracy per person, check and class, with its interval. Pure functions.

Intervals are Wilson's, 95 % (E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
1927): they hold for few verdicts and for shares near 0 and 1, where the normal approximation does not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from services.agreement.intervals import wilson_interval
from services.contracts.base import ProjectId
from services.contracts.quality import Accuracy, QualityReport, WrongLabel, WrongVerdict
from services.quality.labelling import LABELS, ScoredLabel
from services.quality.scoring import Scored

MIN_JUDGED = 10
_Cell = tuple[str, str | None, str | None]


class QualityBuilder:
    """Counts verdicts, sample by sample.

    Args:
        project: The project.
        bar: Share below which a person's accuracy is too low; told only where the whole interval is.
        min_judged: Fewer verdicts say nothing about the bar.
        max_listed: Most wrong verdicts, and most wrong labels, to list.
    """

    def __init__(self, project: ProjectId, *, bar: float, max_listed: int, min_judged: int = MIN_JUDGED) -> None:
        self._project = project
        self._bar = bar
        self._min_judged = min_judged
        self._max_listed = max_listed
        self._cells: dict[_Cell, list[bool]] = defaultdict(list)
        self._wrong: list[WrongVerdict] = []
        self._wrong_labels: list[WrongLabel] = []
        self._samples = self._gold = 0

    def add(self, scored: Iterable[Scored], *, gold: bool) -> None:
        """Count the verdicts on one revision; ``gold`` says whether its answer is known."""
        self._samples += 1
        self._gold += gold
        self.add_answers(scored)

    def add_answers(self, scored: Iterable[Scored]) -> None:
        """Count verdicts on a sample that is counted already, or is none of those that are."""
        for one in scored:
            actor = one.decision.actor_id
            self._cells[actor, None, None].append(one.right)
            self._cells[actor, f"{one.finding.check}/{one.finding.kind}", None].append(one.right)
            for name in one.classes:
                self._cells[actor, None, name].append(one.right)
            if not one.right:
                self._wrong.append(
                    WrongVerdict(
                        decision_id=one.decision.decision_id,
                        ref=one.decision.ref,
                        actor_id=actor,
                        verdict=one.verdict,
                        finding_id=one.finding.finding_id,
                        reference=one.reference,
                        expected=one.expected,
                        decided_at=one.decision.decided_at,
                    )
                )

    def add_labels(self, scored: Iterable[ScoredLabel]) -> None:
        """Count labels that somebody made where it is known how they should be."""
        for one in scored:
            actor, decision = one.decision.actor_id, one.decision
            for cell in ((actor, None, None), (actor, f"{LABELS}/{one.kind}", None), (actor, None, one.label)):
                self._cells[cell].append(one.right)
            if one.fault is not None:
                self._wrong_labels.append(
                    WrongLabel(
                        decision_id=decision.decision_id,
                        ref=decision.ref,
                        actor_id=actor,
                        type=one.kind,
                        fault=one.fault,
                        known=one.known,
                        said=one.said,
                        decided_at=decision.decided_at,
                    )
                )

    def finish(self) -> QualityReport:
        """Return the report: people by name, what each is worst at first."""
        wrong = sorted(self._wrong, key=lambda item: (item.decided_at, item.decision_id, item.finding_id), reverse=True)
        labels = sorted(self._wrong_labels, key=lambda item: (item.decided_at, item.decision_id), reverse=True)
        accuracies = [self._accuracy(cell, rights) for cell, rights in self._cells.items()]
        ordered = sorted(accuracies, key=lambda one: (one.actor_id, one.share, one.check or "", one.label or ""))
        return QualityReport(
            project=self._project,
            bar=self._bar,
            samples=self._samples,
            gold_samples=self._gold,
            people=tuple(one for one in ordered if one.check is None and one.label is None),
            by_check=tuple(one for one in ordered if one.check is not None),
            by_label=tuple(one for one in ordered if one.label is not None),
            wrong=tuple(wrong[: self._max_listed]),
            unlisted=max(0, len(wrong) - self._max_listed),
            wrong_labels=tuple(labels[: self._max_listed]),
            unlisted_labels=max(0, len(labels) - self._max_listed),
        )

    def _accuracy(self, cell: _Cell, rights: list[bool]) -> Accuracy:
        actor, check, label = cell
        low, high = wilson_interval(sum(rights), len(rights))
        return Accuracy(
            actor_id=actor,
            check=check,
            label=label,
            judged=len(rights),
            right=sum(rights),
            share=sum(rights) / len(rights),
            low=low,
            high=high,
            below_bar=len(rights) >= self._min_judged and high < self._bar,
        )

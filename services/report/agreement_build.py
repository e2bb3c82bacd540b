"""The report on agreement, made sample by sample; it does not depend on their order."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

from services.contracts.agreement import AgreementMeasure, AgreementReport, Confusion
from services.contracts.consensus import Answer
from services.report.agreement_measures import Entries, Measures, class_sentence, entry_of
from services.report.agreement_units import Gathered, Unit
from services.report.agreement_views import views_of
from services.rules.consensus import ConsensusRules

WINDOW_DAYS = 7


class AgreementBuilder:
    """Gathers answers and says how far they agree.

    Args:
        rules: When labels are of one thing, and how close is close.
        max_listed: Most entries behind each number, the worst; None lists all.
        window_days: Length of a window of time, in which both answers of a pair lie.
    """

    def __init__(
        self, rules: ConsensusRules | None = None, *, max_listed: int | None = None, window_days: int = WINDOW_DAYS
    ) -> None:
        self._rules = rules or ConsensusRules()
        self._max_listed = max_listed
        self._window_days = window_days
        self._kept: list[tuple[str, str, tuple[Answer, ...]]] = []
        self._left_out = 0

    def add(self, project: str, sample_id: str, answers: Sequence[Answer]) -> None:
        """Gather the answers to one sample."""
        if len({answer.annotator for answer in answers}) < 2:
            self._left_out += 1
        else:
            self._kept.append((project, sample_id, tuple(answers)))

    def finish(self, *, left_out: int = 0, unreadable: int = 0, unnamed: int = 0) -> AgreementReport:
        """Return the report.

        Args:
            left_out: Samples that were not looked at.
            unreadable: Samples that could not be read.
            unnamed: Labels that nobody is named for.
        """
        gathered = Gathered()
        for project, sample_id, answers in sorted(self._kept, key=lambda one: one[:2]):
            gathered.add(project, sample_id, answers, self._rules)
        by_kind: dict[str, list[Unit]] = defaultdict(list)
        for unit in gathered.units:
            by_kind[unit.kind].append(unit)
        measures: list[AgreementMeasure] = []
        confusions: list[Confusion] = []
        for kind, units in sorted(by_kind.items()):
            made = Measures(gathered, kind, units, self._rules, self._max_listed)
            for view in views_of(gathered, units, self._window_days):
                measures += made.of(view, seed=zlib.crc32(f"{kind}/{view.view}/{view.name}".encode()))
            confusions += _confusions(gathered, kind, units, self._max_listed)
        return AgreementReport(
            samples=len(gathered.samples),
            people=gathered.people,
            left_out=self._left_out + left_out,
            unnamed=unnamed,
            unreadable=unreadable,
            measures=tuple(measures),
            confusions=tuple(sorted(confusions, key=lambda one: (-one.times, one.kind, one.class_a, one.class_b))),
        )


def _confusions(gathered: Gathered, kind: str, units: Sequence[Unit], max_listed: int | None) -> list[Confusion]:
    entries: dict[tuple[str, str], Entries] = defaultdict(lambda: Entries(max_listed))
    with_class: dict[str, int] = defaultdict(int)
    both: dict[tuple[str, str], int] = defaultdict(int)
    for unit in units:
        for a, b in combinations(unit.judgements, 2):
            for name in {a.label, b.label}:
                with_class[name] += 1
            if a.label != b.label:
                pair = (min(a.label, b.label), max(a.label, b.label))
                both[pair] += 1
                entries[pair].add(0.0, entry_of(gathered, unit, (a, b), class_sentence((a, b))))
    return [
        Confusion(
            kind=kind, class_a=a, class_b=b, times=times, share=times / (with_class[a] + with_class[b] - times),
            entries=entries[a, b].listed(), unlisted=entries[a, b].unlisted,
        )
        for (a, b), times in both.items()
    ]  # fmt: skip

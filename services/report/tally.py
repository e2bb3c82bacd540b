"""How a number and the list behind it grow together, sample by sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from services.contracts.dataset_report import Issue, NotJudged, ReportEntry, Score
from services.contracts.findings import SEVERITY_ORDER, Finding
from services.contracts.manifest import SampleManifest
from services.report.issues import ISSUES

_NOTHING = "the dataset holds nothing of this kind"


class Tally:
    """Counts for one issue. What it ends with does not depend on the order in which it was told.

    Args:
        issue: Which of the nine.
        max_listed: Most entries to keep, the gravest; None keeps all.
    """

    def __init__(self, issue: Issue, max_listed: int | None = None) -> None:
        self._issue = issue
        self._max_listed = max_listed
        self._population = 0
        self._failing = 0
        self._samples_judged = 0
        self._samples_failing = 0
        self._entries: list[ReportEntry] = []
        self._by_reason: Counter[str] = Counter()
        self._not_judged: Counter[tuple[str, str | None]] = Counter()

    def add_sample(self, population: int, entries: Sequence[ReportEntry]) -> None:
        """Count one sample.

        Args:
            population: How many of its things were judged, those that fail included.
            entries: Those that fail.
        """
        self._samples_judged += population > 0
        self._samples_failing += bool(entries)
        self.add(population, entries)

    def add(self, population: int, entries: Sequence[ReportEntry]) -> None:
        """Count things of the dataset as a whole."""
        self._population += population
        self._failing += len(entries)
        for entry in entries:
            self._by_reason.update(entry.reasons)
        self._entries += entries
        if self._max_listed is not None and len(self._entries) > 2 * self._max_listed + 1_000:
            self._cut()

    def not_judged(self, reason: str, check: str | None = None, *, samples: int = 1) -> None:
        """Note why something of a sample, or with ``samples=0`` of the dataset, could not be counted."""
        self._not_judged[reason, check] += samples

    def score(self) -> Score:
        """Return the number with its list."""
        self._cut()
        reasons = [
            NotJudged(reason=reason[:2_000], check=check, samples=samples)
            for (reason, check), samples in sorted(
                self._not_judged.items(), key=lambda item: (-item[1], item[0][1] or "", item[0][0])
            )
        ]
        if not self._population and not reasons:
            reasons = [NotJudged(reason=_NOTHING)]
        definition = ISSUES[self._issue]
        return Score(
            issue=self._issue,
            title=definition.title,
            counted=definition.counted,
            population=self._population,
            failing=self._failing,
            rate=self._failing / self._population if self._population else None,
            samples_judged=self._samples_judged,
            samples_failing=self._samples_failing,
            entries=tuple(self._entries),
            unlisted=self._failing - len(self._entries),
            by_reason=dict(sorted(self._by_reason.items(), key=lambda item: (-item[1], item[0]))),
            not_judged=tuple(reasons),
        )

    def _cut(self) -> None:
        self._entries.sort(key=_order)
        if self._max_listed is not None:
            del self._entries[self._max_listed :]


def _order(entry: ReportEntry) -> tuple[int, str, str, str, str, tuple[str, ...]]:
    gravity = -1 if entry.severity is None else SEVERITY_ORDER[entry.severity]
    return (
        -gravity, entry.project or "", entry.sample_id or "", entry.place, entry.sentence, entry.finding_ids
    )  # fmt: skip


def reason_of(finding: Finding) -> str:
    """Return a finding's reason: its check and kind."""
    return f"{finding.check}/{finding.kind}"


def gravest_first(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings in an order of their own, whatever order they come in."""
    return sorted(findings, key=lambda one: (-SEVERITY_ORDER[one.severity], one.check, one.kind, one.finding_id))


def entry_of(manifest: SampleManifest | None, place: str, findings: Sequence[Finding]) -> ReportEntry:
    """Return the entry of one thing that findings say fails; the gravest finding speaks for it.

    Args:
        manifest: The sample's; None where the dataset is meant.
        place: Where it is.
        findings: At least one.
    """
    ordered = gravest_first(findings)
    first = ordered[0]
    more = len(ordered) - 1
    also = f" (and {more} more finding{'' if more == 1 else 's'} here)" if more else ""
    return ReportEntry(
        project=manifest.project if manifest is not None else None,
        sample_id=manifest.sample_id if manifest is not None else None,
        place=place[:2_000],
        sentence=f"{first.message[:1_900]}{also}",
        reasons=tuple(dict.fromkeys(reason_of(one) for one in ordered)),
        severity=first.severity,
        finding_ids=tuple(one.finding_id for one in ordered),
    )

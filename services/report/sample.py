"""One sample as the report is given it, and which of its checks judged what."""

from __future__ import annotations

from dataclasses import dataclass

from services.alignment.sample import CheckSample
from services.contracts.dataset_report import Issue
from services.contracts.findings import CheckReport, Finding
from services.contracts.label_base import Author
from services.contracts.review import Decision
from services.report.issues import checks_of, issue_of
from services.rules.rule_set import RuleSet

_NOT_ASKED = "the rule set does not ask for this check"
_PARTLY: dict[str, frozenset[Issue]] = {
    "audio_transcript": frozenset({"inconsistent_labels", "inaccurate_timestamps"}),
    "clock": frozenset({"inaccurate_timestamps"}),
    "event_structure": frozenset({"inconsistent_labels", "misaligned_modalities", "inaccurate_timestamps"}),
}
"""Where a check judges a stream in one way though it gives a reason why it could not in another: order without sound,
without the length of the recording, or by few timestamps. The stream counts, and the reason stands beside it."""


@dataclass(frozen=True, slots=True)
class ReviewEvidence:
    """What a store knows of a sample beyond its labels; files do not.

    Attributes:
        authors: Who made each label that names no author of its own, by label id.
        decisions: Everything people decided, oldest first.
        open_findings: Findings that block and are not decided.
        hashed_streams: Streams whose bytes were hashed when they were read.
    """

    authors: dict[str, Author]
    decisions: tuple[Decision, ...] = ()
    open_findings: tuple[Finding, ...] = ()
    hashed_streams: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ReportSample:
    """One sample with what the checks said.

    Attributes:
        sample: Manifest and labels; assets are not looked at.
        report: What the checks found, causes before symptoms: what is folded counts no second time.
        evidence: What a store knows beyond; None for samples in files.
    """

    sample: CheckSample
    report: CheckReport
    evidence: ReviewEvidence | None = None

    def findings_of(self, issue: Issue) -> list[Finding]:
        """Return the findings of one issue."""
        return [one for one in self.report.findings if issue_of(one.check, one.kind) == issue]


@dataclass(frozen=True, slots=True)
class Judged:
    """Which checks judged a sample for one issue.

    Attributes:
        left_out: By each check that judged, the streams it could not judge.
        reasons: (reason, check) of everything that was not judged.
    """

    left_out: dict[str, frozenset[str]]
    reasons: tuple[tuple[str, str], ...]


def judged(item: ReportSample, rules: RuleSet, issue: Issue) -> Judged:
    """Return who judged the sample for an issue.

    A check that gave a reason about the whole sample and found nothing has judged nothing; one that gave a reason
    about streams has judged the others, and in the ways of ``_PARTLY`` these too.
    """
    left_out: dict[str, frozenset[str]] = {}
    reasons: list[tuple[str, str]] = []
    spoke = {one.check for one in (*item.report.findings, *item.report.folded)}
    for check in checks_of(issue):
        section = getattr(rules, check, None)
        if section is None:
            reasons.append((_NOT_ASKED, check))
            continue
        streams: set[str] = set()
        whole = False
        for missing in item.report.not_applicable:
            if missing.check != check:
                continue
            if not missing.streams:
                whole = True
            elif issue not in _PARTLY.get(check, ()):
                streams.update(missing.streams)
            reasons.append((missing.reason, check))
        if check in spoke or not whole:
            left_out[check] = frozenset(streams)
    return Judged(left_out, tuple(dict.fromkeys(reasons)))

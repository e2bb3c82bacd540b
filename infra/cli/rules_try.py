"""``concord rules try``: what a changed rule set would find and no longer find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.checks.batch import CheckedSample
from infra.cli.check_report import STYLE
from infra.cli.console import jsonable, output, plain
from services.contracts.findings import CheckReport, Finding
from services.rules.rule_set import RuleSet

TRIAL_ID = "trial"
"""Both rule sets are run under one id: a finding's id is made of it, and one disagreement is to have one id."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs for one sample.

    Attributes:
        sample_id: The sample.
        found: What only the new rules find.
        gone: What only the old rules find.
        folded: What the old rules show by itself and the new ones fold under a cause.
        severity: What both find with another severity: (old, new).
        same: How many findings both have alike.
        not_applicable: Checks that only the new rules can not judge, with the reason.
    """

    sample_id: str
    found: list[Finding] = field(default_factory=list)
    gone: list[Finding] = field(default_factory=list)
    folded: list[Finding] = field(default_factory=list)
    severity: list[tuple[Finding, Finding]] = field(default_factory=list)
    same: int = 0
    not_applicable: list[tuple[str, str]] = field(default_factory=list)

    @property
    def any(self) -> bool:
        """Whether anything differs."""
        return bool(self.found or self.gone or self.folded or self.severity or self.not_applicable)


def for_trial(rules: RuleSet) -> RuleSet:
    """Return the rules under the id that trials share."""
    return rules.model_copy(update={"id": TRIAL_ID})


def differences(old: Sequence[CheckedSample], new: Sequence[CheckedSample]) -> list[Difference]:
    """Compare two runs over the same samples, in their order."""
    return [_difference(a.sample_id, a.report, b.report) for a, b in zip(old, new, strict=True)]


def _difference(sample_id: str, old: CheckReport, new: CheckReport) -> Difference:
    before = {finding.finding_id: finding for finding in old.findings}
    after = {finding.finding_id: finding for finding in new.findings}
    folded = {finding.finding_id for finding in new.folded}
    shared = [name for name in before if name in after]
    graver = [(before[name], after[name]) for name in shared if before[name].severity != after[name].severity]
    known = {(item.check, item.reason) for item in old.not_applicable}
    return Difference(
        sample_id=sample_id,
        found=[finding for name, finding in after.items() if name not in before],
        gone=[finding for name, finding in before.items() if name not in after and name not in folded],
        folded=[finding for name, finding in before.items() if name not in after and name in folded],
        severity=graver,
        same=len(shared) - len(graver),
        not_applicable=[(n.check, n.reason) for n in new.not_applicable if (n.check, n.reason) not in known],
    )


def trial_document(items: Sequence[Difference], old: RuleSet, new: RuleSet) -> dict[str, Any]:
    """Return the differences as JSON values."""
    return {
        "rules": jsonable(new.reference),
        "against": jsonable(old.reference),
        "samples": [
            {
                "sample_id": item.sample_id,
                "found": jsonable(item.found),
                "no_longer_found": jsonable(item.gone),
                "folded": jsonable(item.folded),
                "severity_changed": [
                    {"finding_id": a.finding_id, "check": a.check, "kind": a.kind, "from": a.severity, "to": b.severity}
                    for a, b in item.severity
                ],
                "not_applicable": [{"check": check, "reason": reason} for check, reason in item.not_applicable],
                "same": item.same,
            }
            for item in items
        ],
        "summary": {
            "samples": len(items),
            "samples_that_differ": sum(item.any for item in items),
            "found": _by_kind(finding for item in items for finding in item.found),
            "no_longer_found": _by_kind(finding for item in items for finding in item.gone),
            "folded": sum(len(item.folded) for item in items),
            "severity_changed": sum(len(item.severity) for item in items),
            "same": sum(item.same for item in items),
        },
    }


def _by_kind(findings: Any) -> dict[str, int]:
    return dict(sorted(Counter(f"{finding.check}/{finding.kind}" for finding in findings).items()))


def print_trial(items: Sequence[Difference], old: RuleSet, new: RuleSet) -> None:
    """Print the differences for a person."""
    console = output()
    console.print(plain(f"{new.id}@{new.version} against {old.id}@{old.version}"))
    for item in items:
        if not item.any:
            continue
        console.print(plain(item.sample_id), style="bold")
        for sign, findings in (("+", item.found), ("-", item.gone), ("folded", item.folded)):
            for finding in findings:
                line = f"  {sign} {finding.severity} {finding.check}/{finding.kind}  {finding.message}"
                console.print(plain(line), style=STYLE[finding.severity] if sign == "+" else "dim")
        for before, after in item.severity:
            change = f"{before.severity} -> {after.severity}"
            console.print(plain(f"  ~ {change} {after.check}/{after.kind}  {after.message}"))
        for check, reason in item.not_applicable:
            console.print(plain(f"  n/a {check}: {reason}"), style="dim")
    summary = trial_document(items, old, new)["summary"]
    for sign, name in (("+", "found"), ("-", "no_longer_found")):
        for kind, count in summary[name].items():
            console.print(plain(f"{sign}{count} {kind}"))
    console.print(
        plain(
            f"{summary['samples_that_differ']} of {summary['samples']} samples differ: "
            f"{sum(summary['found'].values())} found, {sum(summary['no_longer_found'].values())} no longer found, "
            f"{summary['folded']} folded, {summary['severity_changed']} of another severity, {summary['same']} the same"
        )
    )

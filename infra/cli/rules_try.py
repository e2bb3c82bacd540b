"""``concord rules try``: what a changed rule set would find, no longer find, and escalate otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.checks.batch import CheckedSample
from infra.cli.check_report import STYLE
from infra.cli.console import jsonable, output, plain
from services.contracts.findings import CheckReport, Finding
from services.contracts.records import Project
from services.review.escalation import Circumstances, rules_that_fire
from services.review.queueing import facts_of_sample
from services.rules.rule_set import RuleSet

Fires = dict[str, str]
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
        escalated: What the new rules find and the two escalate otherwise: (finding, old, new), each the rules that
            fire by what is said of the finding.
        firing: How many of the findings each of the new escalation rules fires for.
    """

    sample_id: str
    found: list[Finding] = field(default_factory=list)
    gone: list[Finding] = field(default_factory=list)
    folded: list[Finding] = field(default_factory=list)
    severity: list[tuple[Finding, Finding]] = field(default_factory=list)
    same: int = 0
    not_applicable: list[tuple[str, str]] = field(default_factory=list)
    escalated: list[tuple[Finding, Fires, Fires]] = field(default_factory=list)
    firing: Counter[str] = field(default_factory=Counter)

    @property
    def any(self) -> bool:
        """Whether anything differs."""
        told = self.found or self.gone or self.folded or self.severity or self.not_applicable or self.escalated
        return bool(told)


def for_trial(rules: RuleSet) -> RuleSet:
    """Return the rules under the id that trials share."""
    return rules.model_copy(update={"id": TRIAL_ID})


def differences(
    old: Sequence[CheckedSample], new: Sequence[CheckedSample], old_rules: RuleSet, new_rules: RuleSet
) -> list[Difference]:
    """Compare two runs over the same samples, in their order, each with the rules it was run with."""
    found = [_difference(a.sample_id, a.report, b.report) for a, b in zip(old, new, strict=True)]
    for item, checked in zip(found, new, strict=True):
        _escalate(item, checked, old_rules, new_rules)
    return found


def _escalate(item: Difference, checked: CheckedSample, old: RuleSet, new: RuleSet) -> None:
    manifest = checked.manifest
    domain = facts_of_sample(manifest.context, Project.model_fields["domain"].default).domain
    circumstances = Circumstances(manifest.context.risk, domain, manifest.streams, checked.annotations, ())
    for finding in checked.report.findings:
        before, after = (
            rules_that_fire(finding, circumstances, rules) if rules.blocks(finding) else {} for rules in (old, new)
        )
        item.firing.update(set(after.values()))
        if before != after:
            item.escalated.append((finding, before, after))


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
                "escalated_otherwise": [
                    {"finding_id": one.finding_id, "check": one.check, "kind": one.kind, "from": before, "to": after}
                    for one, before, after in item.escalated
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
            "escalated_otherwise": sum(len(item.escalated) for item in items),
            "escalation_rules": dict(sorted(sum((item.firing for item in items), Counter()).items())),
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
        for finding, old_fires, new_fires in item.escalated:
            told = "; ".join(
                f"{said}: {old_fires.get(said, '-')} -> {new_fires.get(said, '-')}"
                for said in dict.fromkeys((*old_fires, *new_fires))
                if old_fires.get(said) != new_fires.get(said)
            )
            console.print(plain(f"  ^ {finding.check}/{finding.kind}  {told}"))
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
            f"{summary['folded']} folded, {summary['severity_changed']} of another severity, "
            f"{summary['escalated_otherwise']} escalated otherwise, {summary['same']} the same"
        )
    )

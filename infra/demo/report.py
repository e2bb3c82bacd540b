"""What the demonstration ends with: what was injected, found, decided and committed, as data and as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from infra.demo.plan import PlannedSample
from services.contracts.base import Contract
from services.contracts.findings import SEVERITY_ORDER
from services.contracts.review import StoredFinding, Verdict


class SampleOutcome(Contract):
    """How one sample fared, over all its revisions."""

    sample_id: str
    stage: str
    revision: int
    findings: tuple[StoredFinding, ...]
    verdicts: tuple[tuple[str, Verdict], ...]
    """(who, what), in the order of the decisions."""


class InjectionOutcome(Contract):
    """What became of one known disagreement."""

    sample_id: str
    fault: str
    change: str
    found: bool
    finding: str | None
    decided: tuple[str, ...]
    stage: str


class DemoReport(Contract):
    """The result of a demonstration; ``findings`` counts by check and kind."""

    samples: int
    committed: int
    rejected: int
    in_review: int
    findings: dict[str, dict[str, int]]
    injected: int
    found: int
    false_alarms: int
    lineage_verified: bool
    audit_verified: bool
    seconds: float
    injections: tuple[InjectionOutcome, ...]
    false_alarm_findings: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def build_report(
    planned: Sequence[PlannedSample],
    outcomes: Mapping[str, SampleOutcome],
    *,
    lineage_verified: bool,
    audit_verified: bool,
    faults: tuple[str, ...],
    seconds: float,
) -> DemoReport:
    """Compare what was injected with what was found and decided.

    A false alarm is a finding of ``major`` or above that names nothing that was injected.
    """
    counted: dict[str, Counter[str]] = {}
    injections: list[InjectionOutcome] = []
    false_alarms: list[str] = []
    for sample in planned:
        outcome = outcomes[sample.posted.sample_id]
        for stored in outcome.findings:
            counted.setdefault(stored.finding.check, Counter())[stored.finding.kind] += 1
            grave = SEVERITY_ORDER[stored.finding.severity] >= SEVERITY_ORDER["major"]
            injection = sample.injection
            finding = stored.finding
            is_explained = injection is not None and (injection.is_named_by(finding) or injection.touches(finding))
            if grave and not is_explained:
                false_alarms.append(f"{outcome.sample_id}: {stored.finding.message}")
        if sample.injection is not None:
            hit = next((one for one in outcome.findings if sample.injection.is_named_by(one.finding)), None)
            injections.append(
                InjectionOutcome(
                    sample_id=outcome.sample_id,
                    fault=sample.injection.fault,
                    change=sample.injection.change,
                    found=hit is not None,
                    finding=hit.finding.message if hit else None,
                    decided=tuple(f"{who}: {verdict.value}" for who, verdict in outcome.verdicts),
                    stage=outcome.stage,
                )
            )
    stages = Counter(outcome.stage for outcome in outcomes.values())
    return DemoReport(
        samples=len(planned),
        committed=stages["committed"],
        rejected=stages["rejected"],
        in_review=stages["in_review"] + stages["adjudicating"] + stages["rework"],
        findings={check: dict(sorted(kinds.items())) for check, kinds in sorted(counted.items())},
        injected=len(injections),
        found=sum(injection.found for injection in injections),
        false_alarms=len(false_alarms),
        lineage_verified=lineage_verified,
        audit_verified=audit_verified,
        seconds=round(seconds, 2),
        injections=tuple(injections),
        false_alarm_findings=tuple(false_alarms),
        faults=faults,
    )


def as_json(report: DemoReport) -> dict[str, Any]:
    """Return the report as JSON values."""
    return report.model_dump(mode="json")


def _injections(report: DemoReport) -> Table:
    table = Table(title="What was injected, what was found, what people decided", title_justify="left", expand=True)
    for heading, ratio, narrowest in (("sample", 2, 9), ("injected", 4, 12), ("found", 5, 14), ("decided", 3, 13)):
        table.add_column(heading, ratio=ratio, min_width=narrowest, overflow="fold")
    table.add_column("ended as", min_width=9)
    for one in report.injections:
        found = escape(one.finding) if one.finding else "[red]not found[/red]"
        table.add_row(escape(one.sample_id), escape(one.change), found, escape("\n".join(one.decided)), one.stage)
    return table


def _summary(report: DemoReport) -> Table:
    table = Table(title="Summary", title_justify="left", show_header=False)
    kinds = ", ".join(
        f"{check}.{kind} {count}" for check, kinds in report.findings.items() for kind, count in kinds.items()
    )

    def proof(holds: bool) -> str:
        return "[green]verified[/green]" if holds else "[red]broken[/red]"

    for name, value in (
        ("samples", f"{report.samples}: {report.committed} committed, {report.rejected} rejected"),
        ("waiting for people", str(report.in_review)),
        ("findings", kinds or "none"),
        ("injected disagreements", f"{report.injected}, of which {report.found} found"),
        ("false alarms (major and above)", str(report.false_alarms)),
        ("lineage of every record", proof(report.lineage_verified)),
        ("audit chain", proof(report.audit_verified)),
        ("time", f"{report.seconds:.1f} s"),
    ):
        table.add_row(name, value)
    return table


def show(report: DemoReport, console: Console) -> None:
    """Print the report as tables."""
    parts: list[RenderableType] = [_summary(report)]
    if report.injections:
        parts.insert(0, _injections(report))
    console.print(Group(*parts))
    for line in (*report.false_alarm_findings, *report.faults):
        console.print(f"[red]•[/red] {escape(line)}")

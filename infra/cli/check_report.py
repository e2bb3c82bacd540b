"""What ``concord check`` found, as JSON for programs, SARIF for code scanning, JUnit for CI, and text."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from rich.text import Text

from infra.checks.batch import CheckedSample
from infra.checks.dataset import DatasetFinding
from infra.cli.console import losses_document, output, plain, told_in_short
from services.contracts.findings import SEVERITY_ORDER, Finding
from services.errors import ConcordError

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_SARIF_LEVEL = {"critical": "error", "major": "error", "minor": "warning", "info": "note"}
STYLE = {"critical": "bold red", "major": "red", "minor": "yellow", "info": "cyan"}
"""How a severity looks on a terminal."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Everything one run of the command found.

    Attributes:
        samples: In the order they were found.
        errors: Files that could not be read, with why.
        fail_on: The least severity that counts as a failure.
        checks: Ids of all checks.
        version: The product's version.
        across: What several samples show together.
    """

    samples: Sequence[CheckedSample]
    errors: Sequence[tuple[Path, ConcordError]]
    fail_on: str
    checks: Sequence[str]
    version: str
    across: Sequence[DatasetFinding] = ()

    @property
    def findings(self) -> list[Finding]:
        """Every finding: of each sample, then about several."""
        alone = [finding for sample in self.samples for finding in sample.report.findings]
        return [*alone, *(one.finding for one in self.across)]

    def fails(self, finding: Finding) -> bool:
        """Whether a finding is grave enough to fail the run."""
        return SEVERITY_ORDER[finding.severity] >= SEVERITY_ORDER[self.fail_on]

    @property
    def failed(self) -> int:
        """How many findings fail the run."""
        return sum(self.fails(finding) for finding in self.findings)


def as_json(result: CheckResult) -> dict[str, Any]:
    """Return the JSON document."""
    document: dict[str, Any] = {
        "samples": [
            {
                "sample_id": sample.sample_id,
                "project": sample.project,
                "path": str(sample.path),
                "findings": [_dump(finding) for finding in sample.report.findings],
                "folded": [_dump(finding) for finding in sample.report.folded],
                "not_applicable": [_dump(item) for item in sample.report.not_applicable],
                "dropped": losses_document(sample.losses),
            }
            for sample in result.samples
        ],
        "summary": _summary(result),
    }
    if len(result.samples) > 1:
        document["dataset"] = {
            "findings": [_dump(one.finding) | {"samples": list(one.samples)} for one in result.across]
        }
    if result.errors:
        document["errors"] = [
            {"path": str(path), "code": error.code, "detail": error.detail, "places": [list(p) for p in error.places]}
            for path, error in result.errors
        ]
    return document


def _dump(model: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = model.model_dump(mode="json", exclude_none=True)
    return dumped


def _summary(result: CheckResult) -> dict[str, Any]:
    findings = result.findings
    by_check: dict[str, Counter[str]] = {}
    for finding in findings:
        by_check.setdefault(finding.check, Counter())[finding.kind] += 1
    severities: Counter[str] = Counter(finding.severity for finding in findings)
    return {
        "samples": len(result.samples),
        "findings": len(findings),
        "failed": result.failed,
        "fail_on": result.fail_on,
        "by_severity": {name: severities[name] for name in SEVERITY_ORDER},
        "by_check": {check: dict(sorted(kinds.items())) for check, kinds in sorted(by_check.items())},
        "not_applicable": dict(
            sorted(Counter(item.check for sample in result.samples for item in sample.report.not_applicable).items())
        ),
        "errors": len(result.errors),
    }


def as_sarif(result: CheckResult) -> dict[str, Any]:
    """Return a SARIF 2.1.0 log: one rule per check and kind, one result per finding."""
    rules = sorted({(f.check, f.kind) for f in result.findings})
    rules += [(check, "not_applicable") for check in result.checks]
    index = {rule: number for number, rule in enumerate(rules)}
    results = []
    for sample in result.samples:
        results += [_sarif_finding(sample, f, index[f.check, f.kind]) for f in sample.report.findings]
        for item in sample.report.not_applicable:
            rule = (item.check, "not_applicable")
            if rule not in index:
                index[rule] = len(rules)
                rules.append(rule)
            results.append(
                {
                    "ruleId": "/".join(rule),
                    "ruleIndex": index[rule],
                    "kind": "notApplicable",
                    "level": "none",
                    "message": {"text": item.reason or "not applicable"},
                    "locations": [_sarif_location(sample, item.streams, ())],
                }
            )
    results += [_sarif_across(result, one, index[one.finding.check, one.finding.kind]) for one in result.across]
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "Concord",
                "version": result.version,
                "rules": [
                    {
                        "id": f"{check}/{kind}",
                        "name": "".join(part.capitalize() for part in f"{check}_{kind}".split("_")),
                        "shortDescription": {"text": f"{check}: {kind.replace('_', ' ')}"},
                    }
                    for check, kind in rules
                ],
            }
        },
        "invocations": [
            {
                "executionSuccessful": not result.errors,
                "toolExecutionNotifications": [
                    {
                        "level": "error",
                        "descriptor": {"id": error.code},
                        "message": {"text": error.detail},
                        "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(path)}}}],
                    }
                    for path, error in result.errors
                ],
            }
        ],
        "columnKind": "utf16CodeUnits",
        "results": results,
    }
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _sarif_finding(sample: CheckedSample, finding: Finding, rule_index: int) -> dict[str, Any]:
    place = _sarif_location(sample, finding.streams, finding.annotations)
    return _sarif_result(finding, rule_index, [place], f"{sample.project}/{sample.sample_id}/{finding.finding_id}")


def _sarif_across(result: CheckResult, one: DatasetFinding, rule_index: int) -> dict[str, Any]:
    """Return a finding about several samples, at the place of each that it names, else at that of the first."""
    named = [sample for sample in result.samples if sample.sample_id in one.samples] or result.samples[:1]
    return _sarif_result(
        one.finding, rule_index, [_sarif_location(sample, (), ()) for sample in named], one.finding.finding_id
    )


def _sarif_result(
    finding: Finding, rule_index: int, locations: list[dict[str, Any]], fingerprint: str
) -> dict[str, Any]:
    properties = finding.model_dump(
        mode="json",
        exclude_none=True,
        include={"severity", "measured", "streams", "annotations", "frames", "interval_s", "cause", "rule", "explains"},
    )
    return {
        "ruleId": f"{finding.check}/{finding.kind}",
        "ruleIndex": rule_index,
        "kind": "fail",
        "level": _SARIF_LEVEL[finding.severity],
        "message": {"text": finding.message},
        "locations": locations,
        "partialFingerprints": {"concordFindingId/v1": fingerprint},
        "properties": properties,
    }


def _sarif_location(sample: CheckedSample, streams: Sequence[str], annotations: Sequence[str]) -> dict[str, Any]:
    name = f"{sample.project}/{sample.sample_id}"
    logical = [{"name": sample.sample_id, "fullyQualifiedName": name, "kind": "object"}]
    logical += [{"name": s, "fullyQualifiedName": f"{name}/streams/{s}", "kind": "member"} for s in streams]
    logical += [{"name": a, "fullyQualifiedName": f"{name}/annotations/{a}", "kind": "element"} for a in annotations]
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(sample.path)}}, "logicalLocations": logical}


def _uri(path: Path) -> str:
    """Return a path below the working directory as a relative reference, any other as a file: URI."""
    absolute = Path(os.path.abspath(path))
    try:
        return quote(absolute.relative_to(Path.cwd()).as_posix()) or "."
    except ValueError:
        return absolute.as_uri()


def as_junit(result: CheckResult) -> str:
    """Return a JUnit XML document: a suite per sample, a case per check.

    A case fails by its findings at or above the severity; graver cases name their findings, lesser ones are its output.
    """
    root = ET.Element("testsuites", name="concord check")
    totals: Counter[str] = Counter()
    for sample in result.samples:
        suite = ET.SubElement(root, "testsuite", name=_xml(f"{sample.project}/{sample.sample_id}"))
        counts: Counter[str] = Counter()
        names = {
            *result.checks,
            *(f.check for f in sample.report.findings),
            *(n.check for n in sample.report.not_applicable),
        }
        for check in sorted(names):
            said = [finding for finding in sample.report.findings if finding.check == check]
            reasons = [item.reason for item in sample.report.not_applicable if item.check == check]
            counts.update(_junit_case(suite, result, sample.sample_id, check, said, reasons))
        _count(suite, counts)
        totals.update(counts)
    if result.across:
        suite = ET.SubElement(root, "testsuite", name="all samples")
        counts = Counter()
        for check in sorted({one.finding.check for one in result.across}):
            said = [one.finding for one in result.across if one.finding.check == check]
            counts.update(_junit_case(suite, result, "all samples", check, said, ()))
        _count(suite, counts)
        totals.update(counts)
    if result.errors:
        suite = ET.SubElement(root, "testsuite", name="input")
        for path, error in result.errors:
            case = ET.SubElement(suite, "testcase", classname="input", name=_xml(str(path)), time="0")
            ET.SubElement(case, "error", type=error.code, message=_xml(error.detail))
        counts = Counter(tests=len(result.errors), errors=len(result.errors))
        _count(suite, counts)
        totals.update(counts)
    _count(root, totals)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _junit_case(
    suite: ET.Element,
    result: CheckResult,
    name: str,
    check: str,
    findings: Sequence[Finding],
    reasons: Sequence[str],
) -> Counter[str]:
    case = ET.SubElement(suite, "testcase", classname=_xml(name), name=check, time="0")
    failing = [finding for finding in findings if result.fails(finding)]
    counts: Counter[str] = Counter(tests=1)
    if failing:
        failure = ET.SubElement(
            case,
            "failure",
            type=_xml(failing[0].kind),
            message=_xml(f"{_count_of(len(failing), 'finding')}: {failing[0].message}"),
        )
        failure.text = _xml("\n".join(_line(finding) for finding in failing))
        counts["failures"] = 1
    elif reasons and not findings:
        ET.SubElement(case, "skipped", message=_xml("; ".join(reasons)))
        counts["skipped"] = 1
    lesser = [finding for finding in findings if not result.fails(finding)]
    if lesser:
        ET.SubElement(case, "system-out").text = _xml("\n".join(_line(finding) for finding in lesser))
    return counts


def _count(element: ET.Element, counts: Counter[str]) -> None:
    for name in ("tests", "failures", "errors", "skipped"):
        element.set(name, str(counts[name]))
    element.set("time", "0")


def _line(finding: Finding) -> str:
    return f"{finding.severity} {finding.check}/{finding.kind}: {finding.message} [{finding.finding_id}]"


def _count_of(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _xml(text: str) -> str:
    """Return ``text`` without the characters that XML 1.0 can not hold."""
    return "".join(
        letter
        if letter in "\t\n\r" or " " <= letter <= "\ud7ff" or "\ue000" <= letter <= "\ufffd" or letter > "\uffff"
        else "�"
        for letter in text
    )


def print_text(result: CheckResult, seconds: float) -> None:
    """Print the result for a person."""
    console = output()
    for sample in result.samples:
        findings = sample.report.findings
        word = _count_of(len(findings), "finding") if findings else "clean"
        console.print(Text.assemble((sample.sample_id, "bold"), "  ", (word, "green" if not findings else "")))
        _print_findings(findings)
        for item in sample.report.not_applicable:
            console.print(plain(f"  n/a      {item.check}: {item.reason}"), style="dim")
        for losses in sample.losses:
            console.print(plain(f"  dropped  {told_in_short(losses)}"), style="dim")
    if result.across:
        console.print(Text("all samples together", style="bold"))
        _print_findings([one.finding for one in result.across])
    summary = _summary(result)
    severities = ", ".join(f"{count} {name}" for name, count in reversed(summary["by_severity"].items()) if count)
    console.print(
        plain(
            f"{_count_of(summary['samples'], 'sample')}, {_count_of(summary['findings'], 'finding')}"
            f"{f' ({severities})' if severities else ''}, {result.failed} at or above {result.fail_on}, {seconds:.1f} s"
        )
    )


def _print_findings(findings: Sequence[Finding]) -> None:
    console = output()
    for finding in findings:
        console.print(
            Text.assemble("  ", (f"{finding.severity:<8}", STYLE[finding.severity]), " "),
            Text(f"{finding.check}/{finding.kind}  ", style="bold"),
            plain(finding.message),
            Text(f"  [{finding.finding_id}]", style="dim"),
            sep="",
        )
        if finding.explains:
            console.print(plain(f"           explains {len(finding.explains)} further findings"), style="dim")
        if finding.suggestion is not None:
            console.print(plain(f"           suggestion: {finding.suggestion.summary}"), style="dim")

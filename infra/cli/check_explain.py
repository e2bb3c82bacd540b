"""``concord check --explain``: everything behind one finding."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from rich.text import Text

from infra.checks.batch import CheckedSample
from infra.checks.dataset import CheckedDataset
from infra.cli.check_report import STYLE
from infra.cli.console import jsonable, output, plain
from services.alignment.engine import Check
from services.contracts.findings import Finding
from services.errors import NotFoundError
from services.rules.rule_set import RuleSet

_HINT = "run the check again without --explain for the ids"
_LABELS_SHOWN = 12
_MODULE = re.compile(r":mod:`(services\.alignment\.[a-z_]+)`")
_READING = (
    "The file behind a stream was read and, where the manifest names its SHA-256, compared with it. What can not be "
    "read is reported here and no check is run on it."
)


@dataclass(frozen=True, slots=True)
class Threshold:
    """One field of the rules: where it is, its value, what it means, and whether the rule set changes it."""

    name: str
    value: Any
    meaning: str
    changed: bool


def matching(checked: CheckedDataset, wanted: str) -> list[tuple[CheckedSample, Finding]]:
    """Return the findings, folded ones too, whose id is ``wanted`` or begins with it.

    A finding about several samples comes with each that it names, or with the first where it is about all.

    Raises:
        NotFoundError: There is none, or the beginning fits several ids.
    """
    samples = checked.samples
    every = [(sample, finding) for sample in samples for finding in (*sample.report.findings, *sample.report.folded)]
    for one in checked.findings:
        named = [sample for sample in samples if sample.sample_id in one.samples] or samples[:1]
        every += [(sample, one.finding) for sample in named]
    exact = [pair for pair in every if pair[1].finding_id == wanted]
    if exact:
        return exact
    begun = [pair for pair in every if wanted and pair[1].finding_id.startswith(wanted)]
    ids = sorted({finding.finding_id for _, finding in begun})
    if not ids:
        raise NotFoundError(f"There is no finding {wanted!r} in these samples; {_HINT}.")
    if len(ids) > 1:
        raise NotFoundError(f"{wanted!r} fits {len(ids)} findings: {', '.join(ids[:10])}; give more of the id.")
    return begun


def explanation(sample: CheckedSample, finding: Finding, rules: RuleSet, checks: Mapping[str, Check]) -> dict[str, Any]:
    """Return everything behind a finding, as JSON values."""
    folded = {item.finding_id: item for item in sample.report.folded}
    above = [item.finding_id for item in sample.report.findings if finding.finding_id in item.explains]
    return {
        "sample_id": sample.sample_id,
        "project": sample.project,
        "path": str(sample.path),
        "finding": jsonable(finding),
        "folded": [jsonable(folded[name]) for name in finding.explains if name in folded],
        "folded_under": above,
        "rule": {
            "id": finding.rule.id,
            "version": finding.rule.version,
            "thresholds": [
                {"name": item.name, "value": jsonable(item.value), "meaning": item.meaning, "changed": item.changed}
                for item in thresholds(finding.check, rules)
            ],
        },
        "method": method(finding.check, checks),
    }


def method(check: str, checks: Mapping[str, Check]) -> str:
    """Return what a check measures, how, and the source of its method, in its author's words."""
    function = checks.get(check)
    if function is None:
        return _READING
    module = inspect.getmodule(function)
    about = inspect.getdoc(module) or "" if module is not None else ""
    texts = [about, inspect.getdoc(function) or ""]
    # The sources of a method stand where the method is, which is often a module that the check refers to.
    modules = dict.fromkeys(_MODULE.findall(about))
    texts += [f"{name}: {inspect.getdoc(importlib.import_module(name)) or ''}" for name in modules]
    return "\n\n".join(text.strip() for text in texts if text.strip())


def thresholds(check: str, rules: RuleSet) -> tuple[Threshold, ...]:
    """Return the fields of the rules that a check reads, nested ones by their dotted name."""
    section = getattr(rules, check, None) if check in RuleSet.model_fields else None
    return tuple(_fields(section, "")) if isinstance(section, BaseModel) else ()


def _fields(section: BaseModel, prefix: str) -> Iterator[Threshold]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _fields(value, f"{prefix}{name}.")
            continue
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        yield Threshold(f"{prefix}{name}", value, field.description or "", changed=value != default)


def print_explanation(sample: CheckedSample, finding: Finding, rules: RuleSet, checks: Mapping[str, Check]) -> None:
    """Print everything behind a finding for a person."""
    console = output()
    document = explanation(sample, finding, rules, checks)
    console.print(
        Text.assemble(
            (finding.finding_id, "bold"), "  ", (finding.severity, STYLE[finding.severity]), "  ",
            (f"{finding.check}/{finding.kind}", "bold"), f"  in {sample.sample_id}",
        )
    )  # fmt: skip
    console.print(plain(finding.message))
    _heading("The numbers")
    for name, value in _numbers(finding):
        console.print(plain(f"  {name}: {value}"))
    _heading(f"The rule: {finding.rule.id}@{finding.rule.version}, section {finding.check}")
    limit = finding.measured.threshold if finding.measured is not None else None
    for item in thresholds(finding.check, rules):
        same = limit is not None and not isinstance(item.value, bool) and item.value == limit
        mark = ">" if same else "*" if item.changed else " "
        meaning = f"  # {item.meaning}" if item.meaning else ""
        console.print(plain(f"{mark} {item.name} = {_short(item.value)}{meaning}"))
    console.print(plain("  (> has the threshold's value, * is not the product's default)"), style="dim")
    _heading("How it is found, and after whom")
    console.print(plain(document["method"]))
    _heading("Folded under it" if not document["folded_under"] else "Folded")
    for symptom in (item for item in sample.report.folded if item.finding_id in finding.explains):
        console.print(plain(f"  {symptom.finding_id}  {symptom.severity} {symptom.kind}: {symptom.message}"))
    if document["folded_under"]:
        console.print(plain(f"  this finding is explained by {', '.join(document['folded_under'])}"))
    elif not finding.explains:
        console.print(plain("  nothing"), style="dim")
    _heading("Suggestion")
    if finding.suggestion is None:
        console.print(plain("  none that a machine can apply"), style="dim")
        return
    console.print(plain(f"  {finding.suggestion.summary}"))
    for line in _changes(finding):
        console.print(plain(f"  {line}"))
    console.print(plain("  `concord check … --fix DIR` applies it to a copy"), style="dim")


def _heading(title: str) -> None:
    output().print(Text(f"\n{title}", style="bold"))


def _numbers(finding: Finding) -> Iterator[tuple[str, str]]:
    if finding.measured is not None:
        limit = "" if finding.measured.threshold is None else f" (threshold {finding.measured.threshold:g})"
        yield "measured", f"{finding.measured.value:g} {finding.measured.unit}{limit}"
    if finding.cause is not None:
        yield "cause", f"{finding.cause.kind}, group {finding.cause.group}"
        for name, value in finding.cause.estimate.items():
            yield f"  {name}", f"{value:g}" if isinstance(value, float) else str(value)
    yield "streams", _list(finding.streams)
    yield "labels", _list(finding.annotations)
    if finding.frames:
        yield "frames", _list([str(frame) for frame in finding.frames])
    if finding.interval_s is not None:
        yield "interval", f"{finding.interval_s[0]:.3f} to {finding.interval_s[1]:.3f} s"


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LABELS_SHOWN} more" if len(names) > _LABELS_SHOWN else ""
    return (", ".join(names[:_LABELS_SHOWN]) or "none named") + more


def _changes(finding: Finding) -> Iterator[str]:
    suggestion = finding.suggestion
    if suggestion is None:
        return
    if suggestion.time_shift is not None:
        shift = suggestion.time_shift
        types = f" of the types {', '.join(shift.types)}" if shift.types else ""
        yield f"t_new = (t_old {shift.offset_s:+.4f} s) * (1 {shift.drift:+.6f}) on {shift.stream}{types}"
    if suggestion.patch is not None:
        yield f"puts in place: {_list([label.id for label in suggestion.patch.upsert])}"
        yield f"removes: {_list(suggestion.patch.remove)}"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_short(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple | list):
        if value and isinstance(value[0], BaseModel):
            return f"[{len(value)} entries]"
        return "[" + ", ".join(_short(item) for item in value) + "]"
    if isinstance(value, BaseModel):
        return ", ".join(f"{name}={_short(getattr(value, name))}" for name in type(value).model_fields)
    return f"{value:g}" if isinstance(value, float) else str(value)

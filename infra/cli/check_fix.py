"""``concord check --fix DIR``: a corrected copy of the manifests, and what was changed in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from infra.checks.batch import Batch, CheckedSample, check_batch
from infra.checks.fix import FixedSample, fix_samples
from infra.cli.console import messages, output, plain
from infra.cli.progress import progress
from services.contracts.annotations import Annotation
from services.errors import InvalidInputError
from services.rules.rule_set import RuleSet

_LABELS_SHOWN = 20
_MOVED_S = 5e-5


def ensure_apart(directory: Path, paths: Sequence[Path]) -> None:
    """Raise InvalidInputError unless ``directory`` is new or empty and holds no part of the input."""
    target = directory.resolve()
    for path in paths:
        source = path.resolve()
        if target == source or (source.is_dir() and source in target.parents) or target in source.parents:
            raise InvalidInputError(
                f"{directory} and {path} contain one another; the input is never changed, so name another folder"
            )
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InvalidInputError(f"{directory} exists and is not empty; name a new folder")


def fix_batch(samples: Sequence[CheckedSample], batch: Batch, rules: RuleSet, jobs: int) -> list[FixedSample]:
    """Return every sample with what its findings suggest applied and checked again, with progress."""

    def recheck(again: Batch) -> tuple[list[CheckedSample], list[tuple[Path, Any]]]:
        with progress("checking again", len(again.found)) as advance:
            return check_batch(again, rules, jobs=jobs, advance=advance)

    return fix_samples(samples, batch, recheck)


def write_copies(directory: Path, paths: Sequence[Path], fixed: Sequence[FixedSample]) -> list[Path]:
    """Write one manifest a sample and return the files, in the samples' order.

    A manifest keeps its place below the folder it was found in; other samples are named by their id. Addresses of
    assets are absolute.
    """
    taken: set[Path] = set()
    files: list[Path] = []
    for sample in fixed:
        wished = directory / _place(sample.before, paths)
        place, number = wished, 1
        while place in taken:
            number += 1
            place = wished.with_name(f"{wished.stem}-{number}{wished.suffix}")
        taken.add(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        document = sample.manifest.model_dump(mode="json", exclude_none=True)
        place.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        files.append(place)
    return files


def _place(sample: CheckedSample, paths: Sequence[Path]) -> Path:
    if sample.found.has_manifest and sample.path.is_file():
        for path in paths:
            if path.is_dir() and sample.path.is_relative_to(path):
                return sample.path.relative_to(path)
        return Path(sample.path.name)
    return Path(f"{sample.sample_id}.json")


def fix_document(directory: Path, files: Sequence[Path], fixed: Sequence[FixedSample]) -> dict[str, Any]:
    """Return what was changed, as JSON values."""
    return {
        "directory": str(directory),
        "samples": [
            {
                "sample_id": sample.before.sample_id,
                "path": str(file),
                "labels_changed": list(sample.changed),
                "applied": [
                    {
                        "finding_id": finding.finding_id,
                        "check": finding.check,
                        "kind": finding.kind,
                        "summary": finding.suggestion.summary if finding.suggestion else "",
                        "solved": finding not in sample.unsolved,
                    }
                    for finding in sample.applied
                ],
                "refused": [
                    {"finding_id": finding.finding_id, "check": finding.check, "kind": finding.kind, "reason": reason}
                    for finding, reason in sample.refused
                ],
                "findings_before": len(sample.before.report.findings),
                "findings_after": len(sample.report.findings),
            }
            for sample, file in zip(fixed, files, strict=True)
        ],
    }


def print_fix(directory: Path, fixed: Sequence[FixedSample], *, aside: bool) -> None:
    """Print what was changed for a person.

    Args:
        directory: Where the copy is.
        fixed: The corrected samples.
        aside: Whether standard output belongs to a document for programs.
    """
    console = messages() if aside else output()
    for sample in fixed:
        if not sample.applied and not sample.refused:
            continue
        before, after = len(sample.before.report.findings), len(sample.report.findings)
        console.print(Text.assemble((sample.before.sample_id, "bold"), f"  {before} -> {after} findings"))
        for finding in sample.applied:
            summary = finding.suggestion.summary if finding.suggestion else ""
            word = "tried   " if finding in sample.unsolved else "fixed   "
            console.print(plain(f"  {word} {finding.check}/{finding.kind}  {summary}  [{finding.finding_id}]"))
        for finding, reason in sample.refused:
            console.print(plain(f"  left     {finding.check}/{finding.kind}  {reason}  [{finding.finding_id}]"))
        lines = list(_differences(sample))
        for line in lines[:_LABELS_SHOWN]:
            console.print(plain(f"           {line}"), style="dim")
        if len(lines) > _LABELS_SHOWN:
            console.print(plain(f"           and {len(lines) - _LABELS_SHOWN} more labels"), style="dim")
    labels = sum(len(sample.changed) for sample in fixed)
    touched = sum(bool(sample.changed) for sample in fixed)
    told = f"{labels} labels changed in {touched} of {len(fixed)} samples; corrected copy in {directory}"
    console.print(plain(f"{told}; what remains:"))


def _differences(sample: FixedSample) -> Iterator[str]:
    old = {label.id: label for label in sample.before.annotations}
    new = {label.id: label for label in sample.manifest.annotations}
    for name in sample.changed:
        if name not in new:
            yield f"{name}: removed"
        elif name not in old:
            yield f"{name}: added"
        else:
            yield f"{name}: {', '.join(_fields(old[name], new[name]))}"


def _fields(before: Annotation, after: Annotation) -> Iterator[str]:
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            yield f"{name} {_value(old.get(name))} -> {_value(new.get(name))}"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < _MOVED_S else f"{value:.3f}"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"

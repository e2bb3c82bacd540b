"""The card of a version as a page to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from services.contracts.agreement import AgreementMeasure
from services.contracts.dataset_report import Score
from services.contracts.datasets import DatasetVersion, VersionContent

_MOST_CLASSES = 200
_MOST_REASONS = 2


def datacard(version: DatasetVersion, description: str) -> str:
    """Return the page, Markdown; the same version gives the same text.

    Args:
        version: The version.
        description: Of the dataset.
    """
    content = version.content
    card = content.card
    coverage, conflicts = card.coverage, card.conflicts
    parts = [
        f"# {content.dataset}, version {content.version}",
        *([description] if description else []),
        *([content.note] if content.note else []),
        _table(
            ("", ""),
            [
                ("project", content.project),
                ("samples", content.samples),
                ("labels", content.labels),
                ("made", f"{version.created_at.isoformat(timespec='seconds')} by {version.created_by}"),
                ("Merkle root", f"`{content.merkle_root}`"),
                ("manifest", f"`{version.manifest_sha256}`"),
            ],
        ),
        "## Splits",
        f"By {', '.join(content.split.group_by)}: a group is in one split only, in every version of this dataset.",
        _table(
            ("split", "samples", "groups", "labels"),
            [(one.name, one.samples, one.groups, one.labels) for one in content.splits],
        ),
        "## Coverage",
        *_counted(
            {
                "modality": coverage.modalities,
                "risk": coverage.risks,
                "region": coverage.regions,
                "product": coverage.products,
                "kind of label": coverage.kinds,
            }
        ),
        *(
            [f"Recorded from {coverage.captured_from.isoformat()} to {coverage.captured_to.isoformat()}."]
            if coverage.captured_from is not None and coverage.captured_to is not None
            else ["No sample says when it was recorded."]
        ),
        *_classes(content),
        "## Who stands behind it",
        _who(content),
        *_counted({"decisions": card.review.decisions}),
        "## Conflicts",
        f"{conflicts.open_conflicts} findings open or noted at the commit, {conflicts.accepted_conflicts} let stand.",
        *_counted({"findings by state": conflicts.findings, "open or left to stand": conflicts.by_check}),
        "## Agreement",
        *_agreement(content),
        "## The nine failures",
        *_failures(content),
        "## Rules and taxonomies",
        *_counted({"rule set": card.rule_sets, "taxonomy": card.taxonomies}),
    ]
    return "\n\n".join(parts) + "\n"


def _who(content: VersionContent) -> str:
    review = content.card.review
    return (
        f"{review.annotators} people labelled, {review.reviewers} decided about findings; {review.reviewed_samples} of "
        f"{content.samples} samples had such a decision."
    )


def _classes(content: VersionContent) -> list[str]:
    if not content.classes:
        return []
    ranked = sorted(content.classes, key=lambda one: (-one.labels, one.type, one.label))
    table = _table(
        ("class", "kind", "labels", "samples"),
        [(one.label, one.type, one.labels, one.samples) for one in ranked[:_MOST_CLASSES]],
    )
    rest = len(ranked) - _MOST_CLASSES
    return [table, *([f"And {rest} more classes; datacard.json has them."] if rest > 0 else [])]


def _agreement(content: VersionContent) -> list[str]:
    agreement = content.card.agreement
    if agreement is None or not agreement.samples:
        return [f"No sample among the {content.card.samples_read} that were read was labelled by two people."]
    shown = [one for one in agreement.measures if one.view == "all"]
    return [
        f"Of the first {content.card.samples_read} samples by id, {agreement.samples} were labelled by two or more.",
        _table(
            ("kind", "measure", "value", "95 % interval", "compared", "differing"),
            [(one.kind, one.metric, _value(one), _interval(one), one.compared, one.differing) for one in shown],
        ),
    ]


def _value(measure: AgreementMeasure) -> str:
    return str(measure.degenerate) if measure.value is None else f"{measure.value:.3f}"


def _interval(measure: AgreementMeasure) -> str:
    return "" if measure.low is None or measure.high is None else f"{measure.low:.3f} to {measure.high:.3f}"


def _failures(content: VersionContent) -> list[str]:
    report = content.card.report
    if report is None:
        return ["No sample was read for it."]
    return [
        f"Of the first {content.card.samples_read} samples by id; rules {report.rule.id}@{report.rule.version}.",
        _table(
            ("failure", "failing", "of", "rate", "not judged"),
            [
                (
                    score.title,
                    score.failing,
                    score.population,
                    "" if score.rate is None else f"{score.rate:.1%}",
                    _reasons(score),
                )
                for score in report.scores
            ],
        ),
    ]


def _reasons(score: Score) -> str:
    reasons = [*dict.fromkeys(one.reason for one in score.not_judged)]
    more = f"; and {len(reasons) - _MOST_REASONS} more reasons" if len(reasons) > _MOST_REASONS else ""
    return f"{'; '.join(reasons[:_MOST_REASONS])}{more}"


def _counted(tables: Mapping[str, Mapping[str, int]]) -> list[str]:
    return [_table((name, "count"), sorted(counts.items())) for name, counts in tables.items() if counts]


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [_row(columns), _row(["---"] * len(columns)), *(_row(row) for row in rows)]
    return "\n".join(lines)


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(value: object) -> str:
    # Names come from whoever labelled: none of them ends its cell or its line.
    return " ".join(str(value).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())

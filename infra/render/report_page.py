"""The report of a dataset as one HTML page that needs nothing beside itself.

The page is built as elements and never from text, so that whatever a label, a sample or a file is called is text on the
page and nothing else. It has no script. Its one style sheet is named by its hash in a content security policy of the
page's own; where a stricter one forbids that too, the page is plain and whole.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from xml.etree import ElementTree as ET

from infra.render.report_charts import BAR, SEVERITY_COLOURS, Bar, bars, printable
from services.contracts.dataset_report import DatasetReport, ReportEntry, Score

MAX_ROWS = 500
"""Entries shown of each number: a page with more is of no use to a person. The JSON document has all."""
_MAX_SAMPLES = 12
_MAX_REASONS = 15

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; background: #fff; margin: 2rem auto; max-width: 62rem;
  padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .2rem; border-top: 1px solid #d5dbe2; padding-top: 1.2rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #e6eaef;
  overflow-wrap: anywhere; }
td.number, th.number { text-align: right; white-space: nowrap; overflow-wrap: normal; }
td.id { font-family: ui-monospace, monospace; font-size: 12px; color: #52606d; }
th { font-weight: 600; }
p.said { color: #52606d; margin: 0 0 .6rem; }
p.figure { font-size: 1.15rem; margin: .4rem 0; }
svg { max-width: 100%; height: auto; }
details { margin: .6rem 0; }
summary { cursor: pointer; font-weight: 600; }
a { color: #0b5cad; }
"""


def report_page(report: DatasetReport) -> str:
    """Return the page."""
    html = ET.Element("html", {"lang": "en"})
    head = ET.SubElement(html, "head")
    ET.SubElement(head, "meta", {"charset": "utf-8"})
    policy = f"default-src 'none'; style-src '{_style_hash()}'; base-uri 'none'; form-action 'none'"
    ET.SubElement(head, "meta", {"http-equiv": "Content-Security-Policy", "content": policy})
    ET.SubElement(head, "meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"})
    _say(head, "title", "Dataset report")
    ET.SubElement(head, "style").text = _STYLE
    body = ET.SubElement(html, "body")
    _say(body, "h1", "Dataset report")
    _say(body, "p", _about(report), {"class": "said"})
    _overview(body, report)
    for score in report.scores:
        _section(body, score)
    if report.other_findings:
        _say(body, "h2", "Findings of plug-ins")
        _say(body, "p", "They belong to none of the nine.", {"class": "said"})
        rows = [Bar(name, ((float(count), BAR),), str(count)) for name, count in report.other_findings.items()]
        body.append(bars(rows, "Findings of plug-ins by check and kind"))
    return "<!DOCTYPE html>\n" + ET.tostring(html, encoding="unicode", method="html") + "\n"


def _style_hash() -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()


def _say(parent: ET.Element, tag: str, words: str, attributes: dict[str, str] | None = None) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes or {})
    element.text = printable(words)
    return element


def _about(report: DatasetReport) -> str:
    unread = f", {report.unreadable} unreadable and in no number" if report.unreadable else ""
    if report.left_out:
        unread += f", {report.left_out:,} more that were withdrawn, not checked yet or not asked for"
    return (
        f"{report.samples:,} samples with {report.labels:,} labels{unread}, under the rule set {report.rule.id} "
        f"version {report.rule.version}. A number counts what fails; its list follows. What could not be judged is "
        "neither a pass nor a failure."
    )


def percent(rate: float | None) -> str:
    """Return a share for people; what is not nothing never reads as nothing."""
    if rate is None:
        return "not judged"
    if rate in (0.0, 1.0):
        return f"{100 * rate:.0f} %"
    # Neither does what is not all read as all.
    return f"{min(100 * rate, 99.9):.1f} %" if rate >= 0.001 else f"{100 * rate:.2g} %"


def samples_of(score: Score) -> str:
    """Return in how many of the samples that were judged something fails; empty where only the dataset is judged."""
    return f"{score.samples_failing:,} of {score.samples_judged:,}" if score.samples_judged else ""


def _overview(body: ET.Element, report: DatasetReport) -> None:
    rows = [
        Bar(score.title, ((score.rate or 0.0, BAR),), percent(score.rate), empty=score.rate is None)
        for score in report.scores
    ]
    body.append(bars(rows, "Share of things that fail, for each of the nine", full=1.0))
    table = _table(body, ("", False), ("failing", True), ("of", True), ("rate", True), ("samples", True))
    for score in report.scores:
        row = ET.SubElement(table, "tr")
        _say(ET.SubElement(row, "td"), "a", score.title, {"href": f"#{score.issue}"})
        cells = (
            f"{score.failing:,}", f"{score.population:,}", percent(score.rate),
            samples_of(score),
        )  # fmt: skip
        for cell in cells:
            _say(row, "td", cell, {"class": "number"})


def _table(parent: ET.Element, *columns: tuple[str, bool]) -> ET.Element:
    table = ET.SubElement(parent, "table")
    row = ET.SubElement(ET.SubElement(table, "thead"), "tr")
    for name, numeric in columns:
        _say(row, "th", name, {"class": "number"} if numeric else None)
    return ET.SubElement(table, "tbody")


def _section(body: ET.Element, score: Score) -> None:
    _say(body, "h2", score.title, {"id": score.issue})
    _say(body, "p", f"One thing is {score.counted}.", {"class": "said"})
    figure = "not judged" if score.rate is None else f"{score.failing:,} of {score.population:,}: {percent(score.rate)}"
    _say(body, "p", figure, {"class": "figure"})
    if score.entries:
        _reasons(body, score)
        _by_sample(body, score)
        _entries(body, score)
    if score.not_judged:
        _not_judged(body, score)


def _reasons(body: ET.Element, score: Score) -> None:
    _say(body, "h3", "By reason")
    of_listed: dict[str, Counter[str | None]] = {}
    for entry in score.entries:
        for reason in entry.reasons:
            of_listed.setdefault(reason, Counter())[entry.severity] += 1
    shown = list(score.by_reason.items())[:_MAX_REASONS]
    rows = []
    for reason, count in shown:
        listed = of_listed.get(reason, Counter())
        # Severities are known of what is listed; the whole bar is as long as the number.
        scale = count / sum(listed.values()) if listed else 0.0
        parts = tuple(
            (listed[severity] * scale, colour) for severity, colour in SEVERITY_COLOURS.items() if listed[severity]
        )
        rows.append(Bar(reason.replace("_", " "), parts or ((float(count), BAR),), f"{count:,}"))
    body.append(bars(rows, f"{score.title}: entries by reason; colours are severities"))
    if len(score.by_reason) > _MAX_REASONS:
        _say(body, "p", f"and {len(score.by_reason) - _MAX_REASONS} further reasons", {"class": "said"})
    known = [severity for severity in ("critical", "major", "minor", "info") if any(
        severity in counts for counts in of_listed.values()
    )]  # fmt: skip
    if known:
        legend = ET.SubElement(body, "p", {"class": "said"})
        for severity in known:
            svg = ET.SubElement(legend, "svg", {"width": "12", "height": "12", "viewBox": "0 0 12 12"})
            ET.SubElement(svg, "rect", {"width": "12", "height": "12", "fill": SEVERITY_COLOURS[severity]})
            svg.tail = f" {severity}   "


def _by_sample(body: ET.Element, score: Score) -> None:
    counts = Counter((entry.project or "", entry.sample_id) for entry in score.entries if entry.sample_id is not None)
    if len(counts) < 2 or max(counts.values()) < 2:
        return
    ordered = sorted(counts.items(), key=lambda one: (-one[1], str(one[0])))[:_MAX_SAMPLES]
    _say(body, "h3", "Where most of them are")
    rows = [Bar(sample_id or "", ((float(count), BAR),), f"{count:,}") for (_, sample_id), count in ordered]
    body.append(bars(rows, f"{score.title}: samples with most entries"))


def _entries(body: ET.Element, score: Score) -> None:
    shown = score.entries[:MAX_ROWS]
    details = ET.SubElement(body, "details", {"open": "open"} if len(shown) <= 25 else {})
    whole = "The list" if len(shown) == score.failing else f"The gravest {len(shown):,} of {score.failing:,}"
    _say(details, "summary", whole)
    table = _table(details, ("sample", False), ("place", False), ("what is wrong", False), ("findings", False))
    for entry in shown:
        _row(table, entry)
    if len(shown) < score.failing:
        _say(details, "p", "The JSON document lists all of them.", {"class": "said"})


def _row(table: ET.Element, entry: ReportEntry) -> None:
    row = ET.SubElement(table, "tr")
    _say(row, "td", entry.sample_id or entry.project or "dataset")
    _say(row, "td", entry.place)
    _say(row, "td", f"{entry.severity}: {entry.sentence}" if entry.severity else entry.sentence)
    ids = entry.finding_ids[:3]
    more = f" and {len(entry.finding_ids) - 3} more" if len(entry.finding_ids) > 3 else ""
    _say(row, "td", " ".join(ids) + more, {"class": "id"})


def _not_judged(body: ET.Element, score: Score) -> None:
    details = ET.SubElement(body, "details", {"open": "open"} if score.rate is None else {})
    _say(details, "summary", "Not judged")
    table = _table(details, ("why", False), ("check", False), ("samples", True))
    for item in score.not_judged[:MAX_ROWS]:
        row = ET.SubElement(table, "tr")
        _say(row, "td", item.reason)
        _say(row, "td", item.check or "")
        _say(row, "td", f"{item.samples:,}" if item.samples else "", {"class": "number"})

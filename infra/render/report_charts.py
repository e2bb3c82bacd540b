"""Bar charts as SVG elements of an HTML page: no script, no font and no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

WIDTH = 760
_ROW = 26
_LABEL = 290
_VALUE = 150
_LETTERS = 42
SEVERITY_COLOURS: Mapping[str | None, str] = {
    "critical": "#b3430a", "major": "#e69f00", "minor": "#56b4e9", "info": "#999999", None: "#6b7a8f",
}  # fmt: skip
"""Okabe and Ito's colours, which people with any common colour blindness can tell apart; critical is darkened."""
BAR = "#0072b2"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        name: What it stands for.
        parts: Lengths with their colours, from the left.
        says: The number beside it.
        empty: Whether there is nothing to show: the row is hatched instead of left blank.
    """

    name: str
    parts: tuple[tuple[float, str], ...]
    says: str
    empty: bool = False


def printable(text: str) -> str:
    """Return ``text`` without characters that a page can not hold or that nobody could see."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def bars(rows: Sequence[Bar], title: str, *, full: float | None = None) -> ET.Element:
    """Return a chart of horizontal bars with their names and numbers.

    Args:
        rows: From the top.
        title: What the chart shows, for those who do not see it.
        full: Length of the whole width; None takes the longest bar.
    """
    height = len(rows) * _ROW + 8
    svg = ET.Element(
        "svg",
        {
            "viewBox": f"0 0 {WIDTH} {height}", "width": str(WIDTH), "height": str(height), "role": "img",
            "xmlns": "http://www.w3.org/2000/svg", "font-family": "system-ui, sans-serif", "font-size": "13",
        },
    )  # fmt: skip
    ET.SubElement(svg, "title").text = printable(title)
    longest = full if full is not None else max((sum(length for length, _ in row.parts) for row in rows), default=0)
    space = WIDTH - _LABEL - _VALUE
    for index, row in enumerate(rows):
        top = 4 + index * _ROW
        name = printable(row.name)
        shown = name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"
        text(svg, shown, _LABEL - 10, top + 17, anchor="end")
        ET.SubElement(svg, "rect", _box(_LABEL, top + 4, space, _ROW - 8) | {"fill": "#eceff3"})
        left = float(_LABEL)
        for length, colour in row.parts:
            wide = space * length / longest if longest else 0.0
            # What is there at all is seen, however little it is beside the rest.
            wide = max(wide, 2.0) if length else 0.0
            ET.SubElement(svg, "rect", _box(left, top + 4, wide, _ROW - 8) | {"fill": colour})
            left += wide
        if row.empty:
            line = {"stroke": "#9aa5b1", "stroke-dasharray": "3 4", "stroke-width": "2"}
            middle = f"{top + _ROW / 2:g}"
            ET.SubElement(
                svg, "line", {"x1": str(_LABEL + 4), "x2": str(_LABEL + space - 4), "y1": middle, "y2": middle} | line
            )
        text(svg, printable(row.says), _LABEL + space + 8, top + 17)
    return svg


def _box(left: float, top: float, wide: float, high: float) -> dict[str, str]:
    return {"x": f"{left:.1f}", "y": f"{top:.1f}", "width": f"{wide:.1f}", "height": f"{high:.1f}"}


def text(parent: ET.Element, words: str, left: float, base: float, *, anchor: str = "start") -> None:
    """Write words into a chart."""
    place = {"x": f"{left:g}", "y": f"{base:g}", "text-anchor": anchor, "fill": "#1f2933"}
    ET.SubElement(parent, "text", place).text = words

"""What all pictures share: colours, type, a heading with the finding, and a legend.

The colours are those of M. Okabe and K. Ito, "Color Universal Design" (2008): people with any common form of colour
blindness tell them apart, and shapes and widths repeat what the colours say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from services.contracts.findings import Finding

Rgb = tuple[int, int, int]
Point = tuple[float, float]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

INK: Rgb = (25, 25, 25)
PAPER: Rgb = (255, 255, 255)
FAINT: Rgb = (205, 205, 205)
GREY: Rgb = (120, 120, 120)
BLUE: Rgb = (0, 114, 178)
SKY: Rgb = (86, 180, 233)
ORANGE: Rgb = (230, 159, 0)
GREEN: Rgb = (0, 158, 115)
VERMILLION: Rgb = (213, 94, 0)
PURPLE: Rgb = (204, 121, 167)
YELLOW: Rgb = (240, 228, 66)
CYCLE: tuple[Rgb, ...] = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, YELLOW, GREY)

MARGIN = 14
_LINE = 22
_WIDTH_MIN = 900


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend."""

    text: str
    colour: Rgb
    shape: Literal["line", "area", "dot"] = "line"


def font(size: int = 16) -> Font:
    """Return the type of all pictures; it comes with Pillow."""
    return ImageFont.load_default(size)


def clean(text: str) -> str:
    """Return text on one line without characters that can not be drawn."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def shortened(draw: ImageDraw.ImageDraw, text: str, width: float, kind: Font) -> str:
    """Return ``text``, cut so that it is at most ``width`` pixels wide; empty where not even a letter fits."""
    text = clean(text)
    if draw.textlength(text, font=kind) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if draw.textlength(text[:middle] + "…", font=kind) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low] + "…" if low else ""


def halo_line(draw: ImageDraw.ImageDraw, points: Sequence[Point], colour: Rgb, width: int) -> None:
    """Draw a line that stands out from any photo: dark around the colour."""
    if len(points) > 1:
        draw.line(list(points), fill=INK, width=width + 2, joint="curve")
        draw.line(list(points), fill=colour, width=width, joint="curve")


def tag(
    draw: ImageDraw.ImageDraw, at: Point, text: str, colour: Rgb, size: tuple[int, int], *, points: int = 15
) -> None:
    """Write a name on a field of its colour, kept inside a picture of ``size``."""
    kind = font(points)
    text = clean(text)[:60]
    left, top, right, bottom = draw.textbbox((0, 0), text, font=kind)
    width, height = right - left + 8, bottom - top + 8
    x = min(max(at[0], 0), max(size[0] - width, 0))
    y = min(max(at[1] - height, 0), max(size[1] - height, 0))
    draw.rectangle((x, y, x + width, y + height), fill=colour, outline=INK)
    draw.text((x + 4 - left, y + 4 - top), text, font=kind, fill=readable_on(colour))


def readable_on(colour: Rgb) -> Rgb:
    """Return black or white, whichever contrasts more with ``colour`` (relative luminance of ITU-R BT.709)."""
    luminance = sum(
        weight * (value / 255) ** 2.2 for weight, value in zip((0.2126, 0.7152, 0.0722), colour, strict=True)
    )
    return INK if luminance > 0.18 else PAPER


def framed(picture: Image.Image, finding: Finding, what: str, legend: Sequence[Key]) -> Image.Image:
    """Return ``picture`` under a heading that names the finding, and over its legend."""
    width = max(picture.width, _WIDTH_MIN) + 2 * MARGIN
    probe = ImageDraw.Draw(picture)
    title, body = font(20), font(16)
    lines = _wrapped(probe, finding.message, width - 2 * MARGIN, body)
    rows = _legend_rows(probe, legend, width - 2 * MARGIN, body)
    top = MARGIN + 28 + _LINE * len(lines) + 10
    whole = Image.new("RGB", (width, top + picture.height + 12 + 26 * len(rows) + MARGIN), PAPER)
    draw = ImageDraw.Draw(whole)
    heading = f"{finding.severity}: {finding.check}/{finding.kind} · {what}"
    draw.text((MARGIN, MARGIN - 2), shortened(draw, heading, width - 2 * MARGIN, title), font=title, fill=INK)
    for number, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + 28 + _LINE * number), line, font=body, fill=INK)
    whole.paste(picture, (MARGIN, top))
    for number, row in enumerate(rows):
        y = top + picture.height + 12 + 26 * number
        for x, key in row:
            _swatch(draw, MARGIN + x, y, key)
            draw.text((MARGIN + x + 34, y), key.text, font=body, fill=INK)
    return whole


def _swatch(draw: ImageDraw.ImageDraw, x: float, y: float, key: Key) -> None:
    if key.shape == "line":
        halo_line(draw, [(x, y + 10), (x + 26, y + 10)], key.colour, 4)
    elif key.shape == "area":
        draw.rectangle((x, y + 2, x + 26, y + 18), fill=key.colour, outline=INK)
    else:
        draw.ellipse((x + 8, y + 5, x + 18, y + 15), fill=key.colour, outline=INK)


def _legend_rows(
    draw: ImageDraw.ImageDraw, legend: Sequence[Key], width: float, kind: Font
) -> list[list[tuple[float, Key]]]:
    rows: list[list[tuple[float, Key]]] = [[]]
    x = 0.0
    for key in legend:
        needed = 34 + draw.textlength(key.text, font=kind) + 26
        if rows[-1] and x + needed > width:
            rows.append([])
            x = 0.0
        rows[-1].append((x, key))
        x += needed
    return rows if rows[0] else []


def _wrapped(draw: ImageDraw.ImageDraw, text: str, width: float, kind: Font, lines: int = 3) -> list[str]:
    result = [""]
    for word in clean(text).split():
        tried = f"{result[-1]} {word}".strip()
        if result[-1] and draw.textlength(tried, font=kind) > width:
            result.append(word)
        else:
            result[-1] = tried
    if len(result) > lines:
        result = [*result[: lines - 1], " ".join(result[lines - 1 :])]
    return [shortened(draw, line, width, kind) for line in result]

"""Regions of a picture that are read by OCR, beside what their labels say."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont
from pydantic import TypeAdapter

from infra.checks import region_reader
from infra.checks.child import check_sample
from infra.checks.process import ReaderConfig
from infra.checks.region_reader import RegionTexts
from infra.pre_label.text_in_images import TextReader
from services.alignment.region_ocr import another_text, regions_to_read
from services.alignment.sample import CheckOutcome, CheckSample, ReadText
from services.alignment.text_visual import check_text_visual
from services.contracts.annotations import Annotation, Annotations
from services.contracts.findings import CheckReport
from services.contracts.labels_visual import Box
from services.contracts.manifest import SampleManifest, Stream
from services.rules.rule_set import RuleSet
from services.rules.text_visual import RegionOcrRules, TextVisualRules

PAGE = Stream(id="page", modality="image", uri="page.png")


def region(name: str, text: str, top: float = 10.0, **fields: Any) -> Box:
    return Box(
        id=name,
        stream="page",
        label="text",
        **{"box": (10.0, top, 310.0, top + 40.0), "attributes": {"text": text}, **fields},
    )


def rules(**fields: Any) -> RuleSet:
    return RuleSet(id="r", version=1, text_visual=TextVisualRules(ocr=RegionOcrRules(**fields)))


def manifest(labels: Sequence[Annotation] = ()) -> SampleManifest:
    return SampleManifest(
        format="concord.sample/1", sample_id="s", project="p", streams=(PAGE,), annotations=tuple(labels)
    )


def judged(said: str, read: str, confidence: float = 0.95, **fields: Any) -> CheckOutcome:
    sample = CheckSample(manifest(), (region("a", said),), region_texts={"a": ReadText(read, confidence)})
    return check_text_visual(sample, rules(**fields))


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("THANK YOU", "Thank-you!"), ("FLEASE COME AOSIN", "Please Come Again"), ("QTY", "Rty"), ("80.91", "8091"),
        ("RM 1.50", "1.50"), ("***", "xyz"), ("TOTAL", ""), ("12 31", "12.31"),
    ],
)  # fmt: skip
def test_what_the_machine_may_have_misread_is_not_another_text(said: str, read: str) -> None:
    assert another_text(said, read, 0.3) is None


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("12.50", "12.60"),
        ("RM 12.50", "RM12.60"),
        ("2018-03-14", "14/03/2019"),
        ("TOTAL", "CASH"),
        ("CASHIER", "12.50"),
    ],
)
def test_another_digit_or_another_text_is_one(said: str, read: str) -> None:
    assert another_text(said, read, 0.3) is not None


def test_the_finding_says_what_each_reads_and_how_sure_the_machine_is() -> None:
    (finding,) = judged("TOTAL", "CHANGE DUE").findings
    assert (finding.kind, finding.severity, finding.annotations) == ("region_text_mismatch", "major", ("a",))
    assert "labelled “TOTAL”, and OCR of the picture reads “CHANGE DUE” (confidence 0.95)" in finding.message
    assert finding.measured is not None
    assert finding.measured.threshold == 0.3


def test_the_rule_set_decides_what_is_heard_and_how_grave_it_is() -> None:
    assert judged("TOTAL", "CASH", 0.84).findings == ()
    assert judged("TOTAL", "CASH", 0.84, min_confidence=0.8).findings != ()
    assert judged("TOTAL", "TOTLE", max_error=0.3).findings != ()
    assert judged("TOTAL", "TOTLE", max_error=0.4).findings == ()
    assert [finding.severity for finding in judged("TOTAL", "CASH", max_severity="minor").findings] == ["minor"]


def test_nothing_is_read_unless_the_rule_set_asks() -> None:
    sample = CheckSample(manifest(), (region("a", "TOTAL"),), region_texts={"a": ReadText("CASH", 1.0)})
    silent = RuleSet(id="r", version=1, text_visual=TextVisualRules())
    assert check_text_visual(sample, silent).findings == ()
    reader = RegionTexts(sample.manifest, sample.annotations, silent)
    reader.look("page", b"no image at all")
    assert reader.given_to(sample) is sample


def test_regions_that_ocr_read_already_or_that_stand_upright_are_left_out() -> None:
    labels = (
        region("a", "TOTAL"),
        region("b", "TOTAL", attributes={"text": "TOTAL", "ocr_text": "TOTAL"}),
        region("c", "TOTAL", box=(10.0, 10.0, 30.0, 90.0)),
        region("d", "1", box=(10.0, 10.0, 20.0, 40.0)),
        region("e", "***"),
        region("f", ""),
    )
    found = regions_to_read(manifest(), labels, TextVisualRules())
    assert [item.label.id for item in found["page"]] == ["a", "d"]


def test_without_a_reader_the_reason_is_told() -> None:
    (reason,) = check_text_visual(CheckSample(manifest(), (region("a", "TOTAL"),)), rules()).not_applicable
    assert reason.streams == ("page",)
    assert reason.reason == "the regions of page were not held against OCR: no reader was given"


def looked(content: bytes, labels: Sequence[Annotation], asked: RuleSet) -> CheckOutcome:
    reader = RegionTexts(manifest(), labels, asked)
    reader.look("page", content)
    return check_text_visual(reader.given_to(CheckSample(manifest(), tuple(labels))), asked)


def test_a_missing_package_is_told_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    monkeypatch.setattr(region_reader, "_reader", TextReader)
    (reason,) = looked(b"", [region("a", "TOTAL")], rules()).not_applicable
    assert "the extra 'ocr'" in reason.reason


def test_a_broken_image_and_too_much_work_are_told() -> None:
    pytest.importorskip("rapidocr", reason="the extra 'ocr' is not installed")
    labels = [region(f"r{number}", "TOTAL") for number in range(3)]
    (broken,) = looked(b"no image", labels, rules()).not_applicable
    assert "can not be decoded" in broken.reason
    (many,) = looked(b"no image", labels, rules(max_regions=2)).not_applicable
    assert "3 regions, and text_visual.ocr.max_regions is 2" in many.reason


def printed(*lines: str) -> bytes:
    """Return a page with a line of print every 60 px."""
    page = Image.new("RGB", (400, 60 * len(lines) + 20), "white")
    draw = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        draw.text((14, 12 + 60 * number), line, fill="black", font=ImageFont.load_default(size=28))
    file = io.BytesIO()
    page.save(file, format="PNG")
    return file.getvalue()


def test_a_page_is_read_and_held_against_its_labels(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr", reason="the extra 'ocr' is not installed")
    (tmp_path / "page.png").write_bytes(printed("GRAND TOTAL", "1,284.50", "THANK YOU"))
    labels: tuple[Annotation, ...] = (
        region("right", "Grand total"),
        region("digit", "1,234.50", 70.0),
        region("other", "SEE YOU SOON", 130.0),
        region("outside", "TOTAL", 900.0),
    )
    report = check_sample(
        ReaderConfig((tmp_path,), 10_000_000, 20.0),
        manifest(labels).model_dump_json(exclude_none=True).encode(),
        TypeAdapter(Annotations).dump_json(labels, exclude_none=True),
        rules().model_dump_json(exclude_none=True).encode(),
    )
    found = [item for item in CheckReport.model_validate_json(report).findings if item.check == "text_visual"]
    assert {finding.annotations for finding in found} == {("digit",), ("other",)}


def test_reading_that_fails_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(region_reader, "read_regions", fails)
    (reason,) = looked(b"", [region("a", "TOTAL")], rules()).not_applicable
    assert reason.reason.endswith("reading failed: RuntimeError: no memory")


def test_another_order_of_labels_changes_nothing() -> None:
    labels = (region("a", "TOTAL"), region("b", "CASH"))
    texts = {"a": ReadText("CHANGE", 0.9), "b": ReadText("CASH", 0.9)}
    one = check_text_visual(CheckSample(manifest(), labels, region_texts=texts), rules())
    other = check_text_visual(replace(CheckSample(manifest(), labels[::-1]), region_texts=texts), rules())
    assert one.findings == other.findings
    assert len(one.findings) == 1

"""OCR in the regions of a picture, for the checks; needs the extra ``ocr``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from infra.pre_label.text_in_images import TextReader, decoded_bgr
from services.alignment.region_ocr import regions_to_read
from services.alignment.region_text import Region
from services.alignment.sample import CheckSample, ReadText
from services.contracts.annotations import Annotation
from services.contracts.manifest import SampleManifest
from services.errors import PreLabelError
from services.rules.rule_set import RuleSet
from services.rules.text_visual import RegionOcrRules

_MARGIN_PX = 2


@lru_cache(maxsize=1)
def _reader() -> TextReader:
    """Return the networks of this process, read once."""
    return TextReader()


def read_regions(
    content: bytes, stream: str, regions: Sequence[Region], rules: RegionOcrRules
) -> Mapping[str, ReadText]:
    """Return what stands in each region of an image, by label id; each is read as one line.

    Args:
        content: The image file.
        stream: Its stream, for messages.
        regions: Boxes in pixels of the image as stored.
        rules: Bounds on the work.

    Raises:
        PreLabelError: The package is not installed, the image can not be decoded, or there is too much to read.
    """
    if len(regions) > rules.max_regions:
        raise PreLabelError(
            f"the image {stream} has {len(regions)} regions, and text_visual.ocr.max_regions is {rules.max_regions}"
        )
    engine = _reader().engine(rules.threads)
    image = decoded_bgr(content, stream, rules.max_pixels)
    height, width = image.shape[:2]
    found: dict[str, ReadText] = {}
    for region in regions:
        left, top = (max(0, int(edge) - _MARGIN_PX) for edge in region.box[:2])
        right, bottom = (int(edge) + 1 + _MARGIN_PX for edge in region.box[2:])
        part = image[top : min(bottom, height), left : min(right, width)]
        if part.size == 0:
            continue  # beside the image; another check's matter
        answer = engine(part, use_det=False, use_cls=False, use_rec=True)
        texts, scores = getattr(answer, "txts", None), getattr(answer, "scores", None)
        if texts and scores:
            found[region.label.id] = ReadText(str(texts[0]), min(1.0, max(0.0, float(scores[0]))))
        else:
            found[region.label.id] = ReadText("", 0.0)
    return found


class RegionTexts:
    """Reads the regions of a sample's images as they pass by, where the rule set asks for it.

    Args:
        manifest: The sample.
        annotations: Its labels.
        rules: The rule set.
    """

    def __init__(self, manifest: SampleManifest, annotations: Sequence[Annotation], rules: RuleSet) -> None:
        section = rules.text_visual
        self._rules = section.ocr if section is not None and section.enabled else None
        self._regions: Mapping[str, list[Region]] = {}
        if section is not None and self._rules is not None:
            self._regions = regions_to_read(manifest, annotations, section)
        self._texts: dict[str, ReadText] = {}
        self._unavailable: dict[str, str] = {}

    def look(self, stream: str, content: bytes) -> None:
        """Read the regions of one image; why that can not be done is kept for the check to tell."""
        if self._rules is None or stream not in self._regions:
            return
        try:
            self._texts.update(read_regions(content, stream, self._regions[stream], self._rules))
        except PreLabelError as error:
            self._unavailable[f"ocr:{stream}"] = error.detail
        except Exception as error:  # a network may raise anything; the other checks go on
            self._unavailable[f"ocr:{stream}"] = f"reading failed: {type(error).__name__}: {str(error)[:200]}"

    def given_to(self, sample: CheckSample) -> CheckSample:
        """Return the sample with what was read."""
        if not self._texts and not self._unavailable:
            return sample
        return replace(sample, region_texts=self._texts, unavailable={**sample.unavailable, **self._unavailable})

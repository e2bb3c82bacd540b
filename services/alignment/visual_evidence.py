"""What is labelled in the pictures of a sample: which things, how many at least and at most, how large."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.base import Scalar
from services.contracts.label_base import BoxPx
from services.contracts.labels_spatial import Cuboid, SpatialTrack
from services.contracts.labels_visual import (
    Box,
    FrameLabel,
    ImageClassification,
    Keypoints,
    Mask,
    Polygon,
    RotatedBox,
    Track,
)
from services.taxonomy.lookup import TaxonomyIndex
from services.taxonomy.taxonomy import AttributeRule
from services.taxonomy.words import folded

Countable = Box | RotatedBox | Polygon | Mask | Keypoints | Track | Cuboid | SpatialTrack
Seen = Countable | ImageClassification | FrameLabel


@dataclass(frozen=True, slots=True)
class Instance:
    """A label as evidence.

    Attributes:
        label: The label.
        classes: The taxonomy's classes that its label may mean.
        area_share: Share of the image that it covers, 0 to 1; 0 where it is not known.
    """

    label: Seen
    classes: tuple[str, ...]
    area_share: float

    @property
    def ignored(self) -> bool:
        """Whether it marks a region where things are deliberately not labelled one by one."""
        return not isinstance(self.label, ImageClassification | FrameLabel | Track | SpatialTrack) and self.label.ignore


def extent_px(label: Annotation) -> BoxPx | None:
    """Return the box around a label in its image, pixels; None where it has none, or has many."""
    if isinstance(label, Box):
        return label.box
    points: Sequence[tuple[float, float]] = ()
    if isinstance(label, Polygon):
        points = label.points_px
    elif isinstance(label, RotatedBox):
        reach = max(label.size_px) / 2
        x, y = label.center_px
        points = ((x - reach, y - reach), (x + reach, y + reach))
    if not points:
        return None
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    return min(xs), min(ys), max(xs), max(ys)


def instances_of(sample: CheckSample, index: TaxonomyIndex, stream: str | None = None) -> tuple[Instance, ...]:
    """Return what is labelled in the pictures, by label id.

    Args:
        sample: The sample.
        index: The taxonomy.
        stream: Only this stream; None for all.
    """
    labels = sorted(
        (label for label in sample.annotations if isinstance(label, Seen) and stream in (None, label.stream)),
        key=lambda label: label.id,
    )
    sizes = _sizes_px(sample, labels)
    return tuple(
        Instance(label, index.classes_of(label.label), _area_share(label, sizes.get(label.stream))) for label in labels
    )


def _sizes_px(sample: CheckSample, labels: Iterable[Annotation]) -> Mapping[str, tuple[float, float]]:
    sizes: dict[str, tuple[float, float]] = {}
    for label in labels:
        box = extent_px(label)
        if box is not None:
            width, height = sizes.get(label.stream, (1.0, 1.0))
            sizes[label.stream] = (max(width, box[2]), max(height, box[3]))
    for stream in sample.manifest.streams:
        known = sample.image_sizes_px.get(stream.id) or stream.image_size_px
        if known is not None:
            sizes[stream.id] = (float(known[0]), float(known[1]))
    return sizes


def _area_share(label: Seen, size_px: tuple[float, float] | None) -> float:
    if isinstance(label, ImageClassification):
        return 1.0
    box = extent_px(label)
    if box is None or size_px is None:
        return 0.0
    width = max(min(box[2], size_px[0]) - max(box[0], 0.0), 0.0)
    height = max(min(box[3], size_px[1]) - max(box[1], 0.0), 0.0)
    return width * height / (size_px[0] * size_px[1])


def count_range(instances: Iterable[Instance]) -> tuple[int, float]:
    """Return (surely, at most) how many different things ``instances`` are.

    Labels with one ``object_id`` are one thing. Without ids, labels of one stream, frame, kind and author are
    different things; those of several may be the same ones. A region to ignore and a class given to a whole image
    may hold any number.
    """
    identified: set[str] = set()
    groups: dict[tuple[str, int | None, str, str], set[str]] = {}
    most = 0.0
    for instance in instances:
        label = instance.label
        if instance.ignored or isinstance(label, ImageClassification | FrameLabel):
            most = float("inf")
            continue
        if label.object_id is not None:
            identified.add(label.object_id)
        key = (label.stream, label.frame, label.type, label.author.id if label.author else "")
        groups.setdefault(key, set()).add(label.object_id or f"label {label.id}")
    unidentified = sum(sum(name.startswith("label ") for name in names) for names in groups.values())
    tracked = any(kind in ("track", "spatial_track") for _, _, kind, _ in groups)
    surely = 0 if tracked else max((len(names) for names in groups.values()), default=0)
    return surely, max(most, len(identified) + unidentified)


def stated(label: Annotation, rule: AttributeRule) -> Scalar | None:
    """Return an attribute of a label as the taxonomy writes the value; None where the label does not state it."""
    for name, value in label.attributes.items():
        if folded(name) != folded(rule.name):
            continue
        if isinstance(value, str):
            for known in rule.values:
                words = (str(known), *(rule.synonyms.get(str(known), ())))
                if folded(value) in {folded(word) for word in words}:
                    return known
        return value
    return None

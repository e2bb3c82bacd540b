"""Known faults of where metadata points, put into recorded photos, products and receipts."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from infra.bench.detection.fault import Injected, LabelFault
from infra.storage.decode import read_facts
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.labels_spatial import (
    DeviceValue,
    FieldValue,
    LocationValue,
    MetadataField,
    SensorValue,
    TextValue,
    TimestampValue,
)
from services.contracts.manifest import Context, SampleManifest, Stream

CHECK = "metadata_source"
_OTHER_DEVICES = (("Canon", "EOS 5D"), ("DJI", "FC220"), ("NIKON", "D90"), ("SONY", "DSC-W80"))


def photos(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield photos as they are: the record repeats the position, the device and, where known, the GPS time."""
    paths = [*sorted((data / "exif_gps").rglob("*.jpg")), *sorted((data / "drone").glob("*.JPG"))]
    for number, path in enumerate(paths):
        content = path.read_bytes()
        photo = Stream(id="photo", modality="image", sensor=f"camera-{number}")
        facts = read_facts(photo, content, sha256=hashlib.sha256(content).hexdigest())
        values: dict[str, FieldValue] = {
            "device": DeviceValue(make=facts.make, model=facts.model),
            "sensor": SensorValue(sensor=f"camera-{number}"),
        }
        if facts.latitude_deg is not None and facts.longitude_deg is not None:
            values["place"] = LocationValue(latitude_deg=facts.latitude_deg, longitude_deg=facts.longitude_deg)
        at = facts.gps_at or (facts.camera_at.replace(tzinfo=UTC) if facts.camera_at is not None else None)
        if at is not None:
            values["captured_at"] = TimestampValue(at=at)
        manifest = SampleManifest(
            format="concord.sample/1",
            sample_id=f"photo-{number}",
            project="bench",
            captured_at=at,
            streams=(photo, Stream(id="record", modality="record")),
        )
        labels = tuple(_field(name, value) for name, value in values.items())
        yield f"photo-{path.stem}", CheckSample(manifest, labels, asset_facts={"photo": facts})


def corrected_photos(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield the photos with the camera's clock set right where it is a day slow."""
    for name, sample in photos(data):
        facts = sample.asset_facts["photo"]
        if facts.camera_at is not None and facts.gps_at is not None:
            facts = replace(facts, camera_at=facts.camera_at + timedelta(days=1))
        yield name, replace(sample, asset_facts={"photo": facts})


def products(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield products: the context, a shop's record and a label name the article."""
    path = data / "grocery_store" / "dataset" / "classes.csv"
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            number, name = int(row["Class ID (int)"]), row["Class Name (str)"]
            manifest = SampleManifest(
                format="concord.sample/1",
                sample_id=f"product-{number}",
                project="bench",
                context=Context(product=f"A-{number:05d}"),
                streams=(
                    Stream(id="photo", modality="image"),
                    Stream(id="record", modality="record", inline={"sku": f"A-{number:05d}", "title": name}),
                ),
            )
            yield f"product-{number}", CheckSample(manifest, (_field("sku", TextValue(text=f"a{number:05d}")),))


def clean_samples(data: Path) -> Iterator[tuple[str, CheckSample]]:
    """Yield photos with a right clock, and products."""
    yield from corrected_photos(data)
    yield from products(data)


def _field(name: str, value: FieldValue) -> MetadataField:
    return MetadataField(id=name, stream="record", label=name, value=value)


def _change(
    name: str, change: Callable[[FieldValue, np.random.Generator], FieldValue]
) -> Callable[[CheckSample, np.random.Generator], Injected | None]:
    """Return an injection that changes one field of the record."""

    def inject(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
        fields = [label for label in sample.annotations if isinstance(label, MetadataField) and label.id == name]
        if not fields:
            return None
        changed = fields[0].model_copy(update={"value": change(fields[0].value, rng)})
        labels: tuple[Annotation, ...] = tuple(changed if label.id == name else label for label in sample.annotations)
        return replace(sample, annotations=labels), frozenset({name})

    return inject


def _other_sensor(value: FieldValue, rng: np.random.Generator) -> FieldValue:
    own = value.sensor if isinstance(value, SensorValue) else ""
    return SensorValue(sensor=f"{own}-{int(rng.integers(1, 9))}")


def _other_subject(value: FieldValue, rng: np.random.Generator) -> FieldValue:
    own = value.text if isinstance(value, TextValue) else ""
    return TextValue(text=f"a{(int(own[1:]) + int(rng.integers(1, 80))) % 100_000:05d}")


def _other_time(value: FieldValue, rng: np.random.Generator) -> FieldValue:
    at = value.at if isinstance(value, TimestampValue) else datetime(2020, 1, 1, tzinfo=UTC)
    days = float(rng.uniform(2, 900)) * (1 if rng.random() < 0.5 else -1)
    return TimestampValue(at=at + timedelta(days=days))


def _other_place(value: FieldValue, rng: np.random.Generator) -> FieldValue:
    if not isinstance(value, LocationValue):
        return value
    shift_deg = float(np.exp(rng.uniform(np.log(0.05), np.log(30.0))))  # 5 km to 3,000 km
    return value.model_copy(update={"latitude_deg": value.latitude_deg - shift_deg})


def _other_device(value: FieldValue, rng: np.random.Generator) -> FieldValue:
    make, model = _OTHER_DEVICES[int(rng.integers(len(_OTHER_DEVICES)))]
    return DeviceValue(make=make, model=model)


def _slow_camera(sample: CheckSample, rng: np.random.Generator) -> Injected | None:
    facts = sample.asset_facts.get("photo")
    if facts is None or facts.camera_at is None or facts.gps_at is None:
        return None
    days = int(rng.integers(1, 400))
    slow = replace(facts, camera_at=facts.camera_at - timedelta(days=days))
    return replace(sample, asset_facts={"photo": slow}), frozenset()


FAULTS: tuple[LabelFault, ...] = (
    LabelFault(CHECK, "wrong_sensor", _change("sensor", _other_sensor)),
    LabelFault(CHECK, "wrong_subject", _change("sku", _other_subject)),
    LabelFault(CHECK, "outside_time_window", _change("captured_at", _other_time), name="a record's time"),
    LabelFault(CHECK, "outside_time_window", _slow_camera, name="a camera's clock, whole days"),
    LabelFault(CHECK, "outside_area", _change("place", _other_place)),
    LabelFault(CHECK, "device_mismatch", _change("device", _other_device)),
)

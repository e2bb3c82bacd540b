"""Damaged label files of every format: read with listed losses, or refused by a sentence that names file and place."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.storage.found import BadFile, FoundSample
from infra.storage.manifest_files import find_samples
from services.contracts.manifest import LabelFormat
from services.errors import ConcordError
from services.formats.bare import NEEDS_CALIBRATION
from services.formats.importers import decoded
from services.formats.kitti import parse_calibration
from services.formats.label_file import import_label_file
from services.formats.nuscenes import read_nuscenes
from services.formats.result import ImportResult
from tests.format_documents import DOCUMENTS, MANIFEST, NUSCENES, label_file
from tests.mutations import damaged, damaged_json, examples
from tests.unit.test_kitti import CALIBRATION

FORMS = sorted(DOCUMENTS)


def damaged_document(form: str) -> st.SearchStrategy[bytes]:
    ways = [damaged_json(data) if data[:1] in b"[{" else damaged(data) for data in DOCUMENTS[form]]
    return st.one_of(ways)


def assert_whole(result: ImportResult) -> None:
    """Nothing that was read is half a label, and each loss says where, what and why."""
    assert len({label.id for label in result.annotations}) == len(result.annotations)
    for lost in result.dropped:
        assert lost.place
        assert lost.why


def assert_told(error: ConcordError, name: str = "") -> None:
    """The sentence is one that a person can act on: it names the file, fits on a screen and is no repr of a bug."""
    assert name in error.detail
    assert 20 < len(error.detail) < 2_000
    assert not any(mark in error.detail for mark in ("Traceback", "object at 0x", "NoneType", "<class "))


def test_every_format_has_documents_here() -> None:
    assert set(DOCUMENTS) == set(get_args(LabelFormat))


@pytest.mark.parametrize("form", FORMS)
def test_a_whole_document_is_read(form: str) -> None:
    for data in DOCUMENTS[form]:
        result = import_label_file(label_file(form), MANIFEST, data)
        assert result.annotations
        assert_whole(result)


@pytest.mark.parametrize("form", FORMS)
@examples(30)
@given(data=st.data())
def test_a_damaged_label_file_of_a_manifest_is_read_or_refused(form: str, data: st.DataObject) -> None:
    document = data.draw(damaged_document(form))
    role = data.draw(st.sampled_from(["annotation", "prediction"]))
    frames = data.draw(st.sampled_from([None, None, (0, 1), (3, 2)]))
    file = label_file(form, role=role, frames=frames)
    try:
        result = import_label_file(file, MANIFEST, document)
    except ConcordError as error:
        assert_told(error)
        return
    assert_whole(result)


@pytest.mark.parametrize("form", sorted(set(FORMS) - NEEDS_CALIBRATION))
@examples(20)
@given(data=st.data())
def test_a_damaged_label_document_is_samples_or_refused_with_its_name(
    form: str, data: st.DataObject, tmp_path: Path
) -> None:
    path = tmp_path / label_file(form).uri
    path.write_bytes(data.draw(damaged_document(form)))
    try:
        found = list(find_samples(path, project="p"))
    except ConcordError as error:
        assert_told(error, path.name)
        return
    assert found
    for item in found:
        if isinstance(item, BadFile):
            assert_told(item.error, path.name)
        else:
            assert isinstance(item, FoundSample)


@examples(40)
@given(st.sampled_from(sorted(NUSCENES)), st.booleans(), st.data())
def test_a_damaged_table_of_nuscenes_is_read_or_refused_with_its_name(
    table: str, still: bool, data: st.DataObject
) -> None:
    tables = {**NUSCENES, table: data.draw(damaged_json(NUSCENES[table]))}
    try:
        scenes = read_nuscenes(tables, still=still)
    except ConcordError as error:
        assert_told(error)
        return
    for scene in scenes:
        assert_whole(scene.result)


@examples(30)
@given(damaged(CALIBRATION.encode()))
def test_a_damaged_kitti_calibration_is_read_or_refused_with_its_name(data: bytes) -> None:
    try:
        calibration = parse_calibration(decoded(data, "calib.txt"), source="calib.txt")
        calibration.calibration(to="lidar")
    except ConcordError as error:
        assert_told(error, "calib.txt")

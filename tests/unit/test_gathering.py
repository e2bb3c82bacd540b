"""Label files of one sample, read together."""

from __future__ import annotations

import json
from typing import Any

from services.contracts.annotations import Annotation
from services.contracts.labels_language import Relation
from services.contracts.manifest import SampleManifest
from services.lifecycle.gathering import gather_sample
from services.ports.assets import AssetBytes


class Files:
    """An asset reader of a few documents."""

    def __init__(self, **documents: list[dict[str, Any]]) -> None:
        self._documents = documents

    async def check(self, uri: str, *, sha256: str | None) -> int:
        raise AssertionError(f"nobody may ask for {uri}")

    async def read(self, uri: str, *, sha256: str | None) -> AssetBytes:
        data = json.dumps(self._documents[uri]).encode()
        return AssetBytes(data, "0" * 64, len(data))


def span(name: str, start: int, label: str = "word") -> dict[str, Any]:
    value = {"start": start, "end": start + 2, "text": "ab", "labels": [label]}
    return {"id": name, "type": "labels", "from_name": "n", "to_name": "text", "value": value}


def task(*results: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"id": 1, "data": {"text": "ab cd ef"}, "annotations": [{"id": 1, "result": list(results)}]}]


async def read_together(**documents: list[dict[str, Any]]) -> tuple[Annotation, ...]:
    manifest = SampleManifest.model_validate(
        {
            "format": "concord.sample/1",
            "sample_id": "s",
            "project": "p",
            "streams": [{"id": "text", "modality": "text", "inline": "ab cd ef"}],
            "annotations": [{"id": "r1-2", "type": "intent", "stream": "text", "label": "greeting"}],
            "label_files": [{"format": "label_studio", "uri": name, "stream": "text"} for name in documents],
        }
    )
    gathered = await gather_sample(manifest, Files(**documents), (), lambda _: ())
    assert gathered.failures == ()
    return gathered.labels


async def test_labels_of_several_files_with_one_id_are_all_kept_and_relations_lead_to_those_of_their_file() -> None:
    leads = {"from_id": "r1", "to_id": "r2", "type": "relation", "direction": "right", "labels": ["of"]}
    labels = await read_together(
        first=task(span("r1", 0), span("r2", 3)), second=task(span("r1", 6), span("r2", 3, "name"), leads)
    )
    # The manifest has the id r1-2 already.
    assert [label.id for label in labels] == ["r1", "r2", "r1-to-r2", "r1-3", "r2-2"]
    relation = labels[2]
    assert isinstance(relation, Relation)
    assert (relation.from_id, relation.to_id) == ("r1-3", "r2-2")


async def test_a_label_that_is_in_two_files_alike_is_kept_once() -> None:
    labels = await read_together(first=task(span("r1", 0)), second=task(span("r1", 0), span("r2", 3)))
    assert [label.id for label in labels] == ["r1", "r2"]

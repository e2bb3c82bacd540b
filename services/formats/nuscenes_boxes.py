"""Boxes on images as nuScenes' devkit exports them: one JSON array, ``image_annotations``, read as a label file.

The other tables say nothing without each other, so they are read as a folder (:mod:`services.formats.nuscenes`). Here
the array stands alone: attributes are tokens of a table that is not there and are listed; visibility has the tokens 1
to 4 of the data set.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import PurePosixPath

from services.contracts.label_base import Author
from services.formats.json_rows import iter_rows
from services.formats.nuscenes import AUTHOR, box_fields, named, occlusion_of
from services.formats.result import ImportResult, Intake
from services.formats.tree import Node

LEVELS = {"1": "v0-40", "2": "v40-60", "3": "v60-80", "4": "v80-100"}
"""Levels of visibility by the tokens that nuScenes gives them."""

_LINKS = frozenset({"prev", "next", "sample_data_token", "sample_annotation_token", "instance_token", "filename",
                    "category_name", "bbox_corners", "visibility_token", "num_radar_pts"})  # fmt: skip


def image_names(data: bytes, *, source: str = "image_annotations.json") -> tuple[str, ...]:
    """Return the files that have boxes, each once, in the document's order.

    Raises:
        MalformedJsonError, InvalidInputError: It can not be read, or is another table; names record and member.
    """
    return tuple(dict.fromkeys(node["filename"].text() for node in _rows(data, source)))


def read_image_annotations(
    data: bytes,
    *,
    stream: str,
    image: str | None = None,
    frames: tuple[int, int] | None = None,
    author: Author | None = None,
    source: str = "image_annotations.json",
) -> ImportResult:
    """Read boxes of one image, or of a series of images.

    Args:
        data: The document.
        stream: The camera that the boxes belong to.
        image: File name of the one image to read; its folder may differ. All images, in their order, where None.
        frames: (first, last) image to read, inclusive; ``first`` becomes frame 0.
        author: Who made the boxes; an importer of this format by default.
        source: How errors name the document.

    Raises:
        MalformedJsonError, InvalidInputError: It can not be read, or is another table; names record and member.
    """
    intake = Intake()
    order = {name: index for index, name in enumerate(image_names(data, source=source))}
    first, last = frames or (0, len(order))
    for node in _rows(data, source):
        name = node["filename"].text()
        if image is not None and PurePosixPath(name).name != PurePosixPath(image).name:
            continue
        if image is None and not first <= order[name] <= last:
            continue
        level = _level(node, intake)
        points = node.get("num_radar_pts")
        attributes = {"visibility": level, "num_radar_pts": None if points is None else points.whole()}
        for key, value in node.mapping().items():
            if key not in _LINKS and value not in ([], None):
                intake.drop_often(source, key, "it belongs to a table that is not in this document")
        intake.add(
            node.at,
            "image_annotation",
            {
                **box_fields(node),
                "id": f"{named(node, 'sample_annotation_token')}-{named(node, 'sample_data_token')}"[:200],
                "stream": stream,
                "frame": 0 if image is not None else order[name] - first,
                "object_id": named(node, "instance_token"),
                "occlusion": occlusion_of(level),
                "attributes": {key: value for key, value in attributes.items() if value is not None},
                "author": author or AUTHOR,
            },
        )
    return intake.result()


def _level(node: Node, intake: Intake) -> str | None:
    token = node.get("visibility_token")
    if token is None or not token.word():
        return None
    if token.word() not in LEVELS:
        intake.drop_often(node.source, "visibility_token", "its level is in a table that is not in this document")
    return LEVELS.get(token.word())


def _rows(data: bytes, source: str) -> Iterator[Node]:
    for row in iter_rows(BytesIO(data), source):
        if "bbox_corners" not in row.node.mapping():
            raise row.node.bad(
                "has no bbox_corners: of nuScenes' tables only image_annotations is read as a label file; "
                "give the folder of all tables to read the others"
            )
        yield row.node

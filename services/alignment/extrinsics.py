"""Find the transform between two streams through the coordinate frames that the manifest ties together."""

from __future__ import annotations

from collections import deque

import numpy as np

from services.alignment.geometry import Floats, invert_rigid, nearest_rotation
from services.contracts.manifest import SampleManifest


def transform_between(manifest: SampleManifest, *, dst_stream: str, src_stream: str) -> Floats | None:
    """Return ``dst_from_src``, shape (4, 4), or None where the manifest does not tie the two streams.

    Every stream's extrinsics are an edge from its frame to the one named by ``to``, which is a coordinate frame or
    the id of a stream; edges are walked both ways, along the fewest edges, the first stream's first.
    """
    named = {stream.coordinate_frame for stream in manifest.streams if stream.coordinate_frame}
    frames = {stream.id: stream.coordinate_frame or stream.id for stream in manifest.streams}
    edges: dict[str, list[tuple[str, Floats]]] = {}
    for stream in sorted(manifest.streams, key=lambda s: (s.id not in (dst_stream, src_stream), s.id)):
        if stream.calibration is None or stream.calibration.extrinsics is None:
            continue
        extrinsics = stream.calibration.extrinsics
        here = frames[stream.id]
        there = extrinsics.to if extrinsics.to in named else frames.get(extrinsics.to, extrinsics.to)
        there_from_here = np.array(extrinsics.matrix, dtype=np.float64)
        there_from_here[:3, :3] = nearest_rotation(there_from_here[:3, :3])
        edges.setdefault(here, []).append((there, there_from_here))
        edges.setdefault(there, []).append((here, invert_rigid(there_from_here)))
    source, target = frames[src_stream], frames[dst_stream]
    reached: dict[str, Floats] = {source: np.eye(4)}
    waiting = deque([source])
    while waiting and target not in reached:
        name = waiting.popleft()
        for neighbour, neighbour_from_name in edges.get(name, ()):
            if neighbour not in reached:
                reached[neighbour] = neighbour_from_name @ reached[name]
                waiting.append(neighbour)
    return reached.get(target)

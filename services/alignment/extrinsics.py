"""Transforms between streams through the coordinate frames that the manifest ties together, and where they conflict.

Every stream's extrinsics are an edge from its frame to the one named by ``to``, which is a coordinate frame or the id
of a stream. Where edges close a loop, going round it must lead back to the beginning: what is left is the loop closure
error of pose graphs (R. Kümmerle et al., *g2o: A general framework for graph optimization*, ICRA 2011).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from services.alignment.geometry import Floats, invert_rigid, nearest_rotation
from services.contracts.manifest import SampleManifest


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """One stream's extrinsics.

    Attributes:
        stream: Whose they are.
        here: The stream's frame.
        there: The frame they lead to.
        there_from_here: Shape (4, 4), metres.
    """

    stream: str
    here: str
    there: str
    there_from_here: Floats


@dataclass(frozen=True, slots=True)
class Conflict:
    """Extrinsics that close a loop and do not lead back to where it began.

    Attributes:
        stream: Whose extrinsics close the loop.
        others: Whose extrinsics are the rest of it, in order; empty where a frame is tied to itself.
        frames: The (from, to) frames that the two ways join.
        gap_m: How far apart the two ways put the origin of the first frame, metres.
        gap_deg: How far they are turned against each other, degrees.
    """

    stream: str
    others: tuple[str, ...]
    frames: tuple[str, str]
    gap_m: float
    gap_deg: float


def transform_between(manifest: SampleManifest, *, dst_stream: str, src_stream: str) -> Floats | None:
    """Return ``dst_from_src``, shape (4, 4), or None where the manifest does not tie the two streams.

    Edges are walked both ways, along the fewest edges, the first stream's first.
    """
    frames = _frames(manifest)
    edges = _edges(manifest, first=(dst_stream, src_stream))
    reached = {name: pose for name, pose, _ in _walk(edges, frames[src_stream])}
    return reached.get(frames[dst_stream])


def conflicts(manifest: SampleManifest) -> Iterator[Conflict]:
    """Yield every stream whose extrinsics close a loop, with how far the loop is from closing."""
    edges = _edges(manifest)
    seen: set[str] = set()
    for root in dict.fromkeys(name for edge in edges for name in (edge.here, edge.there)):
        if root in seen:
            continue
        tree = {name: (invert_rigid(pose), used) for name, pose, used in _walk(edges, root)}
        seen.update(tree)
        kept = {edge for _, used in tree.values() for edge in used}
        for edge in edges:
            if edge.here not in tree or edge in kept:
                continue
            (root_from_here, to_here), (root_from_there, to_there) = tree[edge.here], tree[edge.there]
            round_trip = invert_rigid(root_from_here) @ root_from_there @ edge.there_from_here
            ways = [step.stream for step in (*to_here, *to_there) if (step in to_here) != (step in to_there)]
            cosine = np.clip((np.trace(round_trip[:3, :3]) - 1.0) / 2.0, -1.0, 1.0)
            yield Conflict(
                stream=edge.stream,
                others=tuple(dict.fromkeys(name for name in ways if name != edge.stream)),
                frames=(edge.here, edge.there),
                gap_m=float(np.linalg.norm(round_trip[:3, 3])),
                gap_deg=float(np.degrees(np.arccos(cosine))),
            )


def _frames(manifest: SampleManifest) -> dict[str, str]:
    return {stream.id: stream.coordinate_frame or stream.id for stream in manifest.streams}


def _edges(manifest: SampleManifest, first: tuple[str, ...] = ()) -> list[Edge]:
    """Return the extrinsics by stream, the ``first`` streams' first."""
    frames = _frames(manifest)
    named = {stream.coordinate_frame for stream in manifest.streams if stream.coordinate_frame}
    edges: list[Edge] = []
    for stream in sorted(manifest.streams, key=lambda s: (s.id not in first, s.id)):
        if stream.calibration is None or stream.calibration.extrinsics is None:
            continue
        extrinsics = stream.calibration.extrinsics
        there = extrinsics.to if extrinsics.to in named else frames.get(extrinsics.to, extrinsics.to)
        there_from_here = np.array(extrinsics.matrix, dtype=np.float64)
        there_from_here[:3, :3] = nearest_rotation(there_from_here[:3, :3])
        edges.append(Edge(stream.id, frames[stream.id], there, there_from_here))
    return edges


def _walk(edges: list[Edge], source: str) -> Iterator[tuple[str, Floats, tuple[Edge, ...]]]:
    """Yield each frame that edges lead to, with ``frame_from_source`` and the edges walked; the fewest edges first."""
    leaving: dict[str, list[tuple[str, Floats, Edge]]] = {}
    for edge in edges:
        leaving.setdefault(edge.here, []).append((edge.there, edge.there_from_here, edge))
        leaving.setdefault(edge.there, []).append((edge.here, invert_rigid(edge.there_from_here), edge))
    reached = {source}
    waiting: deque[tuple[str, Floats, tuple[Edge, ...]]] = deque([(source, np.eye(4), ())])
    while waiting:
        name, name_from_source, used = waiting.popleft()
        yield name, name_from_source, used
        for neighbour, neighbour_from_name, edge in leaving.get(name, ()):
            if neighbour not in reached:
                reached.add(neighbour)
                waiting.append((neighbour, neighbour_from_name @ name_from_source, (*used, edge)))

"""motmetrics: frames into a ``MOTAccumulator``, and the measures of CLEAR MOT and identity from its events."""

from __future__ import annotations

import sys

import motmetrics
import numpy as np

from infra.bench.beside.serve import Arrays, Done, Work, serve

_MEASURES = ("num_switches", "mota", "motp", "idf1")


def identity(arrays: Arrays) -> Work:
    """Return the work: switches of the labels against the truth."""
    last = int(max(arrays["truth_frames"].max(), arrays["label_frames"].max()))
    edges = np.arange(last + 2)
    begins = {name: np.searchsorted(arrays[f"{name}_frames"], edges) for name in ("truth", "label")}

    def work() -> Done:
        sized = {
            name: np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
            for name in ("truth", "label")
            for boxes in (arrays[f"{name}_px"],)
        }
        events = motmetrics.MOTAccumulator()
        for frame in range(last + 1):
            truth, label = (slice(begins[name][frame], begins[name][frame + 1]) for name in ("truth", "label"))
            apart = motmetrics.distances.iou_matrix(sized["truth"][truth], sized["label"][label], max_iou=0.5)
            events.update(arrays["truth_ids"][truth], arrays["label_ids"][label], apart, frameid=frame)
        measured = motmetrics.metrics.create().compute(events, metrics=_MEASURES, name="all")
        return {"switches": np.array(int(measured["num_switches"].iloc[0]))}

    return work


if __name__ == "__main__":
    # Nothing is returned but the number; what a whole check does has the same measure beside it.
    serve({"identity": identity, "identity_check": identity}, ("numpy", "pandas", "motmetrics"), sys.argv[1:])

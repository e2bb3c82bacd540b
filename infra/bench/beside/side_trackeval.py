"""TrackEval: similarities frame by frame, then ``CLEAR`` and ``Identity`` over the sequence."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from trackeval.datasets._base_dataset import _BaseDataset
from trackeval.metrics import CLEAR, Identity

from infra.bench.beside.serve import Arrays, Done, Work, serve


def identity(arrays: Arrays) -> Work:
    """Return the work: switches of the labels against the truth."""
    last = int(max(arrays["truth_frames"].max(), arrays["label_frames"].max()))
    silent = {"PRINT_CONFIG": False, "THRESHOLD": 0.5}

    def work() -> Done:
        truth, label = _by_frame(arrays, "truth", last), _by_frame(arrays, "label", last)
        data = {
            "gt_ids": truth["ids"],
            "tracker_ids": label["ids"],
            "similarity_scores": [
                _BaseDataset._calculate_box_ious(one, other, box_format="x0y0x1y1")  # noqa: SLF001 - what its data sets call
                for one, other in zip(truth["boxes"], label["boxes"], strict=True)
            ],
            "num_gt_ids": truth["count"],
            "num_tracker_ids": label["count"],
            "num_gt_dets": len(arrays["truth_ids"]),
            "num_tracker_dets": len(arrays["label_ids"]),
            "num_timesteps": last + 1,
        }
        clear = CLEAR(silent).eval_sequence(data)
        Identity(silent).eval_sequence(data)
        return {"switches": np.array(int(clear["IDSW"]))}

    return work


def _by_frame(arrays: Arrays, name: str, last: int) -> dict[str, Any]:
    names, numbers = np.unique(arrays[f"{name}_ids"], return_inverse=True)
    cuts: NDArray[np.intp] = np.searchsorted(arrays[f"{name}_frames"], np.arange(1, last + 1))
    boxes = np.split(arrays[f"{name}_px"], cuts)
    return {"ids": np.split(numbers, cuts), "boxes": boxes, "count": len(names)}


if __name__ == "__main__":
    serve({"identity": identity, "identity_check": identity}, ("numpy", "trackeval"), sys.argv[1:])

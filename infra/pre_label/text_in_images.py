"""Which text stands where in an image, by RapidOCR; needs the extra ``ocr``.

The networks come with the package; their runtime is given a fixed number of threads, since it would take every core.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from infra.pre_label.local_model import LocalPreLabeler, ModelThread, require
from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_visual import Box, Polygon
from services.contracts.pre_label import TextInImages
from services.errors import PreLabelError


class TextReader:
    """The networks, read into memory once for all samples.

    Attributes:
        thread: Where they work.
    """

    def __init__(self) -> None:
        self.thread = ModelThread("text")
        self._engines: dict[int, Any] = {}

    def engine(self, threads: int) -> Any:
        """Return the engine that uses so many threads; called in the model's thread only.

        Raises:
            PreLabelError: A package is not installed.
        """
        if threads not in self._engines:
            module = require("rapidocr", "ocr")
            require("onnxruntime", "ocr")
            self._engines[threads] = module.RapidOCR(
                params={
                    "Global.log_level": "error",
                    "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                }
            )
        return self._engines[threads]


class TextInImagesPreLabeler(LocalPreLabeler):
    """Marks lines of text in the image streams of a sample, each with the text in ``attributes["text"]``.

    Coordinates are pixels of the image as stored: a rotation by EXIF is not applied.

    Args:
        config: The source.
        reader: The networks.
    """

    def __init__(self, config: TextInImages, reader: TextReader) -> None:
        super().__init__(config, reader.thread, distribution="rapidocr", modality="image")
        self._config = config
        self._reader = reader

    def _label(self, stream: str, content: bytes) -> list[Annotation]:
        image = decoded_bgr(content, stream, self._config.max_pixels)
        answer = self._reader.engine(self._config.threads)(image)
        boxes, texts, scores = (getattr(answer, key, None) for key in ("boxes", "txts", "scores"))
        if boxes is None or texts is None or scores is None:
            return []
        author = Author(kind="model", id=self.name, version=self.version)
        labels: list[Annotation] = []
        for corners, text, score in zip(boxes, texts, scores, strict=True):
            if float(score) < self._config.min_confidence or not str(text).strip():
                continue
            points = np.asarray(corners, dtype=np.float64)
            common: dict[str, Any] = {
                "id": f"{self.name}-{stream}-{len(labels)}"[:200],
                "stream": stream,
                "label": self._config.label,
                "confidence": min(1.0, max(0.0, float(score))),
                "author": author,
                "attributes": {"text": str(text).replace("\x00", "")[:2_000]},
            }
            try:
                labels.append(_shaped(self._config.shape, points, common))
            except ValidationError:
                continue  # a line without area
        return labels


def _shaped(shape: str, points_px: NDArray[np.float64], common: dict[str, Any]) -> Annotation:
    if shape == "polygon":
        return Polygon(points_px=tuple((float(x), float(y)) for x, y in points_px), **common)
    (x_min, y_min), (x_max, y_max) = points_px.min(axis=0), points_px.max(axis=0)
    return Box(box=(float(x_min), float(y_min), float(x_max), float(y_max)), **common)


def decoded_bgr(content: bytes, stream: str, max_pixels: int) -> NDArray[np.uint8]:
    """Return an image as RapidOCR takes it: shape (h, w, 3), blue first; a rotation by EXIF is not applied.

    Raises:
        PreLabelError: It can not be decoded, or is larger than ``max_pixels``.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > max_pixels:
                raise PreLabelError(
                    f"The image {stream} has {image.width} x {image.height} pixels; {max_pixels} are decoded"
                )
            # RapidOCR takes an array for BGR, as OpenCV would have read it.
            return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
    except (OSError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PreLabelError(f"The image {stream} can not be decoded: {str(error)[:200]}") from None

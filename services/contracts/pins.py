"""Where in a sample something is: a stream, a frame, a stretch of time, a region, a label."""

from __future__ import annotations

from pydantic import Field, model_validator

from services.contracts.base import Contract, FrameIndex, Identifier, Number, Seconds


class Pin(Contract):
    """A place in a sample; what is left out is not said."""

    stream: Identifier | None = None
    frame: FrameIndex | None = None
    interval_s: tuple[Seconds, Seconds] | None = Field(default=None, description="[start, end] on the stream's clock.")
    box: tuple[Number, Number, Number, Number] | None = Field(
        default=None, description="[x_min, y_min, x_max, y_max] in pixels of the stream."
    )
    annotation: Identifier | None = Field(default=None, description="Id of a label.")

    @model_validator(mode="after")
    def _says_something(self) -> Pin:
        if self.stream is None and self.annotation is None:
            raise ValueError("a pin names a stream or an annotation")
        if self.stream is None and not (self.frame is None and self.interval_s is None and self.box is None):
            raise ValueError("frame, interval_s and box belong to a stream; name it")
        if self.interval_s is not None and self.interval_s[1] < self.interval_s[0]:
            raise ValueError("interval_s must not end before it starts")
        if self.box is not None and (self.box[2] <= self.box[0] or self.box[3] <= self.box[1]):
            raise ValueError("box must have an area: x_max > x_min and y_max > y_min")
        return self

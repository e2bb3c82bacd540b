"""The ground all contract models stand on: frozen, bounded, nothing extra, every number finite."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints


def _refuse_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain the NUL character U+0000; remove it")
    return value


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time between the years 1 and 9999 in UTC") from None


class Contract(BaseModel):
    """Base of every model that crosses a border of the product."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True, ser_json_inf_nan="constants"
    )


Identifier = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@+-]*$")]
"""An id that is safe in a URL path, a NATS subject token after encoding, and a log line."""

Tier = Annotated[str, StringConstraints(min_length=1, max_length=30, pattern=r"^[a-z0-9][a-z0-9_-]*$")]
"""A tier of people who decide, as the ending of its queues' names."""

ProjectId = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Text = Annotated[str, StringConstraints(max_length=2_000), AfterValidator(_refuse_nul)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_refuse_nul)]
LongText = Annotated[str, StringConstraints(max_length=100_000), AfterValidator(_refuse_nul)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
UtcDatetime = Annotated[AwareDatetime, AfterValidator(_to_utc)]

Number = Annotated[float, Field(ge=-1e12, le=1e12)]
"""A finite number in a range in which double precision is exact enough for every unit used here."""

Positive = Annotated[float, Field(gt=0, le=1e12)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=-1e9, le=1e10)]
Version = Annotated[int, Field(ge=1, le=2_147_483_647)]
"""A count from 1 that the store keeps in 32 bits."""

FrameIndex = Annotated[int, Field(ge=0, le=100_000_000)]

Scalar = Annotated[bool, Field(strict=True)] | Annotated[int, Field(ge=-(2**53), le=2**53)] | Number | Text
Attributes = Annotated[dict[Name, Scalar], Field(max_length=200)]

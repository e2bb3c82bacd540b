"""How far a long piece of work is."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from services.contracts.base import Contract, Name


class Progress(Contract):
    """How far work is in its phase. What comes while it runs is done too, so that ``total`` may grow."""

    phase: Name = Field(description="What is being done, such as records.")
    done: Annotated[int, Field(ge=0)]
    total: Annotated[int, Field(ge=0)]

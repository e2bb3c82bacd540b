"""What the ``context_gate`` check requires before ground truth may be committed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.base import Contract, Name
from services.contracts.findings import Severity

ContextField = Annotated[str, Field(pattern=r"^(region|product|risk|policy|attributes\.[A-Za-z0-9_.-]{1,100})$")]


class ContextGateRules(Contract):
    """Required context, and which values are allowed.

    ``allowed`` maps a field to the values it may have; a field that is not listed may have any.
    """

    enabled: bool = True
    required: Annotated[tuple[ContextField, ...], Field(max_length=100)] = ()
    allowed: Annotated[dict[ContextField, tuple[Name, ...]], Field(max_length=100)] = Field(default_factory=dict)
    policy_statuses: tuple[Literal["draft", "approved", "retired", "rejected"], ...] = ("approved",)
    severity: Severity = "critical"

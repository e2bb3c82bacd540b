"""When the ``answer_agreement`` check says that several people's answers do not settle on a label."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.base import Contract, Fraction
from services.contracts.findings import Severity

ANSWER_AGREEMENT = "answer_agreement"

AnswerAgreementKind = Literal[
    "disputed_presence", "disputed_class", "disputed_value", "disputed_geometry", "disputed_interval", "disputed_text"
]


class AnswerAgreementRules(Contract):
    """How grave it is that people do not agree; from when on they do not is in the section ``consensus``."""

    enabled: bool = True
    critical_below: Fraction = Field(
        default=0.0, description="Agreement on a label below which a dispute about it is critical."
    )
    minor_from: Fraction = Field(
        default=1.0, description="Agreement on a label from which on a dispute about it is minor; major in between."
    )
    severities: Annotated[dict[AnswerAgreementKind, Severity], Field(max_length=50)] = Field(
        default_factory=dict, description="Severity by kind, where it does not hang on the agreement."
    )

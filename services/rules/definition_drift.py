"""When the ``definition_drift`` check says that two teams do not mean the same."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.base import Contract, Fraction, Name
from services.contracts.findings import Severity
from services.taxonomy.changes import LabelKind, VersionCrosswalk

DefinitionDriftKind = Literal[
    "taxonomy_version_mix", "class_confusion", "boundary_bias", "usage_shift", "agreement_low"
]  # fmt: skip


class DefinitionDriftRules(Contract):
    """Thresholds over a dataset. Every one of them is met by the near end of an interval, not by the estimate.

    The default alpha of 0.667 is the lowest at which Krippendorff allows tentative conclusions (*Content Analysis*,
    2004, p. 241). The other sizes are what changes a trained model or a count: a box side off by 3 %, one label in ten
    of a class called otherwise.
    """

    enabled: bool = True
    group_by: Literal["team", "author"] = Field(
        default="team", description="Whose definitions are compared; an author without a team is a team of one."
    )
    exempt_author_kinds: tuple[Literal["human", "model", "tool", "importer", "consensus"], ...] = Field(
        default=("consensus",), description="Authors that are no party: a consensus is made of the others' labels."
    )
    exempt_label_kinds: tuple[LabelKind, ...] = ("metadata_field", "relation", "summary")
    exempt_labels: Annotated[tuple[Name, ...], Field(max_length=1_000)] = ("DontCare",)
    crosswalks: Annotated[tuple[VersionCrosswalk, ...], Field(max_length=100)] = Field(
        default=(), description="Steps between taxonomy versions, to fix a mix and to explain a confusion by it."
    )
    match_min_overlap: Fraction = Field(
        default=0.5, description="IoU, in the image or in time, at which two teams' labels are of one thing."
    )
    max_truncation: Fraction = Field(default=0.0, description="More truncated labels tell no boundary.")
    max_occlusion: Annotated[int, Field(ge=0, le=3)] = Field(
        default=0, description="More occluded labels tell no boundary."
    )
    min_units: Annotated[int, Field(ge=5, le=1_000_000)] = Field(
        default=20, description="Things both teams labelled, for a coefficient or a bias."
    )
    min_clusters: Annotated[int, Field(ge=5, le=100_000)] = Field(
        default=8, description="Independent objects or samples behind an interval."
    )
    confidence: Annotated[float, Field(ge=0.8, le=0.9999)] = Field(
        default=0.99, description="Coverage of the intervals, for all comparisons of a dataset together at most."
    )
    resamples: Annotated[int, Field(ge=200, le=20_000)] = 1_000
    min_alpha: Fraction = Field(default=0.667, description="Krippendorff's alpha below it is agreement_low.")
    min_confusions: Annotated[int, Field(ge=3, le=1_000_000)] = Field(
        default=8, description="Labels that one team calls otherwise; fewer can not show a direction (2⁻⁷ < 0.01)."
    )
    min_confusion_share: Fraction = Field(
        default=0.1, description="Least share of a team's labels of a class that the other calls by another one."
    )
    min_mutual_share: Fraction = Field(
        default=0.25,
        description="Least share where the two teams swap the classes both ways, as people do who are unsure.",
    )
    min_bias_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.02, description="Least bias of a box's side, as a share of that side."
    )
    min_bias_px: Annotated[float, Field(ge=0, le=1_000)] = Field(
        default=1.0, description="Least bias of a box's side, pixels."
    )
    min_bias_s: Annotated[float, Field(gt=0, le=100)] = Field(
        default=0.1, description="Least bias of a beginning, an end or a duration, seconds."
    )
    min_usage_samples: Annotated[int, Field(ge=5, le=1_000_000)] = Field(
        default=12, description="Samples of each team, for its use of the classes."
    )
    min_usage_share: Fraction = Field(default=0.1, description="Least difference between two teams' shares of a class.")
    severities: Annotated[dict[DefinitionDriftKind, Severity], Field(max_length=50)] = Field(
        default_factory=dict, description="Severity by kind where it differs from the default."
    )
    cluster_attribute: Name | None = Field(
        default=None, description="Context attribute that names what belongs together, such as a recording or a drive."
    )

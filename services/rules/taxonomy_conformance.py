"""What the ``taxonomy_conformance`` check holds labels to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.base import Contract, Fraction, Name
from services.contracts.findings import Severity
from services.rules.meaning import MeaningRules
from services.taxonomy.changes import NOT_CLASSES, LabelKind, VersionCrosswalk
from services.taxonomy.taxonomy import Taxonomy

TaxonomyConformanceKind = Literal[
    "unknown_class", "not_canonical", "deprecated_class", "wrong_modality", "wrong_label_kind", "missing_attribute",
    "wrong_attribute", "unknown_attribute", "crosswalk_available", "crosswalk_ambiguous", "unknown_version",
]  # fmt: skip


class TaxonomyConformanceRules(Contract):
    """The taxonomy, the ways into it from other versions, and what is exempt.

    Without a taxonomy the check is not applicable.
    """

    enabled: bool = True
    taxonomy: Taxonomy | None = None
    crosswalks: Annotated[tuple[VersionCrosswalk, ...], Field(max_length=100)] = Field(
        default=(), description="Steps from other versions; they are chained. The taxonomy's own crosswalks count too."
    )
    exempt_label_kinds: tuple[LabelKind, ...] = Field(
        default=NOT_CLASSES,
        description="Label kinds whose label is no class of the taxonomy: a fixed word, a person, a field's name.",
    )
    exempt_labels: Annotated[tuple[Name, ...], Field(max_length=1_000)] = Field(
        default=("DontCare",), description="Labels that mark regions left out on purpose."
    )
    require_version: bool = Field(
        default=False, description="Whether a label without taxonomy_version is an unknown_version."
    )
    report_unknown_attributes: bool = Field(
        default=False, description="Whether attributes that the taxonomy does not name are findings."
    )
    min_spelling_similarity: Fraction = Field(
        default=0.82,
        description="Least similarity (normalised Damerau-Levenshtein) at which an unknown class is taken for a "
        "misspelt one; the second best must be clearly worse.",
    )
    meaning: MeaningRules | None = Field(
        default=None,
        description="Asks “did you mean” where an unknown class means a known one; nothing is changed. None: does not.",
    )
    cause_min_labels: Annotated[int, Field(ge=2, le=100_000)] = Field(
        default=3, description="From this many labels with the same fault on, one finding speaks for all of them."
    )
    severities: Annotated[dict[TaxonomyConformanceKind, Severity], Field(max_length=50)] = Field(
        default_factory=dict, description="Severity by kind where it differs from the default."
    )

"""The nine issues, and to which of them each finding of each check belongs: the one table of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from services.contracts.dataset_report import Issue


@dataclass(frozen=True, slots=True)
class Definition:
    """What one of the nine numbers counts.

    Attributes:
        title: For people.
        counted: What one thing of the population is.
    """

    title: str
    counted: str


ISSUES: Mapping[Issue, Definition] = {
    "inconsistent_labels": Definition(
        "Inconsistent labels",
        "a label that a check compared with others; and each finding of something that no label stands for",
    ),
    "misaligned_modalities": Definition(
        "Misaligned modalities",
        "a label that a check compared with another modality; and each finding about streams and not about labels",
    ),
    "missing_edge_cases": Definition(
        "Missing edge cases",
        "a scenario, combination or edge case that the rule set requires of the dataset; and each sample of which it "
        "requires something",
    ),
    "inaccurate_timestamps": Definition(
        "Inaccurate timestamps",
        "a label with times, a stream with a clock, and a sample's stated times, where a check judged them; and each "
        "finding about neither",
    ),
    "taxonomies_by_data_type": Definition(
        "Taxonomies that differ by data type",
        "a class as one data type uses it, where a taxonomy or another data type can be compared; and a taxonomy as "
        "one data type uses it",
    ),
    "reviewer_interpretation": Definition(
        "Reviewers who interpret differently",
        "two parties' labels of one kind, compared; and a finding that two people judged",
    ),
    "incomplete_metadata": Definition(
        "Incomplete metadata",
        "a fact that the rule set asks of a sample or a stream; and each finding that a statement is wrong or lacking",
    ),
    "missing_domain_context": Definition(
        "Missing domain context",
        "a field of the context that the rule set requires or limits, and each clause of the sample's policy",
    ),
    "unvalidated_ground_truth": Definition(
        "Unvalidated ground truth", "a sample with labels; and the dataset's gold labels"
    ),
}
"""In the order in which they are told."""

_LABELS, _ALIGNMENT, _CASES, _TIMES, _TAXONOMIES, _REVIEWERS, _METADATA, _CONTEXT, _TRUTH = get_args(Issue)


def _all(issue: Issue, *kinds: str) -> dict[str, Issue]:
    return dict.fromkeys(kinds, issue)


KINDS: Mapping[str, Mapping[str, Issue]] = {
    "affect_agreement": {
        **_all(_ALIGNMENT, "valence_conflict", "intensity_conflict", "shifted_labels"),
        **_all(_LABELS, "conversation_conflict", "record_conflict", "self_contradiction", "inverted_scale"),
    },
    "answer_agreement": _all(
        _LABELS, "disputed_presence", "disputed_class", "disputed_value", "disputed_geometry", "disputed_interval",
        "disputed_text",
    ),
    "audio_transcript": {
        **_all(_ALIGNMENT, "wrong_recording", "speech_untranscribed", "text_over_silence"),
        **_all(
            _TIMES, "importer_error", "offset", "drift", "overlap", "out_of_order", "negative_duration", "no_duration",
            "beyond_end", "rate_implausible", "boundary_off", "word_time_off",
        ),
        **_all(_LABELS, "speaker_mismatch", "text_mismatch"),
    },
    "clock": _all(
        _TIMES, "non_monotonic", "duplicate_timestamp", "no_progress", "drop", "jitter", "skew", "step", "offset",
        "drift", "no_overlap", "contradictory_clock", "frame_outside_clock",
    ),
    "context_gate": _all(
        _CONTEXT, "missing", "not_allowed", "policy_expired", "policy_not_approved", "not_yet_effective",
        "conflicts_with_sample",
    ),
    "coverage": {
        **_all(
            _CASES, "missing_modality", "missing_stream", "incomplete_stream", "missing_content", "missing_labels",
            "low_time_coverage", "unexpected_value",
        ),
        **_all(_METADATA, "missing_attribute"),
    },
    "definition_drift": {
        **_all(_REVIEWERS, "class_confusion", "boundary_bias", "usage_shift", "agreement_low"),
        **_all(_TAXONOMIES, "taxonomy_version_mix"),
    },
    "event_structure": {
        **_all(_TIMES, "no_duration", "negative_duration", "duration_implausible", "outside_media"),
        **_all(
            _LABELS, "missing_predecessor", "order_violation", "exclusive_overlap", "unpaired_start", "unpaired_end"
        ),
        **_all(_ALIGNMENT, "cross_modal_offset", "missing_counterpart"),
    },
    "lidar_camera": {
        **_all(
            _ALIGNMENT, "unmatched_cuboid", "unmatched_box", "low_overlap", "depth_implausible", "no_points_inside",
            "calibration_shift", "contradictory_calibration", "importer_error",
        ),
        **_all(_LABELS, "class_mismatch", "object_id_mismatch"),
        **_all(_TIMES, "time_offset"),
    },
    "metadata_source": {
        **_all(
            _METADATA, "wrong_sensor", "wrong_subject", "outside_area", "device_mismatch", "hash_mismatch",
            "asset_missing", "asset_unreadable",
        ),
        **_all(_TIMES, "outside_time_window"),
        **_all(_ALIGNMENT, "swapped_with"),
    },
    "record_agreement": {
        **_all(
            _LABELS, "field_mismatch", "not_in_record", "not_labelled", "unit_mismatch", "value_unreadable"
        ),
        **_all(_METADATA, "record_missing_field", "label_missing_value"),
    },
    "taxonomy_conformance": {
        **_all(
            _TAXONOMIES, "unknown_class", "not_canonical", "deprecated_class", "wrong_modality", "wrong_label_kind",
            "wrong_attribute", "unknown_attribute", "crosswalk_available", "crosswalk_ambiguous", "unknown_version",
        ),
        **_all(_METADATA, "missing_attribute"),
    },
    "text_visual": _all(
        _ALIGNMENT, "mentioned_not_seen", "seen_not_mentioned", "count_mismatch", "attribute_mismatch",
        "negation_conflict", "region_text_mismatch", "grounding_mismatch",
    ),
    "track_identity": _all(
        _LABELS, "switch", "swap", "split", "merge", "reuse", "duplicate_in_frame", "class_flip", "jump", "gap",
        "cross_camera_mismatch",
    ),
}  # fmt: skip
"""From check and kind to the issue. Unvalidated ground truth is no finding of a check: the report looks for it."""


def issue_of(check: str, kind: str) -> Issue | None:
    """Return the issue that a finding belongs to; None for a check that is not the product's own."""
    return KINDS.get(check, {}).get(kind)


def checks_of(issue: Issue) -> Iterator[str]:
    """Yield the checks that have a kind of finding of this issue, by name."""
    return (check for check, kinds in sorted(KINDS.items()) if issue in kinds.values())

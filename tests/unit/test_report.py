"""Each of the nine numbers on samples whose answer is known by construction."""

from __future__ import annotations

from itertools import permutations
from typing import Any, get_args

import numpy as np
import pytest

from infra.render.report_page import percent, report_page
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.dataset_report import DatasetReport, Issue, Score
from services.contracts.findings import CheckReport, Finding, NotApplicable, RuleReference, Severity
from services.contracts.label_base import Author
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.contracts.manifest import SampleManifest
from services.report.build import ReportBuilder, build_report
from services.report.issues import KINDS, checks_of, issue_of
from services.report.sample import ReportSample, ReviewEvidence
from services.rules.coverage import CoverageRules
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet

ISSUES = get_args(Issue)
RULE = RuleReference(id="default", version=1)
ANN, BEN = Author(kind="human", id="ann", team="blue"), Author(kind="human", id="ben", team="red")


def box(label_id: str, *, label: str = "car", author: Author | None = ANN, x: float = 10.0, **more: Any) -> Box:
    return Box(id=label_id, stream="cam", label=label, author=author, box=(x, 10.0, x + 40.0, 50.0), **more)


def manifest(sample_id: str = "s1", **changes: Any) -> SampleManifest:
    cam = {
        "id": "cam", "modality": "image", "uri": "file:///a.png", "sha256": "ab" * 32, "sensor": "front",
        "calibration": {
            "model": "pinhole", "intrinsics": [[700, 0, 600], [0, 700, 180], [0, 0, 1]],
            "extrinsics": {"to": "lidar", "matrix": [[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]]},
        },
    }  # fmt: skip
    lidar = {
        "id": "lidar", "modality": "lidar", "uri": "file:///a.bin", "sha256": "cd" * 32, "sensor": "top",
        "clock": {"rate_hz": 10.0},
    }  # fmt: skip
    document = {
        "format": "concord.sample/1", "sample_id": sample_id, "project": "p", "streams": [cam, lidar],
        "captured_at": "2026-03-01T12:00:00Z", **changes,
    }  # fmt: skip
    return SampleManifest.model_validate(document)


def finding(check: str, kind: str, *labels: str, severity: Severity = "major", **more: Any) -> Finding:
    return Finding(
        finding_id=f"f-{check}-{kind}-{'-'.join(labels)}"[:100], check=check, kind=kind, severity=severity,
        message=f"{kind} of {', '.join(labels) or 'something'}.", annotations=labels, rule=RULE, **more,
    )  # fmt: skip


def sample(
    *labels: Annotation, findings: tuple[Finding, ...] = (), missing: tuple[tuple[str, str], ...] = (),
    about: SampleManifest | None = None, evidence: ReviewEvidence | None = None,
) -> ReportSample:  # fmt: skip
    said = CheckReport(
        rule=RULE, findings=findings,
        not_applicable=tuple(NotApplicable(check=check, reason=reason) for check, reason in missing),
    )  # fmt: skip
    return ReportSample(CheckSample(about or manifest(), labels), said, evidence)


def score(issue: Issue, *samples: ReportSample, rules: RuleSet = DEFAULT_RULE_SET) -> Score:
    report = build_report(samples, rules)
    (found,) = (one for one in report.scores if one.issue == issue)
    return found


def counts(found: Score) -> tuple[int, int]:
    return found.failing, found.population


def test_every_kind_of_finding_that_a_rule_set_grades_belongs_to_one_of_the_nine() -> None:
    graded = 0
    for check in KINDS:
        section = RuleSet.model_fields[check].annotation
        models = [section, *get_args(section)]
        model = next(one for one in models if hasattr(one, "model_fields"))
        severities = model.model_fields.get("severities")
        if severities is None:
            continue
        kinds = [kind for part in get_args(severities.annotation) for kind in get_args(part)]
        kinds = [kind for kind in kinds if isinstance(kind, str) and kind not in ("info", "minor", "major", "critical")]
        assert kinds, check
        for kind in kinds:
            graded += 1
            assert issue_of(check, kind) is not None, (check, kind)
    assert graded > 30
    assert {issue for kinds in KINDS.values() for issue in kinds.values()} == set(ISSUES) - {"unvalidated_ground_truth"}
    assert all(list(checks_of(issue)) for issue in ISSUES[:-1])


def test_a_label_with_several_findings_is_one_entry_and_the_gravest_speaks() -> None:
    item = sample(
        box("a", object_id="1", frame=0), box("b", object_id="1", frame=1), box("c", object_id="2", frame=1),
        findings=(
            finding("track_identity", "jump", "b", severity="minor"),
            finding("track_identity", "switch", "b", severity="critical"),
        ),
    )  # fmt: skip
    found = score("inconsistent_labels", item)
    assert counts(found) == (1, 3)
    (entry,) = found.entries
    assert (entry.severity, entry.reasons) == ("critical", ("track_identity/switch", "track_identity/jump"))
    assert entry.sentence == "switch of b. (and 1 more finding here)"
    assert found.by_reason == {"track_identity/jump": 1, "track_identity/switch": 1}
    assert (found.samples_failing, found.samples_judged) == (1, 1)


def test_a_calibration_error_is_one_thing_however_many_boxes_it_moves() -> None:
    item = sample(box("a"), box("b"), findings=(finding("lidar_camera", "calibration_shift"),))
    assert counts(score("misaligned_modalities", item)) == (1, 3)
    assert counts(score("misaligned_modalities", sample(box("a"), box("b")))) == (0, 2)


def test_exchanged_files_are_one_thing_of_the_dataset() -> None:
    builder = ReportBuilder(DEFAULT_RULE_SET)
    builder.add(sample(box("a")))
    builder.add_exchanged("p", finding("metadata_source", "swapped_with", severity="critical"), ["s2", "s1"])
    (found,) = (one for one in builder.finish().scores if one.issue == "misaligned_modalities")
    assert counts(found) == (1, 2)
    assert (found.entries[0].sample_id, found.entries[0].place) == ("s1", "samples s1, s2")


def test_what_no_check_judged_has_a_reason_and_no_rate() -> None:
    found = score(
        "misaligned_modalities", sample(box("a"), missing=(("lidar_camera", "no cuboids"), ("text_visual", "no text")))
    )
    assert (found.population, found.rate) == (0, None)
    assert ("lidar_camera", "no cuboids", 1) in {(one.check, one.reason, one.samples) for one in found.not_judged}


def test_edge_cases_are_what_the_rule_set_requires_of_the_dataset() -> None:
    nothing = score("missing_edge_cases", sample(box("a")))
    assert nothing.rate is None
    assert "requires nothing of the dataset" in nothing.not_judged[0].reason
    section = CoverageRules.model_validate(
        {"edge_cases": [{"name": "night", "when": {"region": ["DE"]}, "min_samples": 1}]}
    )
    rules = DEFAULT_RULE_SET.model_copy(update={"coverage": section})
    lacking = score("missing_edge_cases", sample(box("a")), rules=rules)
    assert counts(lacking) == (1, 1)
    assert "0 of 1 samples have it, 1 are required" in lacking.entries[0].sentence
    there = sample(box("a"), about=manifest(context={"region": "DE"}))
    assert counts(score("missing_edge_cases", there, rules=rules)) == (0, 1)


def test_clocks_and_timed_labels_are_what_timestamps_are_judged_by() -> None:
    assert counts(score("inaccurate_timestamps", sample(box("a")))) == (0, 1)
    drifting = sample(box("a"), findings=(finding("clock", "drift", streams=("lidar",)),))
    found = score("inaccurate_timestamps", drifting)
    assert counts(found) == (1, 1)
    assert found.entries[0].place == "stream lidar"


def test_one_class_written_two_ways_on_two_data_types_fails_once() -> None:
    def cuboid(name: str, label: str) -> Cuboid:
        return Cuboid(id=name, stream="lidar", label=label, center_m=(9, 0, 0), size_m=(4, 2, 1.5), yaw_rad=0.0)

    same = sample(box("a", label="traffic_light"), cuboid("c", "traffic_light"))
    assert counts(score("taxonomies_by_data_type", same)) == (0, 2)
    other = sample(box("a", label="traffic_light"), box("b", label="traffic_light", x=90.0),
                   cuboid("c", "Traffic Light"))  # fmt: skip
    found = score("taxonomies_by_data_type", other)
    assert counts(found) == (1, 2)
    assert "Traffic Light" in found.entries[0].place + found.entries[0].sentence


def test_reviewers_are_compared_only_where_two_labelled_the_same() -> None:
    alone = score("reviewer_interpretation", sample(box("a")))
    assert alone.rate is None
    rng = np.random.default_rng(4)
    names = ("car", "van", "truck")
    agreeing, confused = [], []
    for number in range(60):
        truth = str(rng.choice(names))
        about = manifest(f"s{number}")
        pairs = [(box("a", label=truth), box("b", label=said, author=BEN))
                 for said in (truth, "van" if truth == "car" else truth)]  # fmt: skip
        agreeing.append(sample(*pairs[0], about=about))
        confused.append(sample(*pairs[1], about=about))
    fine = score("reviewer_interpretation", *agreeing)
    assert fine.failing == 0 < fine.population
    found = score("reviewer_interpretation", *confused)
    assert found.failing == 1
    assert "definition_drift/class_confusion" in found.by_reason


def test_metadata_that_is_asked_for_and_lacks_is_named_with_what_to_send() -> None:
    whole = score("incomplete_metadata", sample(box("a")))
    assert whole.failing == 0
    bare = manifest()
    cam = bare.streams[0].model_copy(update={"sensor": None, "calibration": None})
    lacking = bare.model_copy(update={"captured_at": None, "streams": (cam, bare.streams[1])})
    found = score("incomplete_metadata", sample(box("a"), about=lacking))
    assert counts(found) == (3, whole.population)
    assert found.by_reason == {"no_calibration": 1, "no_captured_at": 1, "no_sensor": 1}
    assert "send captured_at" in " ".join(entry.sentence for entry in found.entries)


def test_context_that_the_rule_set_requires_is_counted_field_by_field() -> None:
    gate = DEFAULT_RULE_SET.context_gate.model_copy(update={"required": ("region", "product")})
    rules = DEFAULT_RULE_SET.model_copy(update={"context_gate": gate})
    item = sample(box("a"), findings=(finding("context_gate", "missing"),))
    assert counts(score("missing_domain_context", item, rules=rules)) == (1, 2)
    assert score("missing_domain_context", sample(box("a"))).rate is None


def test_ground_truth_is_validated_by_people_a_second_look_and_gold() -> None:
    machine = sample(box("a", author=Author(kind="model", id="yolo")))
    found = score("unvalidated_ground_truth", machine)
    assert counts(found) == (2, 2)  # the sample, and the dataset without gold
    assert found.by_reason == {"no_gold": 1, "no_human_author": 1, "no_second_look": 1}
    seen = sample(
        box("a"), box("b", author=BEN), box("g", author=Author(kind="consensus", id="all"), x=200.0),
    )  # fmt: skip
    assert counts(score("unvalidated_ground_truth", seen)) == (0, 2)
    open_conflict = ReviewEvidence(authors={}, open_findings=(finding("lidar_camera", "low_overlap", "a"),))
    assert "open_conflict" in score("unvalidated_ground_truth", sample(box("a"), evidence=open_conflict)).by_reason


def test_the_order_of_samples_changes_nothing_and_a_limit_keeps_the_gravest() -> None:
    grades: tuple[Severity, ...] = ("minor", "critical", "major")
    items = [
        sample(box("a", object_id="1"), findings=(finding("track_identity", "jump", "a", severity=grade),),
               about=manifest(f"s{number}"))
        for number, grade in enumerate(grades)
    ]  # fmt: skip
    reports = {
        build_report(order, DEFAULT_RULE_SET, max_listed=1).model_dump_json() for order in permutations(items)
    }  # fmt: skip
    assert len(reports) == 1
    report = DatasetReport.model_validate_json(reports.pop())
    first = report.scores[0]
    assert (first.failing, len(first.entries), first.unlisted) == (3, 1, 2)
    assert first.entries[0].severity == "critical"


def test_findings_of_plug_ins_are_told_apart() -> None:
    report = build_report([sample(box("a"), findings=(finding("my_check", "odd", "a"),))], DEFAULT_RULE_SET)
    assert report.other_findings == {"my_check/odd": 1}
    assert [one.failing for one in report.scores[:2]] == [0, 0]


def test_an_empty_dataset_says_of_each_number_why_there_is_none() -> None:
    report = build_report([], DEFAULT_RULE_SET)
    assert [one.issue for one in report.scores] == list(ISSUES)
    assert all(one.rate is None and one.not_judged for one in report.scores)


def test_a_score_whose_list_is_not_as_long_as_its_number_is_none() -> None:
    good = build_report([], DEFAULT_RULE_SET).scores[0]
    with pytest.raises(ValueError, match="failing must be the number of entries"):
        Score.model_validate({**good.model_dump(), "failing": 1})


def test_the_page_needs_nothing_beside_itself_and_shows_names_as_text() -> None:
    evil = "<script>alert(1)</script>"
    about = manifest(captured_at=None, context={"attributes": {"note": evil}})
    item = sample(box("a", label=evil, object_id="1"),
                  findings=(finding("track_identity", "jump", "a") .model_copy(
                      update={"message": f"Look: {evil} & 'quotes'"}),), about=about)  # fmt: skip
    page = report_page(build_report([item], DEFAULT_RULE_SET))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    for outer in ("http://", "https://", " src=", "url(", "@import"):
        assert outer not in page.replace("http://www.w3.org", ""), outer
    assert page.count("<svg") >= 2
    for issue in ISSUES:
        assert f'id="{issue}"' in page


@pytest.mark.parametrize(
    ("rate", "shown"),
    [(None, "not judged"), (0.0, "0 %"), (1.0, "100 %"), (0.00004, "0.004 %"), (0.9999, "99.9 %"), (0.25, "25.0 %")],
)
def test_a_share_that_is_not_nothing_never_reads_as_nothing(rate: float | None, shown: str) -> None:
    assert percent(rate) == shown

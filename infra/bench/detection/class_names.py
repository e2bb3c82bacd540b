"""Class names of other data sets, whose class here experts know: which question does their meaning lead to?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from infra.bench.detection.taxonomy_conformance import expert_taxonomy
from infra.bench.detection.text_recordings import sample_of
from infra.semantic.sentence_encoder import installed_encoder
from services.alignment.taxonomy_conformance import check_taxonomy_conformance
from services.contracts.labels_visual import Polygon
from services.contracts.manifest import Stream
from services.rules.meaning import MeaningRules
from services.rules.rule_set import RuleSet
from services.rules.taxonomy_conformance import TaxonomyConformanceRules
from services.taxonomy.crosswalk import Crosswalks


def foreign_names(data: Path) -> Mapping[str, frozenset[str]]:
    """Return the classes that experts gave each name of each data set; empty where their table is not there."""
    _, walks = expert_taxonomy(data)
    translator = Crosswalks(walks)
    found: dict[str, set[str]] = {}
    for walk in walks:
        for name in sorted({name for change in walk.changes for name in change.sources}):
            exact = translator.translate(name, walk.source, walk.target).exact
            if exact is not None:
                found.setdefault(name, set()).add(exact)
    return {name: frozenset(classes) for name, classes in found.items()}


def asked_about(data: Path, rules: RuleSet) -> tuple[int, int, int] | None:
    """Return (names that are no class and not misspelt, rightly asked about, wrongly); None without the table.

    Raises:
        UnavailableError: The semantic model is not installed.
    """
    taxonomy, _ = expert_taxonomy(data)
    if taxonomy is None:
        return None
    meaning = rules.taxonomy_conformance.meaning if rules.taxonomy_conformance is not None else None
    section = TaxonomyConformanceRules(taxonomy=taxonomy, meaning=meaning or MeaningRules(), cause_min_labels=100_000)
    names = dict(enumerate(foreign_names(data).items()))
    labels = [
        Polygon(id=f"n{number}", stream="cam", label=name, points_px=((0, 0), (9, 0), (9, 9)))
        for number, (name, _) in names.items()
    ]
    sample = replace(
        sample_of("names", (Stream(id="cam", modality="image"),), labels), text_encoder=installed_encoder()
    )
    unknown = right = wrong = 0
    for finding in check_taxonomy_conformance(
        sample, rules.model_copy(update={"taxonomy_conformance": section})
    ).findings:
        if finding.kind != "unknown_class" or (finding.suggestion is not None and finding.suggestion.patch is not None):
            continue
        unknown += 1
        if finding.suggestion is not None:
            classes = names[int(finding.annotations[0][1:])][1]
            asked = any(finding.suggestion.summary.startswith(f"Did you mean {one!r}?") for one in classes)
            right += asked
            wrong += not asked
    return unknown, right, wrong

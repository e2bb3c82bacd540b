"""The algebra of crosswalks, and that a migration does what its preview counts, on random taxonomies and labels."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.contracts.annotations import Annotation
from services.contracts.labels_language import Intent, SpeakerTurn
from services.contracts.lifecycle import Stage
from services.contracts.manifest import SampleManifest
from services.contracts.taxonomies import APPLIED, LEFT_TO_PEOPLE
from services.taxonomy.changes import ChangeKind, ClassChange, SplitCase, VersionCrosswalk
from services.taxonomy.crosswalk import Crosswalks, inverse
from services.taxonomy.migrating import Carrier, Tally, uses_of
from services.taxonomy.taxonomy import Taxonomy, TaxonomyClass

OLD, NEW = "t@1", "t@2"
CLASSES = tuple("abcdefgh")
MANIFEST = SampleManifest.model_validate(
    {
        "format": "concord.sample/1",
        "sample_id": "s",
        "project": "p",
        "streams": [{"id": "note", "modality": "text", "inline": "x"}],
    }
)


@st.composite
def steps(draw: st.DrawFn) -> VersionCrosswalk:
    """A step that renames, merges, splits and drops some of eight classes."""
    kinds: list[ChangeKind] = ["rename", "merge", "split", "deprecate"]
    left = list(draw(st.permutations(CLASSES)))
    changes: list[ClassChange] = []
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=len(CLASSES))):
        if not left:
            break
        number = len(changes)
        if kind == "merge" and len(left) >= 2:
            changes.append(ClassChange(kind=kind, sources=(left.pop(), left.pop()), targets=(f"m{number}",)))
        elif kind == "split":
            parts = (f"s{number}x", f"s{number}y")
            cases = (SplitCase(attribute="k", values=(1,), target=parts[0]),)
            changes.append(ClassChange(kind=kind, sources=(left.pop(),), targets=parts, cases=cases))
        elif kind == "deprecate":
            changes.append(ClassChange(kind=kind, sources=(left.pop(),)))
        elif kind == "rename":
            changes.append(ClassChange(kind=kind, sources=(left.pop(),), targets=(f"r{number}",)))
    return VersionCrosswalk(source=OLD, target=NEW, changes=tuple(changes))


@st.composite
def labels(draw: st.DrawFn) -> tuple[Annotation, ...]:
    return tuple(
        Intent(
            id=f"a{number}",
            stream="note",
            label=draw(st.sampled_from((*CLASSES, "nowhere"))),
            taxonomy_version=draw(st.sampled_from((OLD, NEW, None, "other@1"))),
            attributes=draw(st.sampled_from(({}, {"k": 1}, {"k": 2}))),
        )
        for number in range(draw(st.integers(0, 6)))
    )


def carrier_of(step: VersionCrosswalk) -> Carrier:
    targets = [name for change in step.changes for name in change.targets]
    changed = {name for change in step.changes for name in change.sources}
    names = dict.fromkeys([*targets, *(name for name in CLASSES if name not in changed), "always"])
    target = Taxonomy(id="t", version=2, classes=tuple(TaxonomyClass(id=name) for name in names), steps=(step,))
    return Carrier(target, (step,), unversioned=OLD)


@given(st.permutations(CLASSES), st.sampled_from(CLASSES))
def test_renames_and_their_inverse_are_where_one_began(names: list[str], name: str) -> None:
    changes = tuple(
        ClassChange(kind="rename", sources=(old,), targets=(f"new-{new}",))
        for old, new in zip(CLASSES, names, strict=True)
    )
    there = VersionCrosswalk(source=OLD, target=NEW, changes=changes)
    walks = Crosswalks([there, inverse(there)])
    moved = walks.translate(name, OLD, NEW).exact
    assert moved is not None
    assert walks.translate(moved, NEW, OLD).exact == name


@given(steps(), st.sampled_from(CLASSES))
def test_what_comes_of_a_class_leads_back_to_it(step: VersionCrosswalk, name: str) -> None:
    walks = Crosswalks([step, inverse(step)])
    for candidate in walks.translate(name, OLD, NEW).candidates:
        assert name in walks.translate(candidate, NEW, OLD).candidates


@given(steps(), st.lists(labels(), max_size=8))
def test_migration_does_what_the_preview_counts_and_a_second_one_nothing(
    step: VersionCrosswalk, samples: list[tuple[Annotation, ...]]
) -> None:
    carrier = carrier_of(step)
    preview, done, again = Tally(), Tally(), Tally()
    applied: Counter[tuple[str, str]] = Counter()
    for given_labels in samples:
        preview.add(Stage.COMMITTED, carrier.plan(uses_of(MANIFEST, given_labels)))
    for given_labels in samples:
        plan = carrier.plan(uses_of(MANIFEST, given_labels))
        done.add(Stage.COMMITTED, plan)
        after = carrier.carried(given_labels, plan) if plan.changes else given_labels
        fates = {use.annotation_id: fate for use, fate in plan.fates}
        for before, now in zip(given_labels, after, strict=True):
            fate = fates[before.id]
            if fate.outcome in APPLIED:
                assert (now.label, now.taxonomy_version) == (fate.target, NEW)
                applied[before.label, now.label] += 1
            elif fate.outcome in LEFT_TO_PEOPLE:
                assert now == before, "what people decide about is not touched"
            else:
                assert now.label == before.label
        again.add(Stage.COMMITTED, carrier.plan(uses_of(MANIFEST, after)))
    assert preview.counts() == done.counts()
    counted: Counter[tuple[str, str]] = Counter()
    for item in preview.counts().classes:
        if item.outcome in APPLIED and item.target is not None:
            counted[item.label, item.target] += item.labels
    assert counted == applied
    assert again.counts().migrated == 0
    assert again.counts().reopened == preview.counts().reopened


@given(steps(), st.lists(labels(), max_size=8), st.integers(0, 8))
def test_counts_are_the_same_wherever_a_migration_was_interrupted(
    step: VersionCrosswalk, samples: list[tuple[Annotation, ...]], stop: int
) -> None:
    carrier = carrier_of(step)
    plans = [carrier.plan(uses_of(MANIFEST, given_labels)) for given_labels in samples]
    whole, first = Tally(), Tally()
    for plan in plans:
        whole.add(Stage.COMMITTED, plan)
    for plan in plans[:stop]:
        first.add(Stage.COMMITTED, plan)
    second = Tally.of(first.counts())
    for plan in plans[stop:]:
        second.add(Stage.COMMITTED, plan)
    assert second.counts() == whole.counts()


@given(steps())
def test_label_that_carries_no_class_is_nobodys_concern(step: VersionCrosswalk) -> None:
    turn = SpeakerTurn(id="t", stream="note", label="a", speaker="a", start_s=0, end_s=1, taxonomy_version=OLD)
    assert not carrier_of(step).plan(uses_of(MANIFEST, (turn,))).fates

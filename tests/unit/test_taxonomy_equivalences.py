"""What a taxonomy says several modalities call by different classes, in the rules that the checks run by."""

from __future__ import annotations

from services.alignment.lidar_camera_scene import meaning_of
from services.contracts.manifest import Modality
from services.rules.lidar_camera import LidarCameraRules
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet
from services.taxonomy.equivalences import with_equivalences
from services.taxonomy.taxonomy import Equivalence, Taxonomy, TaxonomyClass


def governed(*members: dict[Modality, tuple[str, ...]], rules: RuleSet = DEFAULT_RULE_SET) -> RuleSet:
    names = {name for item in members for side in item.values() for name in side}
    taxonomy = Taxonomy(
        id="av",
        version=1,
        classes=tuple(TaxonomyClass(id=name) for name in sorted(names)),
        equivalences=tuple(Equivalence(members=item) for item in members),
    )
    return with_equivalences(rules, taxonomy)


def same(rules: RuleSet, first: str, second: str) -> bool:
    meaning = meaning_of(rules.lidar_camera)
    return meaning(first) == meaning(second)


def test_names_in_pictures_and_point_clouds_are_one_class() -> None:
    assert not same(DEFAULT_RULE_SET, "ambulance", "emergency vehicle")
    rules = governed({"image": ("ambulance", "fire engine"), "lidar": ("emergency vehicle",), "audio": ("siren",)})
    assert same(rules, "ambulance", "Emergency Vehicle")
    assert same(rules, "fire engine", "emergency vehicle")
    assert not same(rules, "siren", "emergency vehicle")


def test_they_join_what_the_rule_set_says_and_break_nothing_of_it() -> None:
    section = LidarCameraRules(equivalent_labels=(("car", "van"), ("person", "pedestrian")))
    rules = governed(
        {"video": ("van",), "lidar": ("box body",)},
        rules=DEFAULT_RULE_SET.model_copy(update={"lidar_camera": section}),
    )
    assert same(rules, "box body", "van")
    assert same(rules, "box body", "car")
    assert same(rules, "person", "pedestrian")
    assert not same(rules, "box body", "person")


def test_what_is_seen_and_what_is_heard_are_one_event() -> None:
    rules = governed({"image": ("ambulance",), "video": ("passing",), "audio": ("siren",)})
    assert rules.event_structure is not None
    (pair,) = rules.event_structure.cross_modal.same_events
    assert (pair.labels, pair.counterparts, pair.required) == (("ambulance", "passing"), ("siren",), False)


def test_rules_stay_as_they_are_where_there_is_nothing_to_say_or_nobody_to_say_it_to() -> None:
    assert governed({"text": ("car",), "record": ("vehicle",)}) is DEFAULT_RULE_SET
    bare = DEFAULT_RULE_SET.model_copy(update={"event_structure": None})
    assert governed({"image": ("a",), "audio": ("b",)}, rules=bare) is bare

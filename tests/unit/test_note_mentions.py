from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.cli.note import pin_of
from services.contracts.notes import NewNote
from services.contracts.validation import validate
from services.errors import InvalidInputError
from services.notes.mentions import mentions_of, named_in


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("@rita look", ("rita",)),
        ("look, @rita.", ("rita",)),
        ("(@rita) and @max, @rita!", ("rita", "max")),
        ("mail rita@example.com", ()),
        ("a+@rita", ()),
        ("@@rita", ()),
        ("@ rita", ()),
        ("@team:blue-2's", ("team:blue-2",)),
        ("@rita@example.com", ("rita@example.com",)),
        ("Ü@rita", ()),
        ("„@rita“", ("rita",)),
        ("@rita\n@max", ("rita", "max")),
    ],
)
def test_names_after_an_at_sign_are_mentions(text: str, names: tuple[str, ...]) -> None:
    assert named_in(text) == names


def test_only_people_of_the_project_are_mentioned_and_not_too_many() -> None:
    assert mentions_of("@rita @nobody @max", {"rita", "max"}) == ("rita", "max")
    many = [f"p{number}" for number in range(80)]
    assert mentions_of(" ".join(f"@{name}" for name in many), set(many)) == tuple(many[:50])


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    names = named_in(text)
    assert len(set(names)) == len(names)
    assert all(f"@{name}" in text for name in names)


@pytest.mark.parametrize(
    ("pin", "place"),
    [
        ({"kind": "time", "start_s": 2, "end_s": 1}, "end_s"),
        ({"kind": "region", "stream": "cam", "box_px": [5, 0, 5, 9]}, "box_px"),
        ({"kind": "frame", "stream": "cam"}, "frame"),
        ({"kind": "place"}, "place"),
        ({"kind": "stream", "stream": "cam", "frame": 1}, "frame"),
    ],
)
def test_pin_that_can_not_be_is_refused(pin: dict[str, object], place: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        validate(NewNote, {"body": "x", "pin": pin}, what="note")
    assert place in refused.value.detail


def test_options_name_each_pin() -> None:
    assert pin_of(None, None, None, None, None) is None
    pins = [
        pin_of("cam", None, None, None, None),
        pin_of("cam", 3, None, None, None),
        pin_of("mic", None, (1.0, 2.0), None, None),
        pin_of(None, None, (1.0, 2.0), None, None),
        pin_of("cam", None, None, (0.0, 0.0, 2.0, 2.0), None),
        pin_of("cam", 3, None, (0.0, 0.0, 2.0, 2.0), None),
        pin_of(None, None, None, None, "a1"),
    ]
    notes = [validate(NewNote, {"body": "x", "pin": pin}, what="note") for pin in pins]
    kinds = [note.pin.kind for note in notes if note.pin is not None]
    assert kinds == ["stream", "frame", "time", "time", "region", "region", "annotation"]
    for wrong in ((None, 3, None, None, None), ("cam", 3, (0.0, 1.0), None, None), ("cam", None, None, None, "a1")):
        with pytest.raises(InvalidInputError):
            pin_of(*wrong)

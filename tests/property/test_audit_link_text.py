"""The text that the store hashes piece by piece is the canonical form of the whole entry."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.audit.chain import link_text
from services.contracts.canonical import content_sha256, time_text

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)


@given(
    named=st.tuples(TEXT, TEXT, TEXT, TEXT),
    body=st.dictionaries(TEXT, VALUES, max_size=4),
    at=st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1)),  # noqa: DTZ001 - Hypothesis adds the zone
    sequence=st.integers(1, 2**53),
)
def test_pieces_of_a_link_are_the_canonical_form_of_the_entry(
    named: tuple[str, str, str, str], body: dict[str, Any], at: datetime, sequence: int
) -> None:
    project, actor, action, subject = named
    previous = "ab" * 32
    link = link_text(project=project, actor=actor, action=action, subject=subject, body=body)
    whole = {
        "project": project,
        "sequence": sequence,
        "at": time_text(at),
        "actor": actor,
        "action": action,
        "subject": subject,
        "body": body,
        "previous": previous,
    }
    assert link.sha256(at, previous, sequence) == content_sha256(whole)

"""Addresses of the lists behind the numbers, and the numbers that carry them."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from services.contracts.active_time import ActivitySelection, LabelSelection
from services.contracts.operations import (
    Counted,
    DecisionSelection,
    Measured,
    SampleSelection,
    Share,
    TaskSelection,
)

Selection = TaskSelection | SampleSelection | DecisionSelection | ActivitySelection | LabelSelection
_LIST_OF: dict[type[Selection], str] = {
    TaskSelection: "tasks",
    SampleSelection: "samples",
    DecisionSelection: "decisions",
    ActivitySelection: "activity",
    LabelSelection: "labels",
}


def address_of(project: str, selection: Selection) -> str:
    """Return the address of the list of what is selected, below the API's root."""
    given = selection.model_dump(mode="json", exclude_none=True)
    query = urlencode({name: str(value).lower() if isinstance(value, bool) else value for name, value in given.items()})
    return f"/v1/projects/{quote(project, safe='')}/operations/{_LIST_OF[type(selection)]}" + (
        f"?{query}" if query else ""
    )


def counted(project: str, value: int, selection: Selection) -> Counted:
    """Return a number with the address of its list."""
    return Counted(value=value, list=address_of(project, selection))


def measured(project: str, value: float, selection: Selection) -> Measured:
    """Return a number that is worked out of a list, with the address of the list."""
    return Measured(value=value, list=address_of(project, selection))


def share(part: Counted, whole: Counted) -> Share:
    """Return a part of a whole."""
    return Share(part=part, whole=whole, value=part.value / whole.value if whole.value else None)

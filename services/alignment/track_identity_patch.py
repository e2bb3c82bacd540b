"""The labels with an event undone: renamed, relabelled or removed rows as a patch."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from services.alignment.track_identity_event import Event
from services.contracts.annotations import Annotation
from services.contracts.findings import LabelPatch
from services.contracts.given_fields import GivenFields
from services.contracts.labels_spatial import SpatialTrack, TrackCuboid
from services.contracts.labels_visual import Track, TrackBox

Moved = Track | SpatialTrack

MAX_LABELS = 10_000
"""More labels than a patch may hold."""


def patch_of(events: Iterable[Event]) -> LabelPatch | None:
    """Return what undoes ``events`` of one cause, or None where it is not clear or too large."""
    upsert: dict[str, Annotation] = {}
    given = GivenFields()
    remove: set[str] = set()
    for event in events:
        tracks: dict[str, Moved] = {}
        names: dict[str, dict[int, str]] = defaultdict(dict)
        for row, name in event.renames.items():
            source = event.table.sources[row]
            if isinstance(source, Track | SpatialTrack):
                tracks[source.id] = source
                names[source.id][int(event.table.frames[row])] = name
            else:
                upsert[source.id] = given.share(source.model_copy(update={"object_id": name}))
        left = set(tracks)
        for label in _parted(event, tracks, names):
            upsert[label.id] = label
            left.discard(label.id)
        remove |= left  # every box of it went to another track
        for row, name in event.relabels.items():
            source = event.table.sources[row]
            if not isinstance(source, Track | SpatialTrack):
                upsert[source.id] = given.share(source.model_copy(update={"label": name}))
        for row in event.removes:
            source = event.table.sources[row]
            if not isinstance(source, Track | SpatialTrack):
                remove.add(source.id)
    if (not upsert and not remove) or len(upsert) > MAX_LABELS or len(remove) > MAX_LABELS:
        return None
    return LabelPatch(upsert=tuple(upsert[key] for key in sorted(upsert)), remove=tuple(sorted(remove)))


def _parted(event: Event, tracks: dict[str, Moved], names: dict[str, dict[int, str]]) -> Iterator[Annotation]:
    """Yield tracks with their renamed boxes given to the track that has the new id, or to a new one."""
    homes = {name: _home(event, name) for renamed in names.values() for name in renamed.values()}
    touched = dict(tracks)
    touched.update((home.id, home) for home in homes.values() if home is not None)
    parts: dict[str, list[TrackBox | TrackCuboid]] = defaultdict(list)
    models: dict[str, tuple[Moved, str]] = {}
    for source in touched.values():
        places = source.boxes if isinstance(source, Track) else source.cuboids
        for place in places:
            name = names.get(source.id, {}).get(place.frame)
            home = source if name is None else homes[name]
            target = source if home is None else home
            target_id = f"{source.id[:150]}.{name}"[:200] if home is None else home.id
            parts[target_id].append(place)
            models[target_id] = (target, name or source.object_id)
    for target_id in sorted(models):
        model, object_id = models[target_id]
        ordered = tuple(sorted(parts[target_id], key=lambda place: place.frame))
        places_name = "boxes" if isinstance(model, Track) else "cuboids"
        yield model.model_copy(update={"id": target_id, "object_id": object_id, places_name: ordered})


def _home(event: Event, name: str) -> Moved | None:
    """Return the track that has an id already."""
    table = event.table
    code = bisect_left(table.names, name)
    if code == len(table.names) or table.names[code] != name:
        return None
    source = table.sources[int(np.searchsorted(table.objects, code))]
    return source if isinstance(source, Track | SpatialTrack) else None

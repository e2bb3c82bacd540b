"""Working time: how much of it lies between two moments, and when an amount of it has passed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from services.contracts.deadlines import Weekday, WorkingCalendar, minute_of

_WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = timedelta(days=1)
_NOTHING = timedelta(0)


class WorkingTime:
    """Arithmetic in a calendar's working time; without a calendar all time is working time.

    Hours are those of the clock on the wall: an hour that the change to summer time leaves out is not worked, one
    that it brings twice is worked twice.

    Args:
        calendar: The working hours, or None for round the clock.
    """

    def __init__(self, calendar: WorkingCalendar | None) -> None:
        self._always = calendar is None
        self._zone = ZoneInfo("UTC" if calendar is None else calendar.time_zone)
        self._holidays = frozenset(() if calendar is None else calendar.holidays)
        self._hours: dict[int, list[tuple[int, int]]] = {}
        for hours in () if calendar is None else calendar.hours:
            spans = self._hours.setdefault(_WEEKDAYS.index(hours.day), [])
            spans.append((minute_of(hours.opens), minute_of(hours.closes)))
            spans.sort()

    def between(self, start: datetime, end: datetime) -> timedelta:
        """Return the working time from ``start`` to ``end``, both aware; nothing if ``end`` is not later."""
        if end <= start:
            return _NOTHING
        if self._always:
            return end - start
        total = _NOTHING
        for opens, closes in self._spans_from(start):
            if opens >= end:
                break
            total += max(min(closes, end) - max(opens, start), _NOTHING)
        return total

    def after(self, start: datetime, amount: timedelta) -> datetime:
        """Return the first moment (UTC) at which ``amount`` of working time has passed since ``start``.

        An amount of nothing has passed at once.
        """
        if self._always or amount <= _NOTHING:
            return (start + max(amount, _NOTHING)).astimezone(UTC)
        left = amount
        for opens, closes in self._spans_from(start):
            begin = max(opens, start)
            if closes > begin:
                if closes - begin >= left:
                    return (begin + left).astimezone(UTC)
                left -= closes - begin
        raise OverflowError("the calendar ends before so much working time has passed")

    def before(self, end: datetime, amount: timedelta) -> datetime:
        """Return the last moment (UTC) from which ``amount`` of working time leads to ``end``."""
        if self._always or amount <= _NOTHING:
            return (end - max(amount, _NOTHING)).astimezone(UTC)
        left = amount
        for opens, closes in self._spans_back(end):
            finish = min(closes, end)
            if finish > opens:
                if finish - opens >= left:
                    return (finish - left).astimezone(UTC)
                left -= finish - opens
        raise OverflowError("the calendar begins after so much working time")

    def _spans_from(self, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
        day = moment.astimezone(self._zone).date()
        while day < date.max:
            yield from self._spans_of(day)
            day += _DAY

    def _spans_back(self, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
        day = moment.astimezone(self._zone).date()
        while day > date.min:
            yield from reversed(self._spans_of(day))
            day -= _DAY

    def _spans_of(self, day: date) -> list[tuple[datetime, datetime]]:
        """Return the stretches of work of a day of the calendar, in UTC, in order."""
        if day in self._holidays:
            return []
        spans: list[tuple[datetime, datetime]] = []
        for opens, closes in self._hours.get(day.weekday(), []):
            begin, end = self._moment(day, opens, fold=0), self._moment(day, closes, fold=1)
            # Where the clock is set back between two stretches, the hour that comes twice belongs to the first.
            spans.append((max(begin, spans[-1][1]) if spans else begin, end))
        return spans

    def _moment(self, day: date, minute: int, *, fold: int) -> datetime:
        if minute == 24 * 60:
            day, minute = day + _DAY, 0
        local = datetime.combine(day, time(minute // 60, minute % 60, fold=fold), self._zone)
        moment = local.astimezone(UTC)
        if moment.astimezone(self._zone).replace(fold=0, tzinfo=None) == local.replace(fold=0, tzinfo=None):
            return moment
        # The wall clock skips this time: work opens or closes where it goes on.
        return self._after_the_gap(local)

    def _after_the_gap(self, local: datetime) -> datetime:
        late, early = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
        offset = local.replace(fold=1).utcoffset()
        while early < late and early.astimezone(self._zone).utcoffset() != offset:
            early += timedelta(minutes=1)
        return early

"""``affect_agreement``: calm words, an angry voice, and an unhappy ticket history, held against each other.

Every label that speaks of a mood is put on one scale of valence, -1 (unpleasant) to 1 (pleasant), by its own number or
by the rule set's map of classes; classes that may be either agree with everything. (Valence as the first axis of
affect: Russell 1980, "A circumplex model of affect".)

1. Utterance by utterance, words against voice and face: ``valence_conflict`` (opposite), ``intensity_conflict``
   (one neutral, the other clearly not). Utterances are joined by object_id, attribute, relation or time.
2. If many utterances conflict, one cause is looked for: labels that stand so many utterances away (``shifted_labels``),
   or a scale upside down (``inverted_scale``). What the cause repairs is folded under it.
3. Over the conversation: ``conversation_conflict`` between modalities that share no utterance, and ``record_conflict``
   with what the record says.
4. ``self_contradiction``: a label whose number and class have opposite signs.

Sentiment is read from labels; the check does not guess it from the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.alignment.affect_labels import CHECK, FACE, RECORD, VOICE, WORDS, Mood, moods_of
from services.alignment.sample import CheckOutcome, CheckSample
from services.contracts.findings import Cause, Finding, Measured, NotApplicable, Severity, finding_id
from services.rules.affect_agreement import AffectAgreementKind, AffectAgreementRules
from services.rules.rule_set import RuleSet

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Pair:
    """What words and another side say of one utterance; valences are means over the labels of a side."""

    utterance: str
    words: float
    other: float
    moods: tuple[Mood, ...]


def check_affect_agreement(sample: CheckSample, rules: RuleSet) -> CheckOutcome:
    """Return where the moods of a sample's words, voice, face and record do not fit together.

    Args:
        sample: Sentiments, emotions, classifications and intents; records inline or as metadata fields.
        rules: The section ``affect_agreement``; without it nothing is judged.
    """
    section = rules.affect_agreement
    if section is None:
        return CheckOutcome()
    moods = moods_of(sample, section)
    missing = []
    if moods.unknown:
        names = ", ".join(sorted(moods.unknown)[:20])
        reason = f"the rule set gives no valence for {names}; add them to affect_agreement.valences or ambivalent"
        missing.append(NotApplicable(check=CHECK, reason=reason[:2_000]))
    run = _Run(rules, section)
    for label, number, by_class in moods.contradictory:
        told = Mood("", number, label.label, label.stream, label.id)
        message = (
            f"The label {label.label!r} has the valence {by_class:+.1f} by its class, but {number:+.2f} by its number."
        )
        run.findings.append(run.make("self_contradiction", message, [told], number - by_class))
    sides = sorted({mood.side for mood in moods.found})
    if len(sides) < 2:
        found = f"only its {sides[0]}" if sides else "nothing"
        reason = f"{found} speaks of a mood; two of words, voice, face and record are needed"
        missing.append(NotApplicable(check=CHECK, reason=reason))
        return CheckOutcome(tuple(run.findings), (), tuple(missing))
    for other in (VOICE, FACE):
        pairs = _paired(moods.found, other)
        if pairs:
            run.utterances(pairs, other)
        elif {WORDS, other} <= set(sides):
            run.conversation(moods.found, other)
    if RECORD in sides:
        run.record(moods.found)
    return CheckOutcome(tuple(run.findings), tuple(run.folded), tuple(missing))


def _paired(moods: Sequence[Mood], other: str) -> list[_Pair]:
    by_utterance: dict[str, list[Mood]] = {}
    for mood in moods:
        if mood.utterance is not None and mood.side in (WORDS, other):
            by_utterance.setdefault(mood.utterance, []).append(mood)
    pairs = []
    for name, group in by_utterance.items():
        sides = [[mood for mood in group if mood.side == side] for side in (WORDS, other)]
        if all(sides):
            pairs.append(_Pair(name, _mean(sides[0]), _mean(sides[1]), tuple(group)))
    return sorted(pairs, key=_place)


def _place(pair: _Pair) -> tuple[float, list[tuple[int, str]], str]:
    """Order utterances in time, else by the numbers in their names."""
    starts = [mood.start_s for mood in pair.moods if mood.start_s is not None]
    parts = re.findall(r"\d+|\D+", pair.utterance)
    return (min(starts, default=0.0), [(int(p) if p.isdigit() else -1, p) for p in parts[:20]], pair.utterance)


def _mean(moods: Sequence[Mood]) -> float:
    """Return the mean valence, weighted by duration; NaN where every class may be either."""
    values = np.array([mood.valence for mood in moods if mood.valence is not None], dtype=np.float64)
    weights = np.array([mood.weight_s for mood in moods if mood.valence is not None], dtype=np.float64)
    if len(values) == 0:
        return float("nan")
    return float(np.average(values, weights=weights if weights.sum() > 0 else None))


class _Run:
    """The findings of one call."""

    def __init__(self, rules: RuleSet, section: AffectAgreementRules) -> None:
        self._rules = rules
        self._section = section
        self.findings: list[Finding] = []
        self.folded: list[Finding] = []

    def make(
        self, kind: AffectAgreementKind, message: str, moods: Sequence[Mood], value: float, *,
        threshold: float | None = None, severity: Severity | None = None, cause: Cause | None = None,
        identity: Sequence[str] | None = None, explains: Sequence[str] = (), place: str = "",
    ) -> Finding:  # fmt: skip
        """Return a finding about ``moods``; ``value`` is the difference in valence."""
        ids = tuple(dict.fromkeys(mood.annotation for mood in moods if mood.annotation is not None))
        streams = tuple(sorted({mood.stream for mood in moods}))
        return Finding(
            finding_id=finding_id(
                CHECK, kind, self._rules.id, streams=streams, place=place,
                annotations=ids if identity is None else tuple(identity),
            ),
            check=CHECK,
            kind=kind,
            severity=severity or self._section.severity_of(kind),
            message=message[:2_000],
            measured=Measured(value=value, unit="valence", threshold=threshold),
            streams=streams,
            annotations=ids,
            cause=cause,
            rule=self._rules.reference,
            explains=tuple(explains),
        )  # fmt: skip

    def utterances(self, pairs: Sequence[_Pair], other: str) -> None:
        """Judge words against another side, utterance by utterance, and look for one cause."""
        words, sound = (np.array([getattr(pair, side) for pair in pairs]) for side in ("words", "other"))
        conflicts = self._conflicts(words, sound)
        single = {i: self._single(pairs[i], other) for i in np.flatnonzero(conflicts).tolist()}
        cause = self._cause(pairs, other, words, sound, list(single.values()))
        if cause is None:
            self.findings.extend(single.values())
            return
        self.findings.append(cause)
        self.folded.extend(item for item in single.values() if item.finding_id in cause.explains)
        self.findings.extend(item for item in single.values() if item.finding_id not in cause.explains)

    def _conflicts(self, words: Floats, other: Floats) -> NDArray[np.bool_]:
        polar = self._section.polar_valence
        opposite = (np.minimum(words, other) < -polar) & (np.maximum(words, other) > polar)
        return np.asarray(opposite | (np.abs(words - other) > self._section.min_difference))

    def _single(self, pair: _Pair, other: str) -> Finding:
        polar = self._section.polar_valence
        opposite = min(pair.words, pair.other) < -polar and max(pair.words, pair.other) > polar
        difference = pair.other - pair.words
        said, heard = (_classes(pair.moods, side) for side in (WORDS, other))
        message = (
            f"Utterance {pair.utterance}: the words are {said} ({pair.words:+.2f}), the {other} is {heard} "
            f"({pair.other:+.2f})."
        )
        threshold = self._section.min_difference
        if opposite:
            return self.make("valence_conflict", message, pair.moods, difference, threshold=threshold)
        grave = pair.other < -polar and -difference >= self._section.major_voice_difference
        worse = grave and self._section.severity_of("intensity_conflict") == "minor"
        severity: Severity | None = "major" if worse else None
        return self.make("intensity_conflict", message, pair.moods, difference, threshold=threshold, severity=severity)

    def _cause(
        self, pairs: Sequence[_Pair], other: str, words: Floats, sound: Floats, single: Sequence[Finding]
    ) -> Finding | None:
        section, count = self._section, len(single)
        if count < section.min_cause_conflicts:
            return None
        allowed = section.cause_share * count
        best: tuple[int, int, str] | None = None
        left = int(self._conflicts(-words, sound).sum())
        if left <= allowed:
            best = (left, 0, "inverted")
        for shift in sorted(range(-section.max_shift, section.max_shift + 1), key=lambda n: (abs(n), n)):
            if shift == 0 or abs(shift) >= len(pairs) / 2:
                continue
            moved, kept = (words[shift:], sound[:-shift]) if shift > 0 else (words[:shift], sound[-shift:])
            # Utterances that fall off the end count as conflicts: a shift must earn what it leaves out.
            left = int(self._conflicts(moved, kept).sum()) + abs(shift) - 1
            if left <= allowed and (best is None or left < best[0]):
                best = (left, shift, "shifted")
        if best is None:
            return None
        left, shift, how = best
        moods = [mood for pair in pairs for mood in pair.moods]
        share = f"{count} of {len(pairs)} utterances conflict with their {other}"
        streams = "-".join(sorted({mood.stream for mood in moods}))
        kind: AffectAgreementKind = "shifted_labels" if how == "shifted" else "inverted_scale"
        if how == "shifted":
            message = (
                f"{share}; with the words' labels {abs(shift)} utterance(s) {'earlier' if shift > 0 else 'later'} only "
                f"{left} do: they stand at the wrong utterances."
            )
        else:
            message = f"{share}; with the words' valence upside down only {left} do: the scale is inverted."
        estimate: dict[str, bool | int | float | str] = {
            "shift_utterances": shift, "conflicts": count, "conflicts_left": left, "utterances": len(pairs)
        }  # fmt: skip
        return self.make(
            kind, message, moods[:2_000], float(count), threshold=float(section.min_cause_conflicts), identity=(),
            cause=Cause(kind=kind, group=f"affect:{kind}:{streams}"[:200], estimate=estimate),
            explains=[finding.finding_id for finding in single], place=other,
        )  # fmt: skip

    def conversation(self, moods: Sequence[Mood], other: str) -> None:
        """Judge the mean of the words against the mean of another side; they share no utterance."""
        sides = [[mood for mood in moods if mood.side == side] for side in (WORDS, other)]
        words, heard = (_mean(side) for side in sides)
        if not abs(words - heard) > self._section.conversation_difference:
            return
        polar = self._section.polar_valence
        opposite = min(words, heard) < -polar and max(words, heard) > polar
        upset = heard < -polar and words - heard >= self._section.major_voice_difference
        mild = self._section.severity_of("conversation_conflict") == "minor"
        self.findings.append(
            self.make(
                "conversation_conflict",
                f"Over the conversation the words are {_mood(words, polar)} ({words:+.2f}), the {other} is "
                f"{_mood(heard, polar)} ({heard:+.2f}).",
                [*sides[0], *sides[1]],
                heard - words,
                threshold=self._section.conversation_difference,
                severity="major" if (opposite or upset) and mild else None,
                identity=(),
                place=other,
            )
        )

    def record(self, moods: Sequence[Mood]) -> None:
        """Judge each statement of the record against the conversation: against the side that is nearest to it.

        A record that only one of words and voice contradicts still says which of them to doubt, and is named so.
        """
        section, polar = self._section, self._section.polar_valence
        means = {side: _mean([mood for mood in moods if mood.side == side]) for side in (WORDS, VOICE, FACE)}
        means = {side: value for side, value in means.items() if not np.isnan(value)}
        for mood in (item for item in moods if item.side == RECORD and item.valence is not None):
            valence = mood.valence or 0.0
            against = {side: value for side, value in means.items() if abs(value - valence) > section.record_difference}
            if not against:
                continue
            agreeing = [side for side in means if side not in against]
            shown = ", ".join(
                f"the {side} {_mood(value, polar)} ({value:+.2f})" for side, value in sorted(against.items())
            )
            support = f"; the {' and the '.join(sorted(agreeing))} agree with the record" if agreeing else ""
            strongest = max((value - valence for value in against.values()), key=abs)
            opposite = any(min(value, valence) < -polar and max(value, valence) > polar for value in against.values())
            mild = not opposite and not agreeing and section.severity_of("record_conflict") == "major"
            self.findings.append(
                self.make(
                    "record_conflict",
                    f"The record says {mood.label} ({valence:+.2f}), but over the conversation is {shown}{support}.",
                    [mood, *(item for item in moods if item.side in against)],
                    strongest,
                    threshold=section.record_difference,
                    severity="minor" if mild else None,
                    identity=(mood.annotation or "",),
                    place=f"{mood.stream}/{mood.label.rsplit(' ', 1)[0]}",
                )
            )


def _classes(moods: Sequence[Mood], side: str) -> str:
    return " and ".join(sorted({repr(mood.label) for mood in moods if mood.side == side}))


def _mood(valence: float, polar: float) -> str:
    return "pleasant" if valence > polar else "unpleasant" if valence < -polar else "neutral"

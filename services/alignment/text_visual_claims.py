"""Hold what a text claims against what is labelled: presence, number, attributes, absence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from services.alignment.text_mentions import LIKELY, UNKNOWN, Mention, MentionReader
from services.alignment.text_visual_source import Maker, Source, judged
from services.alignment.visual_evidence import Instance, count_range, stated
from services.contracts.findings import Cause, Finding, Measured, Severity
from services.contracts.labels_visual import FrameLabel, ImageClassification
from services.taxonomy.lookup import TaxonomyIndex

_SHOWN = 3


class Claims:
    """One text beside what is labelled.

    Args:
        maker: Makes the findings.
        index: The taxonomy.
        reader: Reads texts with it.
        source: The text.
        instances: What is labelled in the pictures that it describes; at least one.
    """

    def __init__(
        self, maker: Maker, index: TaxonomyIndex, reader: MentionReader, source: Source, instances: Sequence[Instance]
    ) -> None:
        self._maker = maker
        self._index = index
        self._source = source
        self._instances = instances
        spans = [(first, last, classes) for first, last, name, _ in source.spans if (classes := index.classes_of(name))]
        self._mentions = [mention for mention in reader.read(source.text, spans) if self._is_judged(mention)]
        self._named = reader.named(source.text) | {name for _, _, classes in spans for name in classes}
        self._groups: dict[tuple[str, ...], list[Instance]] = {}
        for instance in instances:
            self._groups.setdefault(instance.classes, []).append(instance)
        self._adds: dict[tuple[str, ...], list[int | None]] = {}
        for mention in self._mentions:
            if not mention.negated:
                self._adds.setdefault(mention.classes, []).append(mention.adds)
        pictures = {instance.label.stream for instance in instances}
        self._streams = tuple(dict.fromkeys((source.stream, *sorted(pictures))))
        # A class given to a whole image says what it is mainly of, and not what else there is.
        self._exhaustive = any(
            not isinstance(instance.label, ImageClassification | FrameLabel) for instance in instances
        )

    def findings(self) -> tuple[list[Finding], list[Finding]]:
        """Return (findings, symptoms folded under them)."""
        absent: list[tuple[Mention, Finding]] = []
        others: list[Finding] = []
        present = 0
        for mention in _distinct(self._mentions):
            seen = self._seen(mention)
            if mention.negated:
                others.extend(self._denied(mention))
            elif seen:
                present += 1
                others.extend(self._described(mention, seen))
            elif mention.low >= 1:
                absent.append((mention, self._absent(mention)))
        unmentioned = list(self._unmentioned(any_seen=bool(present)))
        if not self._exhaustive and present:
            absent = []
        # What the taxonomy names goes first: of two findings about one class its own is kept.
        absent.sort(key=lambda pair: pair[0].similarity is not None)
        named = [mention for mention, _ in absent if mention.similarity is None]
        distinct = {mention.classes for mention in named}
        if present or not named or (len(distinct) < 2 and not unmentioned):
            return [*dict_by_id([finding for _, finding in absent]), *others, *unmentioned], []
        folded = [*dict_by_id([finding for _, finding in absent]), *unmentioned]
        return [self._wrong_text(named, folded), *others], folded

    def _at_most(self, mention: Mention) -> Severity:
        meaning = self._maker.section.meaning
        return "critical" if mention.similarity is None or meaning is None else meaning.max_severity

    def _is_judged(self, mention: Mention) -> bool:
        return all(judged(self._index, self._maker.section, name) for name in mention.classes)

    def _seen(self, mention: Mention) -> list[Instance]:
        return self._chosen(mention, self._index.related)

    def _surely(self, mention: Mention) -> list[Instance]:
        """Return what is seen without the labels that are more general than the mention."""
        return self._chosen(mention, self._index.is_a)

    def _chosen(self, mention: Mention, fits: Callable[[str, str], bool]) -> list[Instance]:
        return [
            instance
            for classes, group in self._groups.items()
            if any(fits(one, other) for one in classes for other in mention.classes)
            for instance in group
        ]

    def _fits(self, mention: Mention, instance: Instance) -> bool | None:
        """Whether the label states what the text says of it; None where it does not say."""
        known = True
        for name, values in mention.attributes.items():
            rules = [rules[name] for one in instance.classes if name in (rules := self._index.attributes_of(one))]
            value = stated(instance.label, rules[0]) if rules else None
            if value is None:
                known = False
            elif value not in values:
                return False
        return True if known else None

    def _described(self, mention: Mention, seen: Sequence[Instance]) -> Iterator[Finding]:
        surely = self._surely(mention)
        possible = [item for item in seen if self._fits(mention, item) is not False or item.ignored]
        if mention.attributes and not possible and mention.low >= 1:
            yield self._wrong_attribute(mention, seen)
            return
        few, most = count_range(surely)[0], count_range(possible)[1]
        if mention.attributes:
            few = count_range([item for item in surely if self._fits(mention, item)])[0]
        if mention.low > most:
            yield self._count(mention, possible or seen, int(most), mention.low, "at most", "major")
            return
        limit = self._limit(mention)
        if limit is not None and few > limit and mention.certainty != UNKNOWN:
            severity = "minor" if mention.certainty == LIKELY else "major"
            yield self._count(mention, surely, few, limit, "at least", severity)

    def _limit(self, mention: Mention) -> int | None:
        """Return the greatest number that the whole text allows of a thing, other phrases for it included."""
        if mention.high is None:
            return None
        total = 0
        for classes, adds in self._adds.items():
            if any(self._index.related(one, two) for one in classes for two in mention.classes):
                for number in adds:
                    if number is None:
                        return None
                    total += number
        return max(total, mention.high)

    def _count(
        self, mention: Mention, seen: Sequence[Instance], number: int, claimed: int, how: str, severity: str
    ) -> Finding:
        name = _names(mention)
        return self._maker.make(
            "count_mismatch",
            "minor" if severity == "minor" else "major",
            f"The text says {_quoted(mention)}, and {how} {number} of class {name} {_are(number)} labelled.",
            streams=self._streams,
            annotations=self._labels(mention, seen),
            place=f"{name}:{mention.text.casefold()}",
            at_most=self._at_most(mention),
            measured=Measured(value=float(number), unit="instances", threshold=float(claimed)),
        )

    def _wrong_attribute(self, mention: Mention, seen: Sequence[Instance]) -> Finding:
        said = ", ".join(
            f"{name} {' or '.join(sorted(map(str, mention.attributes[name])))}" for name in mention.attributes
        )
        shown = sorted(
            {
                str(value)
                for instance in seen
                for name in mention.attributes
                for one in instance.classes
                if (rule := self._index.attributes_of(one).get(name)) is not None
                and (value := stated(instance.label, rule)) is not None
            }
        )
        return self._maker.make(
            "attribute_mismatch",
            "major",
            f"The text says {_quoted(mention)} ({said}); every label of class {_names(mention)} says "
            f"{' or '.join(shown[:_SHOWN])}.",
            streams=self._streams,
            annotations=self._labels(mention, seen),
            place=f"{_names(mention)}:{mention.text.casefold()}",
            at_most=self._at_most(mention),
            measured=Measured(value=float(len(seen)), unit="contradicting labels", threshold=0.0),
        )

    def _denied(self, mention: Mention) -> Iterator[Finding]:
        against = [item for item in self._surely(mention) if self._fits(mention, item) is True and not item.ignored]
        if against and mention.certainty != UNKNOWN:
            name = _names(mention)
            yield self._maker.make(
                "negation_conflict",
                "minor" if mention.certainty == LIKELY else "major",
                f"The text says {_quoted(mention)}, and {len(against)} of class {name} {_are(len(against))} labelled.",
                streams=self._streams,
                annotations=self._labels(mention, against),
                place=f"{name}:{mention.text.casefold()}",
                at_most=self._at_most(mention),
                measured=Measured(value=float(len(against)), unit="instances", threshold=0.0),
            )

    def _absent(self, mention: Mention) -> Finding:
        name = _names(mention)
        seen = sorted({instance.label.label for instance in self._instances})
        return self._maker.make(
            "mentioned_not_seen",
            "major",
            f"The text mentions {_quoted(mention)}, and no {name} is labelled; labelled are {', '.join(seen[:_SHOWN])}"
            f"{' and others' if len(seen) > _SHOWN else ''}.",
            streams=self._streams,
            annotations=self._labels(mention, ()),
            place=name,
            at_most=self._at_most(mention),
            measured=Measured(value=0.0, unit="instances", threshold=float(mention.low)),
        )

    def _unmentioned(self, *, any_seen: bool) -> Iterator[Finding]:
        section = self._maker.section
        groups: dict[tuple[str, ...], list[Instance]] = {}
        for instance in self._instances:
            if instance.classes and not instance.ignored:
                groups.setdefault(instance.classes, []).append(instance)
        for classes, group in sorted(groups.items()):
            if any(self._index.related(one, other) for one in classes for other in self._named):
                continue
            required = any(self._index.is_a(one, name) for one in classes for name in section.must_mention)
            whole = all(isinstance(item.label, ImageClassification | FrameLabel) for item in group)
            share = max(item.area_share for item in group)
            spoken_of = bool(self._mentions) and section.taxonomy is not None and not (whole and any_seen)
            if required or (spoken_of and share >= section.min_unmentioned_area_share):
                name = " or ".join(classes)
                yield self._maker.make(
                    "seen_not_mentioned",
                    "major" if required else "minor",
                    f"{len(group)} of class {name} {_are(len(group))} labelled, covering up to {share:.0%} of the "
                    "image, and the text does not mention it.",
                    streams=self._streams,
                    annotations=tuple(sorted(item.label.id for item in group)),
                    place=name,
                    measured=Measured(
                        value=share, unit="share of the image", threshold=section.min_unmentioned_area_share
                    ),
                )

    def _wrong_text(self, mentions: Sequence[Mention], folded: Sequence[Finding]) -> Finding:
        names = sorted({_names(mention) for mention in mentions})
        seen = sorted({instance.label.label for instance in self._instances})
        return self._maker.make(
            "mentioned_not_seen",
            "major",
            f"Nothing that the text mentions ({', '.join(names[:_SHOWN])}) is labelled, and labelled are "
            f"{', '.join(seen[:_SHOWN])}: the text seems to belong to another picture.",
            streams=self._streams,
            annotations=(self._source.annotation,) if self._source.annotation else (),
            place="the whole text",
            measured=Measured(value=float(len(names)), unit="classes mentioned and not labelled", threshold=0.0),
            cause=Cause(
                kind="wrong_text",
                group=f"wrong_text:{self._source.stream}",
                estimate={"classes_mentioned_not_seen": len(names), "classes_mentioned_and_seen": 0},
            ),
            explains=tuple(finding.finding_id for finding in folded),
        )

    def _labels(self, mention: Mention, seen: Sequence[Instance]) -> tuple[str, ...]:
        ids = {instance.label.id for instance in seen}
        ids.update(name for first, last, _, name in self._source.spans if first < mention.end and last > mention.start)
        if self._source.annotation is not None:
            ids.add(self._source.annotation)
        return tuple(sorted(ids))


def dict_by_id(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings once an id, the first of each."""
    found: dict[str, Finding] = {}
    for finding in findings:
        found.setdefault(finding.finding_id, finding)
    return list(found.values())


def _distinct(mentions: Sequence[Mention]) -> Iterator[Mention]:
    """Yield what is said, once: a text that repeats itself claims nothing more."""
    said: set[tuple[object, ...]] = set()
    for mention in mentions:
        attributes = tuple(sorted((name, tuple(sorted(map(str, v)))) for name, v in mention.attributes.items()))
        claim = (mention.classes, mention.text.casefold(), mention.negated, mention.certainty, attributes)
        if claim not in said:
            said.add(claim)
            yield mention


def _quoted(mention: Mention) -> str:
    if mention.similarity is None:
        return f"“{mention.text}”"
    return f"“{mention.text}” (by its meaning {_names(mention)}, similarity {mention.similarity:.2f})"


def _names(mention: Mention) -> str:
    return " or ".join(mention.classes)


def _are(number: int) -> str:
    return "is" if number == 1 else "are"

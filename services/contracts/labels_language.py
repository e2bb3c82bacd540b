"""Label kinds for text and audio."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.contracts.base import Contract, Identifier, LongText, Name, Seconds
from services.contracts.label_base import LabelBase, TimedLabel

CharIndex = Annotated[int, Field(ge=0, le=100_000_000)]


class EntitySpan(LabelBase):
    """A stretch of text that names something."""

    type: Literal["entity_span"] = "entity_span"
    start_char: CharIndex = Field(description="First character, from 0, in Unicode code points.")
    end_char: CharIndex = Field(description="One past the last character.")
    text: LongText | None = Field(default=None, description="The characters of the span, for checking.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end_char <= self.start_char:
            raise ValueError(f"end_char {self.end_char} must be greater than start_char {self.start_char}")
        return self


class Intent(LabelBase):
    """What the writer or speaker wants."""

    type: Literal["intent"] = "intent"


class Sentiment(LabelBase):
    """The attitude a text expresses."""

    type: Literal["sentiment"] = "sentiment"
    score: Annotated[float, Field(ge=-1, le=1)] | None = Field(default=None, description="-1 negative to 1 positive.")


class TextClassification(LabelBase):
    """The class of a whole text."""

    type: Literal["text_classification"] = "text_classification"


class Relation(LabelBase):
    """A directed relation between two other labels of the sample."""

    type: Literal["relation"] = "relation"
    from_id: Identifier = Field(description="Id of the label the relation starts from.")
    to_id: Identifier = Field(description="Id of the label the relation points to.")


class Summary(LabelBase):
    """A text that sums up a stream."""

    type: Literal["summary"] = "summary"
    text: LongText


class Word(Contract):
    """One word with its own times."""

    text: Name
    start_s: Seconds
    end_s: Seconds


class TranscriptSegment(TimedLabel):
    """What was said, from when to when."""

    type: Literal["transcript_segment"] = "transcript_segment"
    label: Name = "speech"
    text: LongText
    speaker: Identifier | None = None
    language: Name | None = Field(default=None, description="BCP 47 tag, such as en-GB.")
    words: Annotated[tuple[Word, ...], Field(max_length=20_000)] = ()


class SpeakerTurn(TimedLabel):
    """Who speaks when; the label is the speaker's role or name."""

    type: Literal["speaker_turn"] = "speaker_turn"
    label: Name = "speaker"
    speaker: Identifier


class SoundEvent(TimedLabel):
    """A named sound, such as a door or a siren."""

    type: Literal["sound_event"] = "sound_event"


class Emotion(TimedLabel):
    """The emotion a voice carries."""

    type: Literal["emotion"] = "emotion"
    valence: Annotated[float, Field(ge=-1, le=1)] | None = None
    arousal: Annotated[float, Field(ge=-1, le=1)] | None = None


class AcousticEvent(TimedLabel):
    """A property of the recording itself, such as noise, clipping or silence."""

    type: Literal["acoustic_event"] = "acoustic_event"
    level_db: Annotated[float, Field(ge=-200, le=200)] | None = None


LANGUAGE_KINDS = (
    EntitySpan, Intent, Sentiment, TextClassification, Relation, Summary,
    TranscriptSegment, SpeakerTurn, SoundEvent, Emotion, AcousticEvent,
)  # fmt: skip

"""Which models a project asks for a first set of labels, as data: one entry a source, by its ``kind``."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from services.contracts.base import Contract, Fraction, Identifier, Name

TagName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$")]
HttpUrl = Annotated[str, StringConstraints(min_length=8, max_length=2_000, pattern=r"^https?://[^\s@?#]+$")]

ObjectType = Literal["Image", "Audio", "Text"]
ControlType = Literal["RectangleLabels", "PolygonLabels", "KeyPointLabels", "Labels", "Choices", "TextArea"]


class ObjectTag(Contract):
    """What is shown to the model: a stream of the sample under the name that the model's answer uses."""

    name: TagName = Field(description="The to_name of a result, and the key of the task's data.")
    type: ObjectType
    stream: Identifier


class ControlTag(Contract):
    """What the model may answer: a control of the Label Studio labelling configuration."""

    name: TagName = Field(description="The from_name of a result.")
    to_name: TagName
    type: ControlType
    labels: Annotated[tuple[Name, ...], Field(max_length=1_000)] = Field(
        default=(), description="The classes the control offers; a TextArea has none."
    )


class HttpModel(Contract):
    """A model behind HTTP that speaks the Label Studio ML backend protocol."""

    kind: Literal["http"] = "http"
    name: Identifier = "http-model"
    url: HttpUrl = Field(description="Base address; /predict, /setup and /health are appended to it.")
    model_version: Name | None = Field(
        default=None, description="Written into the labels where the answer names no version."
    )
    objects: Annotated[tuple[ObjectTag, ...], Field(min_length=1, max_length=50)]
    controls: Annotated[tuple[ControlTag, ...], Field(min_length=1, max_length=50)]
    label_map: Annotated[dict[Name, Name], Field(max_length=1_000)] = Field(
        default_factory=dict, description="The model's class → the taxonomy's class, where they differ."
    )
    send: Literal["uri", "data_uri"] = Field(
        default="uri", description="Send the stream's address, or its bytes as a data: URI."
    )
    setup: bool = Field(default=False, description="POST /setup before /predict, for models that need it.")
    timeout_s: Annotated[float, Field(gt=0, le=300)] = Field(default=20.0, description="Of one attempt.")
    budget_s: Annotated[float, Field(gt=0, le=600)] = Field(
        default=60.0, description="Of everything together: reading assets, attempts and the waits between."
    )
    retries: Annotated[int, Field(ge=0, le=5)] = 2
    max_request_bytes: Annotated[int, Field(ge=1_000, le=256_000_000)] = 32_000_000
    max_response_bytes: Annotated[int, Field(ge=1_000, le=64_000_000)] = 8_000_000

    @model_validator(mode="after")
    def _names_resolve(self) -> Self:
        object_names = [tag.name for tag in self.objects]
        control_names = [tag.name for tag in self.controls]
        for names, what in ((object_names, "objects"), (control_names, "controls")):
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise ValueError(f"{what}: the name {repeated[0]!r} is used twice; names are unique")
        for index, control in enumerate(self.controls):
            if control.to_name not in object_names:
                raise ValueError(
                    f"controls/{index}/to_name: there is no object {control.to_name!r}; "
                    f"objects are {sorted(object_names)}"
                )
        return self


class LabelFilePredictions(Contract):
    """Predictions that arrive with the sample, in the manifest's label files of role ``prediction``."""

    kind: Literal["label_files"] = "label_files"
    name: Identifier = "label-files"
    max_file_bytes: Annotated[int, Field(ge=1, le=256_000_000)] = 64_000_000


class SpeechActivity(Contract):
    """When somebody speaks, by the Silero voice activity network; needs the extra ``speech``."""

    kind: Literal["speech_activity"] = "speech_activity"
    name: Identifier = "silero-vad"
    streams: Annotated[tuple[Identifier, ...], Field(max_length=200)] = Field(
        default=(), description="Audio streams to listen to; empty means all of them."
    )
    label: Name = "speech"
    threshold: Fraction = Field(default=0.5, description="Probability from which a frame is speech.")
    min_speech_s: Annotated[float, Field(ge=0, le=10)] = 0.25
    min_silence_s: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.1, description="Shorter pauses do not end a span."
    )
    pad_s: Annotated[float, Field(ge=0, le=1)] = Field(default=0.03, description="Added to both ends of a span.")
    budget_s: Annotated[float, Field(gt=0, le=600)] = 60.0


class TextInImages(Contract):
    """Which text stands where in an image, by optical character recognition; needs the extra ``ocr``."""

    kind: Literal["text_in_images"] = "text_in_images"
    name: Identifier = "rapidocr"
    streams: Annotated[tuple[Identifier, ...], Field(max_length=200)] = Field(
        default=(), description="Image streams to read; empty means all of them."
    )
    label: Name = "text"
    shape: Literal["box", "polygon"] = "box"
    min_confidence: Fraction = 0.5
    max_pixels: Annotated[int, Field(ge=10_000, le=400_000_000)] = Field(
        default=50_000_000, description="A larger image is refused before it is decoded."
    )
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    budget_s: Annotated[float, Field(gt=0, le=600)] = 60.0


PreLabelSource = Annotated[
    HttpModel | LabelFilePredictions | SpeechActivity | TextInImages, Field(discriminator="kind")
]


def _named_apart(sources: tuple[PreLabelSource, ...]) -> tuple[PreLabelSource, ...]:
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two sources are named {name!r}; give each a name of its own")
    return sources


PreLabelSources = Annotated[tuple[PreLabelSource, ...], Field(max_length=20), AfterValidator(_named_apart)]

"""From a project's configuration to the models it names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from infra.pre_label.http import HttpPreLabeler
from infra.pre_label.label_files import LabelFilePreLabeler
from infra.pre_label.speech_activity import SpeechActivityPreLabeler
from infra.pre_label.text_in_images import TextInImagesPreLabeler
from services.contracts.pre_label import HttpModel, LabelFilePredictions, PreLabelSource, SpeechActivity
from services.errors import PreLabelError
from services.ports.pre_label import PreLabeler


def build_pre_labelers(
    sources: Sequence[PreLabelSource], *, allowed_hosts: Collection[str] = frozenset()
) -> tuple[PreLabeler, ...]:
    """Return one pre-labeler a source, in their order.

    Args:
        sources: The project's configuration.
        allowed_hosts: ``host`` or ``host:port`` that models may be asked at; the operator's setting, not the project's.

    Raises:
        PreLabelError: A model's host is not allowed, or two sources have one name.
    """
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise PreLabelError(f"Two pre-label sources are named {name!r}; names are unique in a project")
    return tuple(_built(source, allowed_hosts) for source in sources)


def _built(source: PreLabelSource, allowed_hosts: Collection[str]) -> PreLabeler:
    if isinstance(source, HttpModel):
        return HttpPreLabeler(source, allowed_hosts=allowed_hosts)
    if isinstance(source, LabelFilePredictions):
        return LabelFilePreLabeler(source)
    if isinstance(source, SpeechActivity):
        return SpeechActivityPreLabeler(source)
    return TextInImagesPreLabeler(source)

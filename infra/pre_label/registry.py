"""From a project's configuration to the models it names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from infra.pre_label.http import HttpPreLabeler
from infra.pre_label.label_files import LabelFilePreLabeler
from infra.pre_label.local_model import ModelThread
from infra.pre_label.silence import ListenedTo, Silences
from infra.pre_label.speech_activity import SpeechActivityPreLabeler
from infra.pre_label.text_in_images import TextInImagesPreLabeler, TextReader
from services.contracts.pre_label import HttpModel, LabelFilePredictions, PreLabelSource, SpeechActivity
from services.ports.pre_label import PreLabeler


class PreLabelers:
    """Makes pre-labelers, and keeps what they share on this machine.

    Args:
        allowed_hosts: ``host`` or ``host:port`` that models may be asked at; the operator's setting, not the project's.
    """

    def __init__(self, allowed_hosts: Collection[str] = frozenset()) -> None:
        self._allowed_hosts = allowed_hosts
        self._silences = Silences()
        self._speech = ModelThread("speech")
        self._text = TextReader()

    def __call__(self, sources: Sequence[PreLabelSource]) -> tuple[PreLabeler, ...]:
        """Return one pre-labeler a source, in their order.

        Raises:
            PreLabelError: A model's host is not allowed.
        """
        return tuple(self._made(source) for source in sources)

    def _made(self, source: PreLabelSource) -> PreLabeler:
        if isinstance(source, HttpModel):
            model = HttpPreLabeler(source, allowed_hosts=self._allowed_hosts)
            return ListenedTo(model, source, self._silences)
        if isinstance(source, LabelFilePredictions):
            return LabelFilePreLabeler(source)
        if isinstance(source, SpeechActivity):
            return SpeechActivityPreLabeler(source, self._speech)
        return TextInImagesPreLabeler(source, self._text)

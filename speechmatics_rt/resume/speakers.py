"""Speaker labels over several sessions, and how the next session recognises the speakers of the last.

Each session counts its speakers from S1. The service recognises a speaker of an earlier session by
identifiers, which GetSpeakers returns and StartRecognition accepts, under a label of our choice. So a
speaker whose identifiers are known keeps its label; a new speaker gets the next number.
Pure: no thread, clock or socket; its owner's lock guards it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Speakers"]

_GENERIC = re.compile(r"S(\d{1,4})")  # more digits can't be true, and later labels would count on from them
_MOST_IDENTIFIERS = 50  # that StartRecognition accepts in total
_SOON, _LATER = 5.0, 60.0  # seconds of audio until the next question: for a new speaker, or an update


class Speakers:
    """Labels the speakers of several sessions as one session would.

    Speakers are carried over only with diarization ``"speaker"``: with channels, the service does not say on
    which one a speaker was. Otherwise numbering continues, so that a new speaker never gets the label of
    another one.

    Args:
        config: The transcription config of the first session.

    Attributes:
        renamed: Labels from before the current session that will not come again.

    Example:
        >>> speakers = Speakers({"language": "en", "diarization": "speaker"})
        >>> speakers.heard(["S1", "S2"])
        >>> speakers.answered([{"label": "S1", "speaker_identifiers": ["abc"]}])
        >>> speakers.begin()
        >>> carried = speakers.start({"transcription_config": {"language": "en", "diarization": "speaker"}})
        >>> carried["transcription_config"]["speaker_diarization_config"]["speakers"]
        [{'label': 'S1 (resumed)', 'speaker_identifiers': ['abc']}]
        >>> speakers.whole("S1 (resumed)"), speakers.whole("S1"), speakers.renamed
        ('S1', 'S3', ['S2'])
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.renamed: list[str] = []
        self._carries = config.get("diarization") == "speaker"
        enrolled = (config.get("speaker_diarization_config") or {}).get("speakers") or []
        self._enrolled = {one for speaker in enrolled for one in _texts(speaker.get("speaker_identifiers"))}
        self._carried: dict[str, list[str]] = {}  # into the current session: overall labels, identifiers
        self._generic: dict[str, list[str]] = {}  # overall labels, in order, with their identifiers
        self._names: dict[str, str] = {}  # labels given to the current session, and their overall labels
        self._highest = self._before = 0  # speaker numbers: so far, and before the current session
        self._asked_at = float("-inf")  # seconds of audio
        self._answered = True  # the last question

    # -- what they are called --------------------------------------------------------------------------

    def begin(self) -> None:
        """Let another session take over, which will recognise speakers whose identifiers are known."""
        self._before = self._highest
        self._carried = self._shared_out() if self._carries else {}
        self._names = {f"{label} (resumed)": label for label in self._carried}
        self.renamed = [label for label in self._generic if label not in self._carried]

    def whole(self, label: str) -> str:
        """Return the overall label of a speaker of the current session."""
        number = _GENERIC.fullmatch(label)
        if number is not None:
            return f"S{int(number[1]) + self._before}"
        return self._names.get(label, label)

    def heard(self, labels: Iterable[str]) -> None:
        """Note who has spoken, by overall labels."""
        for label in labels:
            number = _GENERIC.fullmatch(label)
            if number is not None and label not in self._generic:
                self._highest = max(self._highest, int(number[1]))
                self._generic[label] = []

    # -- how they are known again ----------------------------------------------------------------------

    @property
    def asks(self) -> bool:
        """Whether there are speakers to ask about."""
        return self._carries and bool(self._generic)

    @property
    def has_asked(self) -> bool:
        return self._asked_at >= 0

    def is_due(self, until: float) -> bool:
        """Whether it is time to ask for the speakers, with audio transcribed ``until`` then."""
        unknown = not all(self._generic.values())
        return until - self._asked_at >= (_SOON if unknown and self._answered else _LATER)

    def asked(self, until: float) -> None:
        self._asked_at, self._answered = until, False

    def answered(self, speakers: Any) -> None:
        """Store the speakers of an answer, under their overall labels."""
        self._answered = True
        for speaker in speakers if isinstance(speakers, list) else []:
            label = speaker.get("label") if isinstance(speaker, Mapping) else None
            if isinstance(label, str) and _GENERIC.fullmatch(label):
                self.heard([label])
                self._generic[label] = _texts(speaker.get("speaker_identifiers")) or self._generic[label]

    @property
    def in_play(self) -> bool:
        """Whether a refusal by the service may be due to a question or speakers sent here."""
        return bool(self._names) or not self._answered

    def give_up(self) -> None:
        """Stop asking for and carrying over speakers: the service refuses it."""
        self._carries, self._answered = False, True

    def start(self, start: Mapping[str, Any]) -> dict[str, Any]:
        """Return StartRecognition with the speakers to be recognised."""
        again = copy.deepcopy(dict(start))
        if self._carried:
            config = again["transcription_config"]
            config["speaker_diarization_config"] = dict(config.get("speaker_diarization_config") or {})
            config["speaker_diarization_config"]["speakers"] = [
                *(config["speaker_diarization_config"].get("speakers") or []),
                *(
                    {"label": name, "speaker_identifiers": self._carried[label]}
                    for name, label in self._names.items()
                ),
            ]
        return again

    def _shared_out(self) -> dict[str, list[str]]:
        """Distribute the allowed identifiers: a first one for every speaker, then a second one, and so on."""
        taken = set(self._enrolled)
        carried: dict[str, list[str]] = {}
        for rank in range(_MOST_IDENTIFIERS):
            for label, identifiers in self._generic.items():
                one = identifiers[rank] if rank < len(identifiers) else None
                if one is not None and one not in taken and len(taken) < _MOST_IDENTIFIERS:
                    taken.add(one)
                    carried.setdefault(label, []).append(one)
        return carried


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str) and one] if isinstance(value, list) else []

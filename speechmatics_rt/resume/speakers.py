"""Who speaks, over several sessions: what they are called, and how the next session knows them again.

Each session counts its speakers from S1. The service knows a speaker of an earlier session again by
identifiers, which it gives to who asks (GetSpeakers) and takes in StartRecognition, under a label of our
own choice. So a speaker keeps a label as long as identifiers are known; who is new gets the next number.
Pure: no thread, clock or socket; its owner's lock guards it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Speakers"]

_GENERIC = re.compile(r"S(\d{1,4})")  # of more digits it would be a lie, and be counted on for ever
_MOST_IDENTIFIERS = 50  # that StartRecognition takes, in all
_SOON, _LATER = 5.0, 60.0  # seconds of audio until the next question: for somebody new, or a better answer


class Speakers:
    """Label the speakers of several sessions as one session would.

    Only with diarization ``"speaker"`` are they carried over: of several channels the service doesn't say
    on which a speaker was heard. Otherwise generic labels are numbered on, so that nobody new gets the
    label of somebody else.

    Args:
        config: The transcription config of the first session.

    Attributes:
        renamed: Labels that came before the present session and will not come again.

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
        self._carried: dict[str, list[str]] = {}  # of the present session: whole labels, identifiers
        self._generic: dict[str, list[str]] = {}  # whole labels, as they came, with their identifiers
        self._names: dict[str, str] = {}  # those the present session was given, and whose they are
        self._highest = self._before = 0  # numbers of speakers: so far, and before the present session
        self._asked_at = float("-inf")  # seconds of audio
        self._answered = True  # the last question

    # -- what they are called --------------------------------------------------------------------------

    def begin(self) -> None:
        """Let another session take over: it will know those whose identifiers are known by now."""
        self._before = self._highest
        self._carried = self._shared_out() if self._carries else {}
        self._names = {f"{label} (resumed)": label for label in self._carried}
        self.renamed = [label for label in self._generic if label not in self._carried]

    def whole(self, label: str) -> str:
        """Return what a speaker of the present session is called in the whole."""
        number = _GENERIC.fullmatch(label)
        if number is not None:
            return f"S{int(number[1]) + self._before}"
        return self._names.get(label, label)

    def heard(self, labels: Iterable[str]) -> None:
        """Note who has spoken, by whole labels."""
        for label in labels:
            number = _GENERIC.fullmatch(label)
            if number is not None and label not in self._generic:
                self._highest = max(self._highest, int(number[1]))
                self._generic[label] = []

    # -- how they are known again ----------------------------------------------------------------------

    @property
    def asks(self) -> bool:
        """Whether there is anybody to ask for."""
        return self._carries and bool(self._generic)

    @property
    def has_asked(self) -> bool:
        return self._asked_at >= 0

    def is_due(self, until: float) -> bool:
        """Whether it is time to ask who speaks, with everything heard up to that second."""
        unknown = not all(self._generic.values())
        return until - self._asked_at >= (_SOON if unknown and self._answered else _LATER)

    def asked(self, until: float) -> None:
        self._asked_at, self._answered = until, False

    def answered(self, speakers: Any) -> None:
        """Take in a list of speakers, under their whole labels."""
        self._answered = True
        for speaker in speakers if isinstance(speakers, list) else []:
            label = speaker.get("label") if isinstance(speaker, Mapping) else None
            if isinstance(label, str) and _GENERIC.fullmatch(label):
                self.heard([label])
                self._generic[label] = _texts(speaker.get("speaker_identifiers")) or self._generic[label]

    @property
    def in_play(self) -> bool:
        """Whether a refusal by the service may be one of what was asked or carried here."""
        return bool(self._names) or not self._answered

    def give_up(self) -> None:
        """Neither ask nor carry any more: the service wants none of it."""
        self._carries, self._answered = False, True

    def start(self, start: Mapping[str, Any]) -> dict[str, Any]:
        """Return StartRecognition with those in it who are to be known."""
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
        """Share the room for identifiers out: a first one to everybody, then a second one, and so on."""
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

"""A recogniser that is chosen by the audio that comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Optional, Union

from .engine import Recogniser
from .heard import Search

__all__ = ["Choosing"]


class Choosing:
    """Waits until a search for the place of the audio is over; from then on it is the recogniser chosen.

    Args:
        search: It is fed with the audio.
        choose: Makes the recogniser, once the search is over or an answer is wanted.
    """

    def __init__(self, search: Search[Any], choose: Callable[[], Recogniser]) -> None:
        self._search = search
        self._choose = choose
        self._chosen: Optional[Recogniser] = None
        self._before: list[Union[bytes, Mapping[str, Any]]] = []  # audio and changes that came before it
        self._waiting: list[dict[str, Any]] = []  # messages for these
        if search.over:
            self._one()

    def _one(self) -> Recogniser:
        if self._chosen is None:
            self._chosen = self._choose()
            for came in self._before:
                if isinstance(came, Mapping):
                    self._chosen.configure(came)
                else:
                    self._waiting += self._chosen.feed(came)
            self._before.clear()
        return self._chosen

    def _with_waiting(self, messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        waiting, self._waiting = self._waiting, []
        return [*waiting, *messages]

    def feed(self, audio: bytes) -> Iterable[dict[str, Any]]:
        if self._chosen is not None:
            return self._with_waiting(self._chosen.feed(audio)) if self._waiting else self._chosen.feed(audio)
        self._search.feed(audio)
        self._before.append(audio)
        if self._search.over:
            self._one()
        return self._with_waiting(())

    def configure(self, changes: Mapping[str, Any]) -> None:
        if self._chosen is not None:
            self._chosen.configure(changes)
        else:
            self._before.append(changes)

    def force_end_of_utterance(self, timestamp: Optional[float]) -> list[dict[str, Any]]:
        return self._with_waiting(self._one().force_end_of_utterance(timestamp))

    def speakers(self) -> list[dict[str, Any]]:
        return [] if self._chosen is None else self._chosen.speakers()

    def finish(self) -> list[dict[str, Any]]:
        return self._with_waiting(self._one().finish())

    def complete(self) -> None:
        getattr(self._chosen, "complete", lambda: None)()

    def close(self) -> None:
        if self._chosen is not None:
            self._chosen.close()

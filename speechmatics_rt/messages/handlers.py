"""Which message the handler of each event gets, for type checkers and editors only.

Nothing imports this at run time, and it contains no logic: a table of the events, and two signatures for
each, since a function can be registered by a call or by a decorator.
"""

from __future__ import annotations

from typing import Any, Callable, Literal, Protocol, TypeVar, Union, overload

from .types import (
    AddPartialTranscriptMessage,
    AddPartialTranslationMessage,
    AddTranscriptMessage,
    AddTranslationMessage,
    AudioAddedMessage,
    AudioEventEndedMessage,
    AudioEventStartedMessage,
    ChannelAudioAddedMessage,
    EndOfTranscriptMessage,
    EndOfUtteranceMessage,
    ErrorMessage,
    InfoMessage,
    LanguageInfoMessage,
    RecognitionPausedMessage,
    RecognitionResumedMessage,
    RecognitionStartedMessage,
    ReconnectingMessage,
    ResumedMessage,
    ServerMessage,
    ServerMessageType,
    SessionEndedMessage,
    SpeakersResultMessage,
    UtteranceMessage,
    WarningMessage,
)

__all__ = ["HandlerDecorator"]

_Name = ServerMessageType
_M = TypeVar("_M")
_Plain = dict[str, Any]
_Taking = Callable[[_M], Any]
_Callback = Callable[..., Any]
# To a type checker, a function that takes a dict can't take a TypedDict, as it might add keys. Here it may.
_Handler = Union[_Taking[_M], _Taking[_Plain]]

# -- the events ----------------------------------------------------------------------------------------

_RecognitionStarted = Literal["RecognitionStarted", _Name.RECOGNITION_STARTED]
_AudioAdded = Literal["AudioAdded", _Name.AUDIO_ADDED]
_AddPartialTranscript = Literal["AddPartialTranscript", _Name.ADD_PARTIAL_TRANSCRIPT]
_AddTranscript = Literal["AddTranscript", _Name.ADD_TRANSCRIPT]
_EndOfTranscript = Literal["EndOfTranscript", _Name.END_OF_TRANSCRIPT]
_EndOfUtterance = Literal["EndOfUtterance", _Name.END_OF_UTTERANCE]
_AudioEventStarted = Literal["AudioEventStarted", _Name.AUDIO_EVENT_STARTED]
_AudioEventEnded = Literal["AudioEventEnded", _Name.AUDIO_EVENT_ENDED]
_AddTranslation = Literal["AddTranslation", _Name.ADD_TRANSLATION]
_AddPartialTranslation = Literal["AddPartialTranslation", _Name.ADD_PARTIAL_TRANSLATION]
_SpeakersResult = Literal["SpeakersResult", _Name.SPEAKERS_RESULT]
_LanguageInfo = Literal["LanguageInfo", _Name.LANGUAGE_INFO]
_Info = Literal["Info", _Name.INFO]
_Warning = Literal["Warning", _Name.WARNING]
_Error = Literal["Error", _Name.ERROR]
_ChannelAudioAdded = Literal["ChannelAudioAdded", _Name.CHANNEL_AUDIO_ADDED]
_RecognitionPaused = Literal["RecognitionPaused", _Name.RECOGNITION_PAUSED]
_RecognitionResumed = Literal["RecognitionResumed", _Name.RECOGNITION_RESUMED]
_Reconnecting = Literal["Reconnecting"]
_Resumed = Literal["Resumed"]
_SessionEnded = Literal["SessionEnded"]
_Utterance = Literal["Utterance"]

# -- what a decorator takes and returns ----------------------------------------------------------------

_OnRecognitionStarted = TypeVar("_OnRecognitionStarted", bound=_Handler[RecognitionStartedMessage])
_OnAudioAdded = TypeVar("_OnAudioAdded", bound=_Handler[AudioAddedMessage])
_OnAddPartialTranscript = TypeVar("_OnAddPartialTranscript", bound=_Handler[AddPartialTranscriptMessage])
_OnAddTranscript = TypeVar("_OnAddTranscript", bound=_Handler[AddTranscriptMessage])
_OnEndOfTranscript = TypeVar("_OnEndOfTranscript", bound=_Handler[EndOfTranscriptMessage])
_OnEndOfUtterance = TypeVar("_OnEndOfUtterance", bound=_Handler[EndOfUtteranceMessage])
_OnAudioEventStarted = TypeVar("_OnAudioEventStarted", bound=_Handler[AudioEventStartedMessage])
_OnAudioEventEnded = TypeVar("_OnAudioEventEnded", bound=_Handler[AudioEventEndedMessage])
_OnAddTranslation = TypeVar("_OnAddTranslation", bound=_Handler[AddTranslationMessage])
_OnAddPartialTranslation = TypeVar("_OnAddPartialTranslation", bound=_Handler[AddPartialTranslationMessage])
_OnSpeakersResult = TypeVar("_OnSpeakersResult", bound=_Handler[SpeakersResultMessage])
_OnLanguageInfo = TypeVar("_OnLanguageInfo", bound=_Handler[LanguageInfoMessage])
_OnInfo = TypeVar("_OnInfo", bound=_Handler[InfoMessage])
_OnWarning = TypeVar("_OnWarning", bound=_Handler[WarningMessage])
_OnError = TypeVar("_OnError", bound=_Handler[ErrorMessage])
_OnChannelAudioAdded = TypeVar("_OnChannelAudioAdded", bound=_Handler[ChannelAudioAddedMessage])
_OnRecognitionPaused = TypeVar("_OnRecognitionPaused", bound=_Handler[RecognitionPausedMessage])
_OnRecognitionResumed = TypeVar("_OnRecognitionResumed", bound=_Handler[RecognitionResumedMessage])
_OnReconnecting = TypeVar("_OnReconnecting", bound=_Handler[ReconnectingMessage])
_OnResumed = TypeVar("_OnResumed", bound=_Handler[ResumedMessage])
_OnSessionEnded = TypeVar("_OnSessionEnded", bound=_Handler[SessionEndedMessage])
_OnUtterance = TypeVar("_OnUtterance", bound=_Handler[UtteranceMessage])
_OnOther = TypeVar("_OnOther", bound=_Handler[ServerMessage])


class HandlerDecorator(Protocol):
    """The signatures of :meth:`EventEmitter.on` and :meth:`EventEmitter.once`.

    A handler takes the message of its event or a wider type, such as ``Mapping[str, Any]``, or
    ``dict[str, Any]``. A decorator returns exactly what it is applied to, so that several can be stacked.
    Decorators come first: of a refused handler pyright words the error by the signature that comes last.
    """

    @overload
    def __call__(
        self, event: _RecognitionStarted, callback: None = None
    ) -> Callable[[_OnRecognitionStarted], _OnRecognitionStarted]: ...
    @overload
    def __call__(
        self, event: _RecognitionStarted, callback: _Taking[RecognitionStartedMessage]
    ) -> _Callback: ...
    @overload
    def __call__(
        self, event: _AudioAdded, callback: None = None
    ) -> Callable[[_OnAudioAdded], _OnAudioAdded]: ...
    @overload
    def __call__(self, event: _AudioAdded, callback: _Taking[AudioAddedMessage]) -> _Callback: ...
    @overload
    def __call__(
        self, event: _AddPartialTranscript, callback: None = None
    ) -> Callable[[_OnAddPartialTranscript], _OnAddPartialTranscript]: ...
    @overload
    def __call__(
        self, event: _AddPartialTranscript, callback: _Taking[AddPartialTranscriptMessage]
    ) -> _Callback: ...
    @overload
    def __call__(
        self, event: _AddTranscript, callback: None = None
    ) -> Callable[[_OnAddTranscript], _OnAddTranscript]: ...
    @overload
    def __call__(self, event: _AddTranscript, callback: _Taking[AddTranscriptMessage]) -> _Callback: ...
    @overload
    def __call__(
        self, event: _EndOfTranscript, callback: None = None
    ) -> Callable[[_OnEndOfTranscript], _OnEndOfTranscript]: ...
    @overload
    def __call__(self, event: _EndOfTranscript, callback: _Taking[EndOfTranscriptMessage]) -> _Callback: ...
    @overload
    def __call__(
        self, event: _EndOfUtterance, callback: None = None
    ) -> Callable[[_OnEndOfUtterance], _OnEndOfUtterance]: ...
    @overload
    def __call__(self, event: _EndOfUtterance, callback: _Taking[EndOfUtteranceMessage]) -> _Callback: ...
    @overload
    def __call__(
        self, event: _AudioEventStarted, callback: None = None
    ) -> Callable[[_OnAudioEventStarted], _OnAudioEventStarted]: ...
    @overload
    def __call__(
        self, event: _AudioEventStarted, callback: _Taking[AudioEventStartedMessage]
    ) -> _Callback: ...
    @overload
    def __call__(
        self, event: _AudioEventEnded, callback: None = None
    ) -> Callable[[_OnAudioEventEnded], _OnAudioEventEnded]: ...
    @overload
    def __call__(self, event: _AudioEventEnded, callback: _Taking[AudioEventEndedMessage]) -> _Callback: ...
    @overload
    def __call__(
        self, event: _AddTranslation, callback: None = None
    ) -> Callable[[_OnAddTranslation], _OnAddTranslation]: ...
    @overload
    def __call__(self, event: _AddTranslation, callback: _Taking[AddTranslationMessage]) -> _Callback: ...
    @overload
    def __call__(
        self, event: _AddPartialTranslation, callback: None = None
    ) -> Callable[[_OnAddPartialTranslation], _OnAddPartialTranslation]: ...
    @overload
    def __call__(
        self, event: _AddPartialTranslation, callback: _Taking[AddPartialTranslationMessage]
    ) -> _Callback: ...
    @overload
    def __call__(
        self, event: _SpeakersResult, callback: None = None
    ) -> Callable[[_OnSpeakersResult], _OnSpeakersResult]: ...
    @overload
    def __call__(self, event: _SpeakersResult, callback: _Taking[SpeakersResultMessage]) -> _Callback: ...
    @overload
    def __call__(
        self, event: _LanguageInfo, callback: None = None
    ) -> Callable[[_OnLanguageInfo], _OnLanguageInfo]: ...
    @overload
    def __call__(self, event: _LanguageInfo, callback: _Taking[LanguageInfoMessage]) -> _Callback: ...
    @overload
    def __call__(self, event: _Info, callback: None = None) -> Callable[[_OnInfo], _OnInfo]: ...
    @overload
    def __call__(self, event: _Info, callback: _Taking[InfoMessage]) -> _Callback: ...
    @overload
    def __call__(self, event: _Warning, callback: None = None) -> Callable[[_OnWarning], _OnWarning]: ...
    @overload
    def __call__(self, event: _Warning, callback: _Taking[WarningMessage]) -> _Callback: ...
    @overload
    def __call__(self, event: _Error, callback: None = None) -> Callable[[_OnError], _OnError]: ...
    @overload
    def __call__(self, event: _Error, callback: _Taking[ErrorMessage]) -> _Callback: ...
    @overload
    def __call__(
        self, event: _ChannelAudioAdded, callback: None = None
    ) -> Callable[[_OnChannelAudioAdded], _OnChannelAudioAdded]: ...
    @overload
    def __call__(
        self, event: _ChannelAudioAdded, callback: _Taking[ChannelAudioAddedMessage]
    ) -> _Callback: ...
    @overload
    def __call__(
        self, event: _RecognitionPaused, callback: None = None
    ) -> Callable[[_OnRecognitionPaused], _OnRecognitionPaused]: ...
    @overload
    def __call__(
        self, event: _RecognitionPaused, callback: _Taking[RecognitionPausedMessage]
    ) -> _Callback: ...
    @overload
    def __call__(
        self, event: _RecognitionResumed, callback: None = None
    ) -> Callable[[_OnRecognitionResumed], _OnRecognitionResumed]: ...
    @overload
    def __call__(
        self, event: _RecognitionResumed, callback: _Taking[RecognitionResumedMessage]
    ) -> _Callback: ...
    @overload
    def __call__(
        self, event: _Reconnecting, callback: None = None
    ) -> Callable[[_OnReconnecting], _OnReconnecting]: ...
    @overload
    def __call__(self, event: _Reconnecting, callback: _Taking[ReconnectingMessage]) -> _Callback: ...
    @overload
    def __call__(self, event: _Resumed, callback: None = None) -> Callable[[_OnResumed], _OnResumed]: ...
    @overload
    def __call__(self, event: _Resumed, callback: _Taking[ResumedMessage]) -> _Callback: ...
    @overload
    def __call__(
        self, event: _SessionEnded, callback: None = None
    ) -> Callable[[_OnSessionEnded], _OnSessionEnded]: ...
    @overload
    def __call__(self, event: _SessionEnded, callback: _Taking[SessionEndedMessage]) -> _Callback: ...
    @overload
    def __call__(
        self, event: _Utterance, callback: None = None
    ) -> Callable[[_OnUtterance], _OnUtterance]: ...
    @overload
    def __call__(self, event: _Utterance, callback: _Taking[UtteranceMessage]) -> _Callback: ...

    # Handlers that take a dict, and events that are not listed or only known at run time.
    @overload
    def __call__(self, event: str, callback: None = None) -> Callable[[_OnOther], _OnOther]: ...
    @overload
    def __call__(self, event: str, callback: _Taking[_Plain]) -> _Callback: ...
    @overload
    def __call__(self, event: str, callback: _Taking[ServerMessage]) -> _Callback: ...

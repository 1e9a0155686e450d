"""Logging: every record of a session carries its request id and session id."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Any, Callable, Optional, Union

__all__ = ["SessionLog", "before_logging", "new_id", "report", "show_uncaught", "wire"]

_OF_A_HANDLER: dict[str, Any] = {"of_a_handler": True}  # the ``extra`` of a record that nobody may miss


class _Quiet(logging.NullHandler):
    """Discard records, as a library should, except errors in a program's own handlers.

    If the program has configured no logging, those are printed to stderr, by ``logging.lastResort``.
    """

    def handle(self, record: logging.LogRecord) -> bool:
        last_resort = logging.lastResort
        if getattr(record, "of_a_handler", False) and last_resort is not None:
            logger = logging.getLogger(record.name)
            if record.levelno >= last_resort.level and not self._is_configured(logger):
                last_resort.handle(record)
        return True

    def _is_configured(self, logger: Optional[logging.Logger]) -> bool:
        """Whether records of that logger reach another handler, or are deliberately kept from all."""
        while logger is not None:
            if not logger.propagate or any(handler is not self for handler in logger.handlers):
                return True
            logger = logger.parent
        return False


logging.getLogger("speechmatics_rt").addHandler(_Quiet())

# Transcripts and vocabulary are personal data: they are logged here and nowhere else, so that a program
# can log everything about its sessions without logging what was said.
wire = logging.getLogger("speechmatics_rt.wire")


def new_id() -> str:
    """Make a random UUID for the records of a session. To import :mod:`uuid` takes longer than all records.

    Example:
        >>> new_id().replace("-", "").isalnum(), len(new_id())
        (True, 36)
    """
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


class SessionLog:
    """A module's logger that puts the ids into the text and, as attributes, into the record.

    The ids are among the arguments of a record, so that its ``msg`` is the same for each session: those who
    collect errors group them by it.

    Example:
        >>> log = SessionLog(logging.getLogger("speechmatics_rt.connection"), "2f1c")
        >>> log.with_ids("connected to %s", ("eu",))
        ('connected to %s [request_id=%s]', ('eu', '2f1c'))
    """

    def __init__(self, logger: logging.Logger, request_id: str) -> None:
        self.logger = logger
        self.request_id = request_id
        self._session_id: list[Optional[str]] = [None]  # shared, as it is known last

    @property
    def session_id(self) -> Optional[str]:
        """The service's id, from when it has named it: for all that write of this session."""
        return self._session_id[0]

    @session_id.setter
    def session_id(self, session_id: Optional[str]) -> None:
        self._session_id[0] = session_id

    def on(self, logger: logging.Logger) -> SessionLog:
        """Return a log of the same session by another logger."""
        log = SessionLog(logger, self.request_id)
        log._session_id = self._session_id
        return log

    def debug(self, text: str, *args: object) -> None:
        self._log(logging.DEBUG, text, args)

    def info(self, text: str, *args: object) -> None:
        self._log(logging.INFO, text, args)

    def warning(self, text: str, *args: object, **options: Any) -> None:
        self._log(logging.WARNING, text, args, **options)

    def error(self, text: str, *args: object, **options: Any) -> None:
        self._log(logging.ERROR, text, args, **options)

    def _log(self, level: int, text: str, args: tuple[object, ...], **options: Any) -> None:
        if self.logger.isEnabledFor(level):
            text, args = self.with_ids(text, args)
            extra = {**options.pop("extra", {}), **self.attributes}
            # The caller's line is that of who has called debug() and the like.
            self.logger.log(level, text, *args, extra=extra, stacklevel=3, **options)

    def with_ids(self, text: str, args: tuple[object, ...]) -> tuple[str, tuple[object, ...]]:
        """Return a text and arguments that hold the ids, too, for a record that is about to be logged."""
        prepare = _prepare.get(threading.get_ident())
        if prepare is not None:
            prepare()
        if not args:
            text = text.replace("%", "%%")
        if self.session_id is None:
            return f"{text} [request_id=%s]", (*args, self.request_id)
        return f"{text} [request_id=%s session_id=%s]", (*args, self.request_id, self.session_id)

    @property
    def attributes(self) -> dict[str, Any]:
        """The ids, as attributes of a record."""
        return {"request_id": self.request_id, "session_id": self.session_id}


_prepare: dict[int, Callable[[], object]] = {}  # by thread


def before_logging(prepare: Optional[Callable[[], object]]) -> None:
    """Call ``prepare`` before each session record that this thread logs, as log handlers may take long."""
    if prepare is None:
        _prepare.pop(threading.get_ident(), None)
    else:
        _prepare[threading.get_ident()] = prepare


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_prepare.clear)  # thread ids may be reused in the child


def report(
    log: Union[logging.Logger, SessionLog], text: str, *args: object, error: Optional[BaseException] = None
) -> None:
    """Log that a program's own handler has failed, also where ``dictConfig`` has disabled the logger.

    That is its default for every logger it does not name, so a disabled logger says nothing about what the
    program wants; levels, filters, ``logging.disable()`` and ``propagate`` do. Of ``error``, if it is given,
    the traceback is logged.
    """
    logger = log.logger if isinstance(log, SessionLog) else log
    if not logger.disabled:
        log.error(text, *args, exc_info=error, extra=_OF_A_HANDLER)
        return
    if max(logger.getEffectiveLevel(), logger.manager.disable + 1) > logging.ERROR:
        return
    extra = _OF_A_HANDLER
    if isinstance(log, SessionLog):
        text, args = log.with_ids(text, args)
        extra = {**extra, **log.attributes}
    file, line, function, _ = logger.findCaller()
    raised = None if error is None else (type(error), error, error.__traceback__)
    record = logger.makeRecord(
        *(logger.name, logging.ERROR, file, line, text, args, raised, function), extra=extra
    )
    if logger.filter(record):
        logger.callHandlers(record)


def show_uncaught() -> None:
    """Report the exception being handled as an uncaught one of this thread, which goes on."""
    threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))

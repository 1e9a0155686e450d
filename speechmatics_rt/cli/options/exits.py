"""The exit codes of the command."""

from __future__ import annotations

import signal
from enum import IntEnum

from ...exceptions import (
    AudioError,
    AuthenticationError,
    ConfigurationError,
    SpeechmaticsError,
    TimeoutError,
    TransportError,
)

__all__ = ["EXIT_CODES", "ExitCode"]


class ExitCode(IntEnum):
    """The exit code of the command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    AUTHENTICATION = 3
    CONNECTION = 4
    AUDIO = 5
    OUTPUT = 6
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143

    @classmethod
    def of(cls, error: SpeechmaticsError) -> ExitCode:
        """Return the code that stands for an error.

        Example:
            >>> ExitCode.of(AuthenticationError("the key was refused")).name
            'AUTHENTICATION'
        """
        if isinstance(error, AudioError):
            return cls.AUDIO
        if isinstance(error, ConfigurationError):
            return cls.USAGE
        if isinstance(error, AuthenticationError):
            return cls.AUTHENTICATION
        if isinstance(error, (TransportError, TimeoutError)):
            return cls.CONNECTION
        return cls.FAILED

    @classmethod
    def after(cls, interrupt: KeyboardInterrupt) -> ExitCode:
        """Return the code that says which signal has ended it, as shells and systemd have it.

        Example:
            >>> import signal
            >>> [ExitCode.after(KeyboardInterrupt(*how)).name for how in ([signal.SIGTERM], [])]
            ['TERMINATED', 'INTERRUPTED']
        """
        number = interrupt.args[0] if interrupt.args else signal.SIGINT
        known = {signal.SIGTERM: cls.TERMINATED, getattr(signal, "SIGHUP", None): cls.HUNG_UP}
        return known.get(number, cls.INTERRUPTED)


EXIT_CODES = """\
exit codes:
  0    success (also if the reader of the output goes away, as 'head' does)
  1    the service ended the session with an error
  2    wrong usage or configuration; nothing was sent
  3    there is no key, or the service refused it
  4    the connection failed, was lost, or timed out
  5    the audio is missing, empty, unreadable, or in another format; or there is no microphone
  6    a transcript could not be written; if there is one, it is on stdout, or else on stderr
  129  stopped by SIGHUP, as its terminal was closed; otherwise as 130
  130  stopped by Ctrl-C; the transcript so far was written (for mic: 0)
  143  stopped by SIGTERM, as by systemd or docker; otherwise as 130
"""

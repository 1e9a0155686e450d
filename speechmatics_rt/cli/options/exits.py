"""The codes the command ends with."""

from __future__ import annotations

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
    """What the shell is told."""

    OK = 0
    FAILED = 1
    USAGE = 2
    AUTHENTICATION = 3
    CONNECTION = 4
    AUDIO = 5
    OUTPUT = 6
    INTERRUPTED = 130

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


EXIT_CODES = """\
exit codes:
  0    all went well (also when the reader of our output went away, as 'head' does)
  1    the service ended the session with an error
  2    wrong usage, or wrong configuration; nothing was sent
  3    the service refused the key
  4    the connection failed or was lost, or something took too long
  5    the audio is missing, empty, unreadable, or not what it is said to be; or no microphone records
  6    what was heard could not be written where it was to be; stdout, or with no stdout stderr, has it
  130  stopped by Ctrl-C, SIGTERM or SIGHUP; what was heard until then was written (of mic: 0, its only end)
"""

"""The default executor of a run."""

from __future__ import annotations

import contextvars
import itertools
import threading
from concurrent.futures import Executor, Future
from typing import Any, Callable

from ..threads import begin, telling

__all__ = ["Threads"]


class Threads(Executor):
    """A daemon thread for each call, which sees the :mod:`contextvars` of whoever iterates.

    A run submits no more calls at once than sessions may run.
    """

    _numbers = itertools.count(1)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        context = contextvars.copy_context()

        def work() -> None:
            future.set_result(context.run(fn, *args, **kwargs))

        name = f"speechmatics-rt-many-{next(self._numbers)}"
        begin(threading.Thread(target=telling, args=(future.set_exception, work), name=name, daemon=True))
        return future

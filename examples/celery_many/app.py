"""A Celery worker that transcribes: ``celery -A app worker --concurrency 4``, on any number of machines.

Redis carries the tasks, their states and the limit on sessions (REDIS_URL, default redis://127.0.0.1:6379/0).
The service is that of SPEECHMATICS_RT_URL; without it and a key that of ``speechmatics-rt serve``.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from redis import Redis
from redis.exceptions import LockError
from redis.lock import Lock

from speechmatics_rt import Client, SpeechmaticsError

REDIS = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
LOCAL = None if os.environ.get("SPEECHMATICS_API_KEY") else "ws://127.0.0.1:9000/v2"
URL = os.environ.get("SPEECHMATICS_RT_URL") or LOCAL
SESSIONS = int(os.environ.get("SESSIONS", "4"))  # at once, over all workers of all machines: your quota
LONGEST = int(os.environ.get("LONGEST", "3600"))  # seconds for one recording, its wait for a slot included
HELD = 30.0  # seconds until the slot of a worker that died is free
PATIENCE = min(60.0, LONGEST / 2)  # seconds that a task waits for a slot before it queues again
TRIES = 6

app = Celery("celery_many", broker=REDIS, backend=REDIS)
app.conf.update(
    task_acks_late=True,  # a task stays in the queue until it is done
    task_reject_on_worker_lost=True,  # and returns there if its process is killed
    worker_prefetch_multiplier=1,  # tasks wait in the queue, where any worker can take them
    task_soft_time_limit=LONGEST,
    task_time_limit=LONGEST + 60,
    broker_transport_options={"visibility_timeout": LONGEST + 120},  # a machine that is gone
    broker_connection_retry_on_startup=True,
)
redis = Redis.from_url(REDIS)


class Slot:
    """One of so many sessions at once: a lock of redis-py, which expires if nobody renews it."""

    def __init__(self) -> None:
        self._locks = [Lock(redis, f"speechmatics-slot-{n}", timeout=HELD) for n in range(SESSIONS)]
        random.shuffle(self._locks)  # or all would ask for the first one first
        self._lock: Lock | None = None

    def take(self, timeout: float) -> bool:
        """Take one as soon as one is free; False if none is within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while (lock := next((lock for lock in self._locks if lock.acquire(blocking=False)), None)) is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(random.uniform(0.1, 0.4))  # a lock that expires rings nobody
        self._lock = lock
        self._renewed = time.monotonic()
        return True

    def renew(self) -> None:
        """Keep it, now and then; raises LockError if it has expired."""
        if self._lock is not None and time.monotonic() - self._renewed > HELD / 3:
            self._lock.reacquire()
            self._renewed = time.monotonic()

    def give_back(self) -> None:
        try:
            if self._lock is not None:
                self._lock.release()
        except LockError:
            pass  # it expired, and may be another worker's by now


@app.task(bind=True, max_retries=None)
def transcribe(task: Any, recording: str, target: str, tries: int = 1) -> dict[str, Any]:
    """Transcribe one recording into a file; done twice it does no harm."""
    slot = Slot()
    # It waits in its process. Sent back with a countdown it would lie with whichever worker takes it, and
    # that may be one that is busy for an hour, while another has nothing to do.
    if not slot.take(PATIENCE):
        raise task.retry(countdown=0)  # not a failure; and its time limit starts again
    try:
        text, seconds = session(task, recording, slot)
    except SpeechmaticsError as error:
        if not error.retryable or tries >= TRIES:
            raise
        pause = max(error.retry_after or 1.0, random.uniform(0, 2**tries))
        again = (recording, target, tries + 1)
        raise task.retry(args=again, countdown=pause, exc=error) from error
    except LockError as error:  # we were too slow to renew it: somebody else may have our place
        raise task.retry(countdown=random.uniform(1, 5), exc=error) from error
    except SoftTimeLimitExceeded as error:
        raise TimeoutError(f"{recording} took longer than {LONGEST} s") from error
    finally:
        slot.give_back()
    save(Path(target), text)
    return {"recording": recording, "seconds": seconds, "tries": tries}


def session(task: Any, recording: str, slot: Slot) -> tuple[str, float]:
    """Run one session; the task's state says how far it is."""
    told = time.monotonic()

    def heard(message: dict[str, Any]) -> None:
        nonlocal told
        slot.renew()
        if time.monotonic() - told > 0.5:
            told = time.monotonic()
            task.update_state(state="PROGRESS", meta={"seconds": client.stats.seconds_transcribed})

    with Client(url=URL, handler_errors="raise") as client:
        client.on_any(heard)
        transcript = client.transcribe(recording)
        return f"{transcript}\n", client.stats.seconds_transcribed


def save(target: Path, text: str) -> None:
    """Write a file whole: who looks never finds half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(target)

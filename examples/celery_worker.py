"""Transcribe a recording in a Celery task, with progress, a time limit, and retries.

Start a redis-server (REDIS_URL) and ``celery -A celery_worker worker``; ``python celery_worker.py audio.wav``
submits a recording and shows the progress. Without a key, run ``speechmatics-rt serve --port 9000`` and set
SPEECHMATICS_RT_URL=ws://127.0.0.1:9000/v2. For many recordings on many machines with one quota, see
``celery_many``.
"""

import os
import sys
import time

from celery import Celery

from speechmatics_rt import Client, SpeechmaticsError

REDIS = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
app = Celery("celery_worker", broker=REDIS, backend=REDIS)


@app.task(bind=True, max_retries=5, soft_time_limit=int(os.environ.get("LONGEST", "3600")))
def transcribe(self, recording):
    with Client() as client:  # the limit raises in the middle of the session, and this closes it

        @client.on("AddTranscript")
        def tell(message):
            about = {"done": client.stats.progress, "seconds": client.stats.seconds_transcribed}
            self.update_state(state="PROGRESS", meta=about)

        try:
            return client.transcribe(recording).text
        except SpeechmaticsError as error:
            if not error.retryable:
                raise
            pause = error.retry_after or 2**self.request.retries
            raise self.retry(exc=error, countdown=pause) from error


if __name__ == "__main__":
    if len(sys.argv) != 2 or not os.path.isfile(sys.argv[1]):
        sys.exit("usage: python celery_worker.py FILE")
    task = transcribe.delay(os.path.abspath(sys.argv[1]))
    while not task.ready():
        state, about = task.state, task.info  # two questions: it may have gone on between them
        if isinstance(about, dict):  # how long an mp3 is nobody knows before its end
            state = f"{about['seconds']:.0f} s" if about["done"] is None else f"{about['done']:.0%}"
        print(state, file=sys.stderr)
        time.sleep(0.5)
    print(task.get())

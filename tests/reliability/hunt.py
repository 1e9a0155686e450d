"""The hunt for deadlocks: sessions in which everything happens at once, at moments that a seed repeats.

A :class:`Schedule` is one interleaving as data, drawn from its seed: how the session is used, what calls back
from handlers, what other threads do meanwhile, what goes wrong, where Ctrl-C strikes, and how it all ends.
What is held of each is what always holds: every call comes back, with an error of this package or none; no
thread dies; afterwards no lock is held, no thread of ours runs, no descriptor and no session is open.

It runs as a process of its own, since it changes what is the whole process's: how often threads switch, when
garbage is collected, what is traced. ``python -m tests.reliability.hunt 0 1000`` runs a thousand seeds. What
does not come back ends the process: it shows the schedule and every stack.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import functools
import gc
import glob
import itertools
import os
import random
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from typing import Any, Optional

from speechmatics_rt import (
    AsyncClient,
    AsyncMultiChannelClient,
    AudioFormat,
    Client,
    ConnectionConfig,
    JWTAuth,
    MultiChannelClient,
    ResumePolicy,
    SpeechmaticsError,
)
from speechmatics_rt.local import Fault, LocalServer
from speechmatics_rt.network import lead, shared_reader
from speechmatics_rt.network.reader import Reader
from speechmatics_rt.protocol import client as protocol
from speechmatics_rt.threads import locks

from ..interrupts import Interrupt
from ..looks import settled

PCM = AudioFormat("pcm_s16le", 16000)
CHUNK = bytes(3200)
SECOND = bytes(32000)
POLICY = ResumePolicy(max_attempts=3, min_delay=0.001, max_delay=0.005, busy_delay=0.002, max_outage=0.5)
# Seconds, but for those in which a thread has waited for a processor: see watch().
STUCK = 60.0  # for a schedule that takes milliseconds on a machine with nothing else to do
HUNG = 30.0  # for a child of it
SETTLED = 10.0  # of looks, for what ends by itself, handlers of messages that had come among it
LONGEST = 1200.0  # for a schedule, whatever it waits for

FAULTS: dict[str, list[Fault]] = {
    "none": [],
    "an Error": [Fault.error("job_error", after_messages=3)],
    "an Error alone": [Fault.error("job_error", close=False, after_messages=2)],
    "a close frame": [Fault.close(4005, after_messages=2)],
    "the end": [Fault.fin(after_messages=3)],
    "the end at the start": [Fault.fin(at="start")],
    "RST": [Fault.reset(after_messages=2)],
    "RST, once": [Fault.reset(after_messages=2, sessions=range(0, 100_000, 2))],
    "half a frame": [Fault.cut_frame(after_messages=2)],
    "a late start": [Fault.late_start(0.01)],
    "silence at the end": [Fault.silence(at="drain")],
    "no acknowledgements": [Fault.no_acks()],
    "no goodbye": [Fault.no_close_reply()],
    "a flood": [Fault.flood(60, after_messages=2)],
    "a flood and the end": [Fault.flood(40, after_messages=2), Fault.fin(after_messages=3)],
    "pings": [Fault.pings(200, 0.0005)],
    "bytes at random": [Fault.garbage(after_messages=3)],
    "HTTP 503, once": [Fault.refuse(503, sessions=range(0, 100_000, 2))],
}

KNOBS = (  # that a schedule turns
    *((lead, name) for name in ("_LONG", "_LOOK", "_BEHIND")),
    (protocol, "INBOX_BYTES"),
    (shared_reader, "OWN"),
)
EVENTS = ("RecognitionStarted", "AddTranscript", "AudioAdded", "EndOfTranscript", "SessionEnded", "Error")
CALLS: dict[str, Callable[[Any], object]] = {
    "send": lambda client: client.send_audio(CHUNK),
    "stop": lambda client: client.stop_session(),
    "stop soon": lambda client: client.stop_session(timeout=0.05),
    "close": lambda client: client.close(),
    "request": lambda client: client.request_stop(),
    "start": lambda client: client.start_session(audio_format=PCM),
    "ask": lambda client: client.get_speakers(timeout=0.5),
    "turn": lambda client: client.force_end_of_utterance(),
    "on": lambda client: client.on("Info", str),
    "off": lambda client: client.off("Info", str),
    "stats": lambda client: client.stats,
    "text": lambda client: client.transcript.text,
    "ids": lambda client: (client.is_connected, client.request_id, client.session_id, repr(client)),
    "collect": lambda client: gc.collect(),
    "wait": lambda client: time.sleep(0.004),
}
SEVERAL: dict[str, Callable[[Any], object]] = {
    **CALLS,
    "send": lambda client: client.send_audio("agent", CHUNK),
    "start": lambda client: client.start_session(channels=["agent", "caller"], audio_format=PCM),
    "turn": lambda client: client.force_end_of_utterance(channel="caller"),
    "wait": lambda client: client.end_channel("caller"),
}
IN_HANDLERS = ("send", "stop", "close", "request", "on", "off", "stats", "text", "collect", "wait", "start")
WAYS = (
    *("by hand", "channels by hand", "by hand", "transcribe", "by hand", "stream", "by hand", "stream left"),
    *("by hand", "channels", "by hand", "channels by hand", "transcribe", "stream", "stream left", "crowd"),
    *("asyncio", "asyncio by hand", "asyncio channels", "fork", "exit"),
)


@dataclass(frozen=True)
class Schedule:
    """One interleaving.

    Attributes:
        own: How many connections have a reader of their own; at 0 all share one.
        hasty: The role of who reads changes hands after milliseconds.
        small: Few bytes may be undelivered, so that reading pauses.
        garbage: Collected all the time, in the thread that reads, or as usual.
        switch: Seconds after which threads switch.
        handlers: What is called back, at which event.
        others: What each other thread does: after how many seconds, which call.
        ctrl_c: At which place of the main thread KeyboardInterrupt is raised; None: not at all.
        instructions: Whether places are instructions behind a call, or lines.
        ending: What the program does when it is through.
        key: Where the key comes from: there is none, or a temporary one is fetched.
        handling: Whether sessions are begun in an ``except``, and the error there is raised on.
    """

    seed: int
    way: str
    tls: bool
    resume: bool
    fault: str
    own: int
    hasty: bool
    small: bool
    garbage: str
    switch: float
    window: int
    pings: Optional[float]
    errors: str
    handlers: tuple[tuple[str, str], ...]
    others: tuple[tuple[tuple[float, str], ...], ...]
    ctrl_c: Optional[int]
    instructions: bool
    ending: str
    key: str
    handling: bool

    @classmethod
    def of(cls, seed: int) -> Schedule:
        rng = random.Random(seed)
        way = rng.choice(WAYS)
        calls = [*CALLS, "send", "send", "close", "close", "stop", "request"]
        others = [
            tuple((rng.uniform(0, 0.004), rng.choice(calls)) for _ in range(rng.randint(1, 6)))
            for _ in range(rng.choice([0, 0, 1, 1, 2, 3]))
        ]
        # An interrupt takes half of what a schedule of this way has on the main thread.
        interrupted = rng.random() < 0.35 and not way.startswith(("asyncio", "crowd", "fork", "exit"))
        return cls(
            seed=seed,
            way=way,
            tls=rng.random() < 0.25,
            resume=rng.random() < 0.3,
            fault=rng.choice([*FAULTS, "none", "none", "none", "none"]),
            own=rng.choice([0, 0, 1, 8]),
            hasty=rng.random() < 0.5,
            small=rng.random() < 0.3,
            garbage=rng.choice(["usual", "usual", "always", "by the reader"]),
            switch=rng.choice([1e-6, 1e-5, 1e-5, 0.005]),
            window=rng.choice([1, 2, 500]),
            pings=rng.choice([None, 0.01, 20]),
            errors=rng.choice(["log", "raise"]),
            handlers=tuple(
                (rng.choice(EVENTS), rng.choice(IN_HANDLERS)) for _ in range(rng.choice([0, 1, 1, 2, 3]))
            ),
            others=tuple(others),
            ctrl_c=int(10 ** rng.uniform(1, 3.6)) if interrupted else None,
            instructions=rng.random() < 0.7,
            ending=rng.choice(["close", "close", "drop", "cycle", "stop"]),
            key=rng.choice(["none"] * 5 + ["temporary"]),
            handling=rng.random() < 0.2,
        )

    def __str__(self) -> str:
        return ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self))


class Behind(Interrupt):
    """Ctrl-C where an interpreter looks for signals: behind the n-th call, and at the start of functions.

    Only where the floor of sockets, threads and locks is at work: there a lock may be held.
    """

    PLACES = ("/network/", "/threads/", "/resume/", "/session/", "/protocol/", "/baseclient.py")

    def _trace(self, frame: Any, event: str, arg: Any) -> Any:
        name = frame.f_code.co_filename[len(self._within) :]
        ours = frame.f_code.co_filename.startswith(self._within) and name.startswith(self.PLACES)
        if not ours or frame.f_code.co_name == "__del__":
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode" and frame.f_lasti in _behind_calls(frame.f_code):
            self.count(frame)
        return self._trace


@functools.cache
def _behind_calls(code: Any) -> frozenset[int]:
    import dis

    blocks = getattr(dis.Bytecode(code), "exception_entries", ())  # of 3.11 and newer

    def guards(offset: int) -> set[int]:
        return {block.target for block in blocks if block.start <= offset < block.end}

    found, before, at = set(), "RESUME", 0
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("CACHE", "EXTENDED_ARG"):
            continue
        leaves_a_with = before.startswith("WITH_") or instruction.opname.startswith("WITH_")
        # The interpreter looks within the call, so what guards the call is what takes place: if its block
        # ends there, as at the return of a result, an exception behind it would be one that can't be.
        leaves_a_block = not guards(at) <= guards(instruction.offset)
        if (before.startswith("CALL") or before == "RESUME") and not (leaves_a_with or leaves_a_block):
            found.add(instruction.offset)
        before, at = instruction.opname, instruction.offset
    return frozenset(found)


# -- one schedule --------------------------------------------------------------------------------------


class Hunt:
    """Runs schedules, one after the other, over the same local servers."""

    def __init__(self) -> None:
        self.ran: Counter[str] = Counter()
        self.took: Counter[str] = Counter()  # seconds
        self._pid = os.getpid()
        self.wrong: list[str] = []
        self._died: list[str] = []
        self._servers: dict[tuple[str, bool], LocalServer] = {}
        self._usual = {(room, name): getattr(room, name) for room, name in KNOBS}
        self._take_in = Reader._take_in

    def __enter__(self) -> Hunt:
        threading.excepthook = lambda args: self._note(args.thread, args.exc_value)
        sys.unraisablehook = lambda args: self._note(args.object, args.exc_value)
        return self

    def __exit__(self, *_: object) -> None:
        if os.getpid() == self._pid:  # a child that exits leaves the parent's alone
            for server in self._servers.values():
                server.close()

    def _note(self, where: object, error: Optional[BaseException]) -> None:
        if not isinstance(error, KeyboardInterrupt):
            self._died.append(f"{where!r}: {error!r}")

    def server(self, fault: str, tls: bool) -> LocalServer:
        if (fault, tls) not in self._servers:
            self._servers[fault, tls] = LocalServer(tls=tls, faults=FAULTS[fault], keep_sessions=20).start()
        return self._servers[fault, tls]

    def run(self, schedule: Schedule) -> None:
        server = self.server(schedule.fault, schedule.tls)
        began = time.monotonic()
        faulthandler.dump_traceback_later(LONGEST, exit=True)  # should even the watch stand still
        self._died.clear()
        opened = len(os.listdir("/proc/self/fd"))
        run = Run(schedule, server)
        with watch(lambda: [self._pid, *run.children], STUCK, functools.partial(_stuck, schedule)):
            with self._conditions(schedule):
                told = run.run()
            self.ran["struck by Ctrl-C"] += run.struck
            told += [f"died: {one}" for one in self._died]
            told += self._left(server, opened)
        faulthandler.cancel_dump_traceback_later()
        self.ran[schedule.way] += 1
        self.took[schedule.way] += time.monotonic() - began
        if told:
            self.wrong.append(f"{'; '.join(told)}\n    {schedule}")
            print(f"WRONG: {self.wrong[-1]}", flush=True)

    def _conditions(self, schedule: Schedule) -> Any:
        return _Conditions(self, schedule)

    def _left(self, server: LocalServer, opened: int) -> list[str]:
        looks = itertools.count()

        def present() -> list[str]:
            found = [
                thread.name
                for thread in threading.enumerate()
                if thread.name.startswith("speechmatics-rt") and "-local-" not in thread.name
            ]
            found += [f"session {one.index}" for one in server.sessions if not one.closed.is_set()]
            more = len(os.listdir("/proc/self/fd")) - opened
            found += [f"{more} descriptors"] if more > 0 else []
            if found and next(looks) % 10 == 0:
                gc.collect()  # it takes longer than the end of most threads
            return found

        left = settled(present, SETTLED, 0.001)
        if not left:
            left += [f"a lock is held: {lock!r}" for lock in _locks() if not _is_free(lock)]
            counted = (shared_reader._own, shared_reader._shared)
            if any(counted):
                left.append(f"counted: {counted}")
        return [f"left: {left}"] if left else []


@contextmanager
def watch(pids: Callable[[], list[int]], seconds: float, end: Callable[[], object]) -> Iterator[None]:
    """Within the block, call ``end`` when processes have taken so long.

    Each second counts but for what their threads have waited for a processor in it: what is stuck waits for
    something else, and on a busy machine everything takes long.
    """
    over = threading.Event()

    def look() -> None:
        taken, before = 0.0, _waited(pids())
        while not over.wait(1):
            now = _waited(pids())
            taken += 1 - min(1.0, max(0.0, now - before))
            before = now
            if taken > seconds:
                end()
                return

    thread = threading.Thread(target=look, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _waited(pids: list[int]) -> float:
    """Return the seconds that the present threads of processes have waited for a processor."""
    waited = 0
    for pid in pids:
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            with suppress(OSError), open(path, encoding="ascii") as file:  # it may have ended
                waited += int(file.read().split()[1])
    return waited / 1e9


def _stuck(schedule: Schedule) -> None:
    print(f"STUCK: {schedule}", file=sys.stderr, flush=True)
    _show_stacks()
    os._exit(3)


def _show_stacks() -> None:
    """Show where every thread is, but those of the servers."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if "-local-" not in names.get(ident, ""):
            print(f"{names.get(ident)}:", file=sys.stderr)
            traceback.print_stack(frame, file=sys.stderr)
    sys.stderr.flush()


def _locks() -> Iterator[Any]:
    for reference in list(locks._all):
        lock = reference()
        if lock is not None:
            yield lock


def _is_free(lock: Any) -> bool:
    if not lock.acquire(timeout=1):
        return False
    lock.release()
    return not lock._is_owned()


class _Conditions:
    """What is true of the process while one schedule runs."""

    def __init__(self, hunt: Hunt, schedule: Schedule) -> None:
        self._hunt, self._schedule = hunt, schedule

    def __enter__(self) -> None:
        schedule = self._schedule
        if schedule.hasty:
            lead._LONG, lead._LOOK, lead._BEHIND = 0.002, 0.002, 0.004
        if schedule.small:
            protocol.INBOX_BYTES = 2_000
        shared_reader.OWN = schedule.own
        if schedule.garbage == "always":
            gc.set_threshold(20, 2, 2)
        elif schedule.garbage == "by the reader":
            take_in = self._hunt._take_in

            def collecting(reader: Reader, batch: Any) -> None:
                gc.collect()
                take_in(reader, batch)

            Reader._take_in = collecting  # type: ignore[method-assign]
        sys.setswitchinterval(schedule.switch)

    def __exit__(self, *_: object) -> None:
        sys.setswitchinterval(0.005)
        gc.set_threshold(700, 10, 10)
        Reader._take_in = self._hunt._take_in  # type: ignore[method-assign]
        for (room, name), usual in self._hunt._usual.items():
            setattr(room, name, usual)


def _in_an_except(work: Callable[[], object]) -> None:
    try:
        raise LookupError
    except LookupError:
        work()
        raise


class Run:
    """One session, or a crowd of them, as its schedule has it."""

    def __init__(self, schedule: Schedule, server: LocalServer) -> None:
        self.schedule = schedule
        self.server = server
        self.told: list[str] = []
        self.children: list[int] = []  # that run
        self.struck = self.starts = self.sent = 0
        self.size = 3 if schedule.way == "fork" else 2 + schedule.seed % 10  # of a crowd

    def client(self, kind: type = Client, **options: Any) -> Any:
        schedule = self.schedule
        config = ConnectionConfig(
            ssl_context=self.server.ssl_context,
            open_timeout=1,
            start_timeout=0.5,
            send_timeout=0.1,
            end_timeout=0.1,
            close_timeout=0.05,
            ping_interval=schedule.pings,
            window_frames=schedule.window,
            max_queue=10 if schedule.small else 1000,
        )
        auth = None
        if schedule.key == "temporary":
            auth = JWTAuth("s3cret", mp_url=self.server.url.replace("ws", "http", 1).replace("/v2", "/"))
        return kind(
            auth,
            url=self.server.url,
            conn_config=config,
            resume=POLICY if schedule.resume else False,
            handler_errors=schedule.errors,
            **options,
        )

    def run(self) -> list[str]:
        try:
            ways = {"crowd": self._crowd, "fork": self._fork, "exit": self._exit}
            way = self.schedule.way
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of clients that are dropped, and of forks
                ways.get(way, self._asyncio if way.startswith("asyncio") else self._session)()
        except (SpeechmaticsError, KeyboardInterrupt):
            pass  # which one depends on the moment
        except Exception as exc:
            self.told.append(f"the main thread: {exc!r}")
        return self.told

    # -- calls, from anywhere --------------------------------------------------------------------------

    def act(self, client: Any, name: str) -> None:
        calls = SEVERAL if isinstance(client, MultiChannelClient) else CALLS
        if name == "start":
            self.starts += 1
            if self.starts > 20:  # else a handler of the end would begin for ever
                return
        if name == "send":
            self.sent += 1
            if self.sent > 200:  # else a handler of acknowledgements would send for ever
                return
        if name == "stop" and self.schedule.way == "stream left":
            name = "stop soon"  # it would wait for the main thread to read on, and that for it
        try:
            if name == "start" and self.schedule.handling:
                _in_an_except(functools.partial(calls[name], client))
            else:
                calls[name](client)
        except (SpeechmaticsError, LookupError):
            pass  # which one depends on the moment

    def _others(self, client: Any) -> list[threading.Thread]:
        threads = []
        for plan in self.schedule.others:

            def work(plan: tuple[tuple[float, str], ...] = plan) -> None:
                for pause, name in plan:
                    time.sleep(pause)  # the moment is the point
                    self._guard(functools.partial(self.act, client, name), name)

            threads.append(threading.Thread(target=work, daemon=True))
            threads[-1].start()
        return threads

    def _guard(self, work: Callable[[], object], name: str) -> None:
        try:
            work()
        except SpeechmaticsError:
            pass
        except BaseException as exc:
            self.told.append(f"{name}: {exc!r}")

    def _listen(self, client: Any) -> None:
        for event, name in self.schedule.handlers:
            client.on(event, lambda message, name=name: self.act(client, name))

    # -- ways ------------------------------------------------------------------------------------------

    def _session(self) -> None:
        schedule = self.schedule
        kind = MultiChannelClient if schedule.way.startswith("channels") else Client
        client = self.client(kind)
        self._listen(client)
        threads = self._others(client)
        work = functools.partial(self._use, client)
        if schedule.ctrl_c is None:
            self._guard(work, schedule.way)
        else:
            interrupt = (Behind if schedule.instructions else Interrupt)(schedule.ctrl_c)
            raised = interrupt.during(work)
            self.struck += interrupt.where is not None
            if not (raised is None or isinstance(raised, (KeyboardInterrupt, SpeechmaticsError))):
                self.told.append(f"{schedule.way}, interrupted at {interrupt.where}: {raised!r}")
            raised = None
        for thread in threads:
            thread.join()
        del threads, work
        self._end(client)

    def _use(self, client: Any) -> None:
        way = self.schedule.way
        several = isinstance(client, MultiChannelClient)
        if way.endswith("by hand"):
            calls = SEVERAL if several else CALLS
            calls["start"](client)
            for _ in range(self.schedule.seed % 7):
                calls["send"](client)
            if self.schedule.ending == "stop":
                client.stop_session(timeout=1)
        elif way in ("transcribe", "channels"):
            source = {"agent": [CHUNK] * 12, "caller": [CHUNK] * 7} if several else [CHUNK] * 20
            client.transcribe(source, audio_format=PCM, timeout=3)
        else:
            messages = client.stream([CHUNK] * 20, audio_format=PCM, timeout=3)
            if way == "stream left":
                for _ in zip(range(self.schedule.seed % 5), messages):
                    pass
                client.held = messages  # a cycle, where a handler has the client
                return
            with messages:
                for _ in messages:
                    pass

    def _end(self, client: Any) -> None:
        ending = self.schedule.ending
        if ending in ("drop", "cycle"):
            if ending == "cycle":
                client.on("Info", lambda message, client=client: None)
            return  # nobody else holds it
        client.close()
        client.remove_all_listeners()
        client.held = None
        if self.schedule.seed % 5 == 0 and not FAULTS[self.schedule.fault]:
            use = SEVERAL if isinstance(client, MultiChannelClient) else CALLS
            use["start"](client)
            client.close()
        client.close()

    def _crowd(self) -> None:
        """Sessions that begin while the last of others ends, on one reading thread or several."""

        def one(number: int) -> None:
            rng = random.Random(self.schedule.seed * 100 + number)
            client = self.client()
            self._listen(client)
            for _ in range(rng.randint(1, 3)):
                self.act(client, "start")
                for _ in range(rng.randint(0, 2)):
                    self.act(client, "send")
                self.act(client, rng.choice(["close", "close", "stop soon", "request"]))
            self.act(client, "close")

        crowd = [
            threading.Thread(target=self._guard, args=(functools.partial(one, number), "crowd"), daemon=True)
            for number in range(self.size)
        ]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()

    def _asyncio(self) -> None:
        rng = random.Random(self.schedule.seed)
        way = self.schedule.way
        several = way == "asyncio channels"

        async def use(client: Any) -> None:
            if way == "asyncio":
                await client.transcribe([CHUNK] * 20, audio_format=PCM, timeout=3)
            elif several:
                await client.transcribe({"agent": [CHUNK] * 9, "caller": [CHUNK] * 9}, audio_format=PCM)
            else:
                await client.start_session(audio_format=PCM)
                for _ in range(self.schedule.seed % 7):
                    await client.send_audio(CHUNK)
                await client.stop_session(timeout=1)

        async def act(client: Any, plan: tuple[tuple[float, str], ...]) -> None:
            for pause, name in plan:
                await asyncio.sleep(pause)
                calls: dict[str, Callable[[], Any]] = {
                    "close": client.close,
                    "stop": client.stop_session,
                    "stop soon": lambda: client.stop_session(timeout=0.05),
                    "request": client.request_stop,
                    "stats": lambda: client.stats,
                    "text": lambda: client.transcript.text,
                    "collect": gc.collect,
                }
                if not several:
                    calls["send"] = lambda: client.send_audio(CHUNK)
                    calls["start"] = lambda: client.start_session(audio_format=PCM)
                if name in calls:
                    try:
                        answer = calls[name]()
                        if asyncio.iscoroutine(answer):
                            await answer
                    except SpeechmaticsError:
                        pass

        async def main() -> None:
            client = self.client(AsyncMultiChannelClient if several else AsyncClient)
            for event, name in self.schedule.handlers:
                if name in ("request", "stats", "text", "collect"):
                    client.on(event, lambda message, name=name: CALLS[name](client))
                elif name == "close":
                    client.on(event, lambda message: client.close())
            tasks = [asyncio.ensure_future(act(client, plan)) for plan in self.schedule.others]
            work = asyncio.ensure_future(use(client))
            if rng.random() < 0.5:
                await asyncio.sleep(rng.uniform(0, 0.01))
                work.cancel()
            for result in await asyncio.gather(work, *tasks, return_exceptions=True):
                known = (SpeechmaticsError, asyncio.CancelledError)
                if isinstance(result, BaseException) and not isinstance(result, known):
                    self.told.append(f"{way}: {result!r}")
            if self.schedule.ending not in ("drop", "cycle"):
                await client.close()

        asyncio.run(main())

    # -- processes -------------------------------------------------------------------------------------

    def _fork(self) -> None:
        """Fork while sessions begin, send and end; the child is refused theirs, and has its own."""
        rng = random.Random(self.schedule.seed)
        client = self.client()
        self._listen(client)
        threads = self._others(client)
        crowd = threading.Thread(target=self._guard, args=(self._crowd, "crowd"), daemon=True)
        crowd.start()
        self.act(client, "start")
        time.sleep(rng.uniform(0, 0.005))  # the moment is the point
        child = self._child(lambda: self._in_the_child(client, rng))
        self._wait(child, 0)
        for thread in (crowd, *threads):
            thread.join()
        client.close()

    def _in_the_child(self, client: Any, rng: random.Random) -> None:
        for name in rng.sample(["stats", "text", "ids", "on", "off", "request"], 3):
            self.act(client, name)
        try:
            client.send_audio(CHUNK)
        except SpeechmaticsError:
            pass
        else:
            os._exit(5)
        client.close()
        if rng.random() < 0.5:
            mine = self.client()
            self._guard(lambda: mine.transcribe([CHUNK] * 3, audio_format=PCM, timeout=3), "in the child")
            mine.close()
        os._exit(6 if self.told else 0)

    def _exit(self) -> None:
        """A process that ends, or is asked to, in the middle of its sessions."""
        rng = random.Random(self.schedule.seed)

        def work() -> None:
            client = self.client()
            self._listen(client)
            for plan in self.schedule.others or (((0.0, "start"),),):
                run = functools.partial(self._plan, client, plan)
                threading.Thread(target=run, daemon=True).start()
            if rng.random() < 0.7:
                self.act(client, "start")
                for _ in range(rng.randint(0, 5)):
                    self.act(client, "send")
            time.sleep(rng.uniform(0, 0.004))  # the moment is the point
            raise SystemExit(0)

        self._wait(self._child(work), 0)

    def _plan(self, client: Any, plan: tuple[tuple[float, str], ...]) -> None:
        for pause, name in plan:
            time.sleep(pause)
            self.act(client, name)

    def _child(self, work: Callable[[], object]) -> int:
        faulthandler.cancel_dump_traceback_later()  # the child would wait for its thread
        child = os.fork()
        if child:
            faulthandler.dump_traceback_later(LONGEST, exit=True)
            return child
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.register(signal.SIGALRM, chain=True)
        # A child that hangs shows its stacks and is killed, and its status says so. "No Python frame" is the
        # interpreter's own end.
        try:
            work()
        except SystemExit:
            raise
        except BaseException as exc:
            print(f"in the child: {exc!r}", file=sys.stderr, flush=True)
            os._exit(7)
        os._exit(0)

    def _wait(self, child: int, expected: int) -> None:
        began = time.monotonic()
        self.children.append(child)
        with watch(lambda: [child], HUNG, lambda: os.kill(child, signal.SIGALRM)):
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        self.children.remove(child)
        with open(f"/proc/{child}/schedstat", encoding="ascii") as file:
            ran, waited = (int(field) / 1e9 for field in file.read().split()[:2])
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status != expected:
            took = f"{time.monotonic() - began:.1f} s, of which its main thread ran {ran:.1f}"
            self.told.append(
                f"the child ended with {status} after {took} and waited {waited:.1f} for a processor"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="Hunt for deadlocks over a range of seeds.")
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--way", help="only schedules of this way")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after so long")
    arguments = parser.parse_args()
    gc.collect()
    gc.freeze()
    began = time.monotonic()
    with Hunt() as hunt:
        for seed in range(arguments.first, arguments.last):
            schedule = Schedule.of(seed)
            if arguments.way in (None, schedule.way):
                hunt.run(schedule)
            if seed % 1000 == 999:
                print(f"{seed + 1}, {time.monotonic() - began:.0f} s", flush=True)
            if time.monotonic() - began > arguments.seconds:
                break
    took = time.monotonic() - began
    if os.environ.get("HUNT_TIMES"):
        print({way: round(1000 * hunt.took[way] / hunt.ran[way], 1) for way in hunt.took})
    struck = hunt.ran.pop("struck by Ctrl-C", 0)
    print(
        f"seeds {arguments.first} to {seed}: {sum(hunt.ran.values())} schedules ({dict(hunt.ran)}), {struck} "
        f"struck by Ctrl-C, in {took:.0f} s, {len(hunt.wrong)} wrong",
        flush=True,
    )
    sys.exit(1 if hunt.wrong else 0)


if __name__ == "__main__":
    main()

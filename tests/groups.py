"""Which tests one worker runs, one after the other: what is pure, by the file, and what shares what is dear.

To hand pure tests out one by one costs more than they take; the Whisper model, a wheel, a program that forks,
the environment of another maker's client and the server of a page are made once. It goes by names: pytest 9.2
with pytest-xdist 3.8 passes over the mark ``xdist_group``, and says nothing.
"""

from __future__ import annotations

from typing import Any, Optional

__all__ = ["group_of", "scheduler", "turn_of"]

_PURE = {"auth", "audio", "config", "messages", "protocol", "transcript", "test_architecture.py"}
_PURE |= {"test_annotations.py", "test_dependencies.py", "test_events.py", "test_exceptions.py"}
_PURE |= {"test_fields.py", "test_former_names.py", "test_help.py", "test_options.py", "test_schemas.py"}
_PURE |= {"test_surface.py"}
_DEAR = {
    "local/whisper/test_whisper.py",
    "test_packaging.py",
    "test_late_imports.py",
    "interop/test_voice.py",
    "e2e/test_flask_live.py",
}
_CLIENTS = "interop/test_interop.py"
# Wait or work for 10 s and more: begun first, in this order, so that no worker has one left when the others
# are done. What forks comes before what fills the memory: to fork 2 GB takes ten times as long.
_LASTING = (
    "session/test_moments.py::test_ten_thousand_moments",
    "reliability/test_long_time.py",
    "reliability/test_reliability.py::test_two_hundred_runs_of_ten_minutes",
    "reliability/test_hunt.py::test_twenty_thousand_schedules",
    "reliability/test_faults.py::test_every_fault_ends_as_promised_in_every_way_to_use_a_session",
    "reliability/test_faults.py::test_of_two_faults_the_first_decides_in_two_thousand_sessions",
    "test_examples.py::test_captions_are_written_and_those_of_a_broken_session_too",
    "session/test_interrupts.py::test_ctrl_c_at_every_single_line",
    "session/test_interrupts.py::test_ctrl_c_at_every_single_line_with_the_shared_reader",
    "cli/test_transcribe.py::test_drop_every_shows_that_no_word_is_lost_over_broken_connections",
)
_WEB_SERVERS = ("flask", "gevent", "gthread")  # each serves a page of its own to some tests


def group_of(nodeid: str) -> str:
    """Name the group of a test, by its address: its own if it shares nothing."""
    path, _, test = nodeid.partition("::")
    within = path.removeprefix("tests/")
    if within.split("/")[0] in _PURE or within in _DEAR:
        server = test.rpartition("[")[2].rstrip("]")
        return f"{path} {server}" if server in _WEB_SERVERS else path
    if within == _CLIENTS and "[" in test:  # "...[what is done-the client]"
        return f"{path} {test.rpartition('-')[2].rstrip(']')}"
    return nodeid


def turn_of(nodeid: str) -> Optional[int]:
    """Tell when one of those that take longest is begun, by its address; None for all others."""
    test = nodeid.removeprefix("tests/").partition("[")[0]
    return next((turn for turn, name in enumerate(_LASTING) if name in (test, test.partition("::")[0])), None)


def scheduler(config: Any, log: Any) -> Any:
    """Make what hands the groups out to the workers."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):  # type: ignore[misc]
        """One group after the other, at a cost for each that does not grow with all there are.

        Where most groups are a test each, that of pytest-xdist looks through thousands after every test: at
        those that a worker has done, and for the place of the next among all that were collected.
        """

        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

        def schedule(self) -> None:
            collected = next(iter(self.registered_collections.values()))
            self._places = {nodeid: place for place, nodeid in enumerate(collected)}
            turns = {group_of(nodeid): turn_of(nodeid) for nodeid in collected}
            lasting = {group: turn for group, turn in turns.items() if turn is not None}
            self._first = sorted(lasting, key=lasting.__getitem__, reverse=True)  # the next is the last
            super().schedule()

        def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
            nodeid = self.collection[item_index]
            group, work = group_of(nodeid), self.assigned_work[node]
            work[group][nodeid] = True
            if all(work[group].values()):
                del work[group]
            self._reschedule(node)

        def _assign_work_unit(self, node: Any) -> None:
            if self._first:
                self.workqueue.move_to_end(self._first.pop(), last=False)
            group, tests = self.workqueue.popitem(last=False)
            self.assigned_work[node][group] = tests
            node.send_runtest_some([self._places[nodeid] for nodeid, done in tests.items() if not done])

    return Groups(config, log)

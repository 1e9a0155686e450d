"""What was pickled before the modules moved."""

from __future__ import annotations

import pickle
from importlib import import_module

import pytest

from speechmatics_rt.local import (
    Engine,
    Fault,
    FaultRow,
    Recogniser,
    ReplayEngine,
    Script,
    ScriptedEngine,
    Sound,
    Word,
)

FAULT = (
    b"ccopy_reg\n_reconstructor\n(cspeechmatics_rt.local.faults\nFault\nc__builtin__\nobject\nNtR"
    b"(dVkind\nVreset\nsVat\nV\nsVafter_messages\nNsVafter_bytes\nI32000\nsVafter_seconds\nNsVafter_final\nNs"
    b"Vdelay\nF0.0\nsVsessions\n(I0\ntsVoptions\n(tsb."
)
SOUND = (
    b"ccopy_reg\n_reconstructor\n(cspeechmatics_rt.local.script\nSound\nc__builtin__\nobject\nNtR"
    b"(dVtype\nVmusic\nsVstart\nF0.0\nsVend\nF1.0\nsVconfidence\nF0.9\nsb."
)
WORD = (
    b"ccopy_reg\n_reconstructor\n(cspeechmatics_rt.local.script\nWord\nc__builtin__\nobject\nNtR"
    b"(dVcontent\nVYes\nsVstart\nF0.4\nsVend\nF0.8\nsVspeaker\nVS1\nsVkind\nVword\nsVlate\nI00\ns"
    b"Ventity_class\nNsVspoken\n(tsVtags\n(tsVconfidence\nF0.98\nsVvolume\nF60.0\nsVlanguage\nNsb."
)
SCRIPT = (
    b"ccopy_reg\n_reconstructor\n(cspeechmatics_rt.local.script\nScript\nc__builtin__\nobject\nNtR"
    b"(dVwords\n(" + WORD[:-1] + b"tsVperiod\nF2.0\nsVlanguage\nNsVtranslations\n(t"
    b"sVsounds\n(" + SOUND[:-1] + b"tsb."
)
SPOKEN = Script((Word("Yes", 0.4, 0.8),), sounds=(Sound("music", 0.0, 1.0),), period=2.0)


def test_faults_and_scripts_pickled_before_still_load() -> None:
    assert pickle.loads(FAULT) == Fault.reset(after_bytes=32000, sessions=[0])
    assert pickle.loads(SCRIPT) == SPOKEN


def test_engines_pickled_before_still_load() -> None:
    made = b"ccopy_reg\n_reconstructor\n(cspeechmatics_rt.local.%b\nc__builtin__\nobject\nNtR"
    engine = pickle.loads(made % b"scripted\nScriptedEngine" + b"(dVscript\n" + SCRIPT[:-1] + b"sb.")
    assert isinstance(engine, ScriptedEngine)
    assert engine.script == SPOKEN
    replay = (
        b"ccopy_reg\n_reconstructor\n(cspeechmatics_rt.local.replay\nReplayEngine\nc__builtin__\nobject\nNtR"
    )
    engine = pickle.loads(replay + b"(dV_entries\n(dsV_pack\n(dVitn\nI01\nssb.")
    assert isinstance(engine, ReplayEngine)
    assert engine.language_pack_info("en") == {"itn": True}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_is_pickled_today_is_loaded_today(protocol: int) -> None:
    for value in (SPOKEN, Fault.reset(after_bytes=1), Fault.table()):
        assert pickle.loads(pickle.dumps(value, protocol)) == value
    assert isinstance(Fault.table()[0], FaultRow)


def test_engines_of_users_find_what_they_import_where_it_was() -> None:
    engine = import_module("speechmatics_rt.local.engine")
    assert (engine.Engine, engine.Recogniser) == (Engine, Recogniser)
    assert engine.final([], 0.0, 1.0)["metadata"]["end_time"] == 1.0
    assert engine.partial([], 0.0, 1.0)["message"] == "AddPartialTranscript"
    assert engine.end_of_utterance(1.0)["message"] == "EndOfUtterance"
    assert import_module("speechmatics_rt.local.whisper").WhisperEngine

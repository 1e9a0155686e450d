"""Options that are kept in a file; and names that were nearly right."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt.cli.options.arguments import _commands, parse, parser
from speechmatics_rt.cli.options.profiles import arguments_of
from speechmatics_rt.exceptions import ConfigurationError
from speechmatics_rt.local import LocalServer

from .command import LOCAL, SENTENCES, SPEECH, in_shell, run

if sys.version_info < (3, 11):
    pytest.importorskip("tomli")

FILE = """\
[default]
language = "de"
url = "{url}"

[work]
url = "{url}"
api_key = "w0rk"
language = "fr"
max-delay = 1.5
partials = true
entities = false
vocab = ["Norwich", "gnocchi:nyohki"]
diarization = "speaker"

[wrong]
max-delay = "soon"

[unknown]
langage = "fr"

[switch]
resume = "yes"

[twice]
max_delay = 1
max-delay = 2
[odd]
vocab = [{{content = "x"}}]
"""


_VALUES = {"caption_width": "50", "header": "A=b", "vocab": "tide", "replace": "a:b", "format": "srt,vtt"}


@pytest.fixture
def server():
    with LocalServer(keys=["w0rk", "0ther"]) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, server: LocalServer) -> dict[str, str]:
    """The variable that leads to the file."""
    folder = tmp_path / "speechmatics-rt"
    folder.mkdir()
    file = folder / "config.toml"
    file.write_text(FILE.format(url=server.url))
    file.chmod(0o600)
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def test_a_profile_gives_what_was_not_said(server, home: dict[str, str]) -> None:
    assert run("transcribe", SPEECH, "--profile", "work", **home)[0] == 0
    sent = server.sessions[-1]
    assert sent.headers["authorization"] == "Bearer w0rk"
    assert sent.start["transcription_config"] == {
        "language": "fr",
        "model": "enhanced",
        "max_delay": 1.5,
        "enable_partials": True,
        "additional_vocab": ["Norwich", {"content": "gnocchi", "sounds_like": ["nyohki"]}],
        "diarization": "speaker",
    }


def test_options_win_and_lists_grow(server, home: dict[str, str]) -> None:
    options = ("--profile=work", "-l", "es", "--vocab", "tide", "--api-key", "0ther")
    assert run("transcribe", SPEECH, *options, **home)[0] == 0
    sent = server.sessions[-1]
    assert sent.headers["authorization"] == "Bearer 0ther"
    assert sent.start["transcription_config"]["language"] == "es"
    assert sent.start["transcription_config"]["additional_vocab"][-1] == "tide"


def test_the_name_of_an_output_that_was_typed_wins_over_the_format_of_a_profile(
    home: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "speechmatics-rt" / "config.toml").write_text('[default]\nformat = "srt"\n')
    for words, begins in (
        (["-o", "z.vtt"], "WEBVTT"),
        (["-o", "z.txt"], "Good"),
        (["-o", "z"], "1\n00:00"),  # which says nothing
        (["-o", "z.vtt", "-f", "tsv"], "start\tend"),
    ):
        words[1] = str(tmp_path / words[1])
        assert run("transcribe", SPEECH, *LOCAL, *words, **home) == (0, "", "")
        assert Path(words[1]).read_text().startswith(begins), words
    (tmp_path / "speechmatics-rt" / "config.toml").write_text(
        f'[default]\nformat = "srt"\noutput = "{tmp_path / "p.vtt"}"\n'
    )
    assert run("transcribe", SPEECH, *LOCAL, **home) == (0, "", "")
    assert (tmp_path / "p.vtt").read_text().startswith("1\n00:00")  # as with two options


@pytest.mark.parametrize(("usual", "typed"), [("output", "output-dir"), ("output-dir", "output")])
def test_a_place_that_was_typed_wins_over_the_other_kind_of_a_profile(
    home: dict[str, str], tmp_path: Path, usual: str, typed: str
) -> None:
    (tmp_path / "speechmatics-rt" / "config.toml").write_text(
        f'[default]\n{usual} = "{tmp_path / "usual"}"\n'
    )
    code, out, err = run("transcribe", SPEECH, *LOCAL, f"--{typed}", tmp_path / "typed", **home)
    assert (code, out) == (0, ""), err
    assert (tmp_path / "typed").is_dir() == (typed == "output-dir")
    assert not (tmp_path / "usual").exists()


@pytest.mark.parametrize(
    ("usual", "typed"),
    [
        ({"device": "2", "save": "talk.wav"}, []),  # of the microphone
        ({"sample-rate": 48000}, []),
        ({"engine": "scripted", "drop-every": 5}, []),
        ({"max-speakers": 2, "speaker-sensitivity": 0.7, "prefer-current-speaker": True}, []),
        ({"diarization": "speaker", "max-speakers": 2}, ["--diarization", "none"]),
        ({"split": "left,right"}, ["--mix"]),
        ({"raw": "mulaw", "sample-rate": 8000}, ["--mix"]),
        ({"model": "standard"}, ["--operating-point", "enhanced"]),
        ({"local": True, "engine": "scripted"}, ["--api-key", "0ther"]),
        ({"verbose": True}, ["--quiet"]),
        ({"output-dir": "out", "format": "txt,srt"}, ["-o", "-"]),
    ],
)
def test_what_a_profile_holds_for_other_audio_or_otherwise_than_typed_gives_way(
    server, home: dict[str, str], tmp_path: Path, usual: dict[str, Any], typed: list[str]
) -> None:
    # JSON writes these values as TOML does
    lines = [f"{name} = {json.dumps(value)}" for name, value in usual.items()]
    (tmp_path / "speechmatics-rt" / "config.toml").write_text("\n".join(["[default]", *lines]))
    env = {**home, "SPEECHMATICS_RT_URL": server.url, "SPEECHMATICS_API_KEY": "w0rk"}
    code, out, err = run("transcribe", SPEECH, *typed, **env)
    assert (code, out.splitlines(), err) == (0, SENTENCES, "")


@pytest.mark.parametrize("command", ["transcribe", "transcribe-many"])
def test_whatever_a_profile_holds_can_be_left_out_for_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    needed = [command, "a.wav", *(["-o", "out"] if command == "transcribe-many" else [])]
    (tmp_path / "speechmatics-rt").mkdir()
    file = tmp_path / "speechmatics-rt" / "config.toml"
    usual = vars(parse(needed))
    held = 0
    for action in _commands(parser())[command]._actions:
        name = action.option_strings[-1][2:] if action.option_strings else "help"
        if name in ("help", "profile", "without", "output") or action.help == argparse.SUPPRESS:
            continue
        value = action.choices[-1] if isinstance(action.choices, list) else _VALUES.get(action.dest, "1")
        flag = action.nargs == 0
        file.write_text(f"[default]\n{name} = {'true' if flag else json.dumps(value)}\n")
        held += vars(parse(needed)) != usual
        assert {**vars(parse([*needed, "--without", name])), "without": None, "exposed": False} == usual
    assert held > 20


def test_what_is_left_out_of_a_profile_is_an_option_and_several_may_be(
    server, home: dict[str, str], tmp_path: Path
) -> None:
    without = ("--without=partials,vocab", "--without", "max_delay")
    assert run("transcribe", SPEECH, "--profile=work", *without, "--vocab", "tide", **home)[0] == 0
    config = server.sessions[-1].start["transcription_config"]
    assert config["additional_vocab"] == ["tide"]
    assert not {"max_delay", "enable_partials"} & config.keys()
    code, _, err = run("transcribe", SPEECH, "--without", "partial", **home)
    assert (code, "argument --without: there is no option --partial (see" in err) == (2, True)
    code, _, err = run("transcribe", SPEECH, "--no-partials", **home)
    assert (code, "; what a profile says is left out by --without partials (see" in err) == (2, True)
    (tmp_path / "speechmatics-rt" / "config.toml").write_text('[default]\nmax-delay = "soon"\n')
    assert run("transcribe", SPEECH, *LOCAL, "--without", "max-delay", **home)[0] == 0


@pytest.mark.parametrize("usual", ["temporary-key = true", 'ssl-mode = "insecure"', 'api-key = "w0rk"'])
def test_local_needs_nothing_that_is_for_the_service(
    home: dict[str, str], tmp_path: Path, usual: str
) -> None:
    file = tmp_path / "speechmatics-rt" / "config.toml"
    file.write_text(f"[default]\n{usual}\n")
    code, _, err = run("transcribe", SPEECH, *LOCAL, **home)
    assert (code, err) == (0, "")


def test_what_contradicts_itself_in_a_profile_or_as_typed_is_still_refused(
    home: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "speechmatics-rt" / "config.toml"
    file.write_text('[default]\nsplit = "a,b"\nmix = true\n')
    code, _, err = run("transcribe", SPEECH, *LOCAL, **home)
    assert (code, "use --split or --mix, not both" in err) == (2, True)
    code, _, err = run("transcribe", SPEECH, *LOCAL, "--mix", "--split", "a,b", **home)
    assert (code, "use --split or --mix, not both" in err) == (2, True)


def test_the_default_profile_needs_no_name_and_gives_way_to_variables(server, home: dict[str, str]) -> None:
    assert run("transcribe", SPEECH, **home, SPEECHMATICS_API_KEY="0ther")[0] == 0
    assert server.sessions[-1].start["transcription_config"]["language"] == "de"
    count = len(server.sessions)
    env = {**home, "SPEECHMATICS_API_KEY": "0ther", "SPEECHMATICS_RT_URL": "ws://127.0.0.1:1/v2"}
    assert run("transcribe", SPEECH, **env)[0] == 4
    assert len(server.sessions) == count


def test_a_profile_by_name_comes_before_variables(server, home: dict[str, str]) -> None:
    assert run("transcribe", SPEECH, "--profile", "work", **home, SPEECHMATICS_API_KEY="0ther")[0] == 0
    assert server.sessions[-1].headers["authorization"] == "Bearer w0rk"


def test_local_needs_nothing_of_a_profile_that_names_a_server(server, home: dict[str, str]) -> None:
    code, _, err = run("transcribe", SPEECH, *LOCAL, "--profile", "work", "-l", "en", **home)
    assert (code, err) == (0, "")
    assert not server.sessions


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("switch", "argument --resume: is true or false, not 'yes'"),
        ("wrong", "argument --max-delay: 'soon' is not a number of seconds"),
        ("unknown", "there is no option --langage; did you mean --language?"),
        ("odd", "vocab is not a string, number, true, false or a list of these"),
        ("twice", "max_delay and max-delay are one option; leave one of them out"),
        ("none", "--profile 'none' is not in "),
    ],
)
def test_what_is_wrong_in_a_profile_is_told_with_the_file(home: dict[str, str], name: str, says: str) -> None:
    code, out, err = run("transcribe", SPEECH, "--profile", name, **home)
    assert (code, out) == (2, "")
    assert says in err
    assert "config.toml" in err
    assert err.count("\n") == 1


def test_a_file_that_is_no_toml_is_told(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "speechmatics-rt" / "config.toml").write_text("[default\n")
    code, _, err = run("transcribe", SPEECH, **home)
    assert code == 2
    assert "config.toml is not TOML: " in err


def test_options_above_the_first_profile_are_told_to_be_in_none(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "speechmatics-rt" / "config.toml").write_text('language = "de"\nvocab = ["Ulm"]\n[work]\n')
    code, out, err = run("transcribe", SPEECH, **home)
    assert (code, out) == (2, "")
    assert "config.toml: language, vocab: not in a profile; write [default] above" in err


def test_a_profile_that_is_asked_for_has_to_be_there(tmp_path: Path) -> None:
    code, _, err = run("transcribe", SPEECH, "--profile", "work", XDG_CONFIG_HOME=str(tmp_path))
    assert code == 2
    assert f"there is no {tmp_path}/speechmatics-rt/config.toml; write [work] and options in it" in err


def test_a_key_that_others_may_read_is_told(server, home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "speechmatics-rt" / "config.toml").chmod(0o644)
    code, _, err = run("transcribe", SPEECH, "--profile", "work", **home)
    assert code == 0
    assert "config.toml holds a key, and others may read it; chmod 600" in err


def test_help_needs_no_good_profile(home: dict[str, str]) -> None:
    assert run("transcribe", "--help", "--profile", "none", **home)[0] == 0


@pytest.mark.parametrize("value", [{"a": 1}, [[1]], None])
def test_values_that_no_option_has(value: Any) -> None:
    with pytest.raises(ConfigurationError):
        arguments_of({"vocab": value}, "profile")


# -- did you mean ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["transcribe", "a.wav", "--vocabulary", "x"],
            "no option --vocabulary; did you mean --vocab?",
        ),
        (["transcribe", "a.wav", "--diarisation=speaker"], "--diarisation; did you mean --diarization?"),
        (["transcribe", "a.wav", "--xyzzy"], "there is no option --xyzzy (see"),
        (["transcribe", "a.wav", "--partial"], "there is no option --partial; did you mean --partials?"),
        (
            ["transcirbe", "a.wav"],
            "there is no 'transcirbe'; did you mean transcribe? There are trans",
        ),
        (["serve", "--prot", "0"], "there is no option --prot; did you mean --port?"),
        (
            ["transcribe", "a.wav", "b.wav", "c.wav"],
            "one recording at a time, but 'b.wav' was given too; speechmatics-rt transcribe-many takes",
        ),
        (["mic", "--partials"], "did you mean speechmatics-rt transcribe mic? There are"),
        (["transcribe-many"], "error: missing: DIR|FILE|-, -o/--output (see"),
        ([str(SPEECH)], f"did you mean speechmatics-rt transcribe {SPEECH}? There are"),
    ],
)
def test_what_was_nearly_right_is_told_what_was_meant(words: list[str], says: str) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def test_a_file_whose_name_begins_with_a_dash_is_told_how_to_be_named(tmp_path: Path) -> None:
    for name in ("-call.wav", "talk.wav"):
        shutil.copy(SPEECH, tmp_path / name)
    for command in ("transcribe -call.wav", "transcribe-many *.wav -o out"):
        code, out, err = in_shell(f"$RT {command}", cwd=tmp_path)
        assert (code, out) == (2, "")
        assert "there is no option -call.wav; the file of that name is ./-call.wav (see" in err
    assert in_shell("$RT transcribe --local --engine scripted ./-call.wav", cwd=tmp_path)[0] == 0

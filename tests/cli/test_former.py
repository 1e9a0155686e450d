"""What people knew from the service's former command, by the field's name and by the former one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt.cli.options import parser
from speechmatics_rt.cli.options.vocabulary import replacement, vocabulary
from speechmatics_rt.local import LocalServer

from .command import ROOT, SENTENCES, SPEECH, run

PAGE = (ROOT / "examples" / "moving" / "former_command.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (`.*?) \| (.*?) \| (.*?) ?\|$", PAGE, re.MULTILINE)

# Of "speechmatics rt transcribe", version 5.0.0.
FORMER = """
    -v --debug --ctrl --url --auth-token --ssl-mode --generate-temp-token --profile --config-file
    --lang --language --volume-threshold --end-of-utterance-silence-trigger --remove-disfluencies
    --replacement-words --replacement-words-file --operating-point --domain --output-locale
    --additional-vocab --additional-vocab-file --punctuation-permitted-marks --enable-entities
    --translation-langs --translation-languages --langid-langs --langid-languages --multichannel
    --streaming-mode --enable-partials --enable-transcription-partials --enable-translation-partials
    --punctuation-sensitivity --speaker-diarization-max-speakers --speaker-diarization-sensitivity
    --speaker-diarization-prefer-current-speaker --max-delay --max-delay-mode --raw --sample-rate
    --chunk-size --buffer-size --print-json --diarization --audio-events --event-types
    --extra-headers
"""


@pytest.fixture(scope="module")
def server():
    with LocalServer() as running:
        yield running


def config_of(server: LocalServer, *options: Any, **env: str) -> dict[str, Any]:
    code, _, err = run("transcribe", SPEECH, "--url", server.url, *options, **env)
    assert (code, err) == (0, "")
    return server.sessions[-1].start["transcription_config"]


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        (["--lang", "en"], "language", "en"),
        (["--operating-point", "standard"], "operating_point", "standard"),
        (["--max-delay-mode", "fixed"], "max_delay_mode", "fixed"),
        (["--volume-threshold", "3.5"], "audio_filtering_config", {"volume_threshold": 3.5}),
        (["--enable-entities"], "enable_entities", True),
        (["--enable-partials"], "enable_partials", True),
        (["--remove-disfluencies"], "transcript_filtering_config", {"remove_disfluencies": True}),
        (
            ["--replace", "gonna:going to", "--replacement-words", "/colou?r/i:hue"],
            "transcript_filtering_config",
            {"replacements": [{"from": "gonna", "to": "going to"}, {"from": "/colou?r/i", "to": "hue"}]},
        ),
        (
            ["--punctuation-permitted-marks", ". ?", "--punctuation-sensitivity", "0.4"],
            "punctuation_overrides",
            {"permitted_marks": [".", "?"], "sensitivity": 0.4},
        ),
        (["--punctuation", "all"], "punctuation_overrides", {"permitted_marks": ["all"]}),
        (
            ["--diarization", "speaker", "--speaker-sensitivity", "0.7", "--prefer-current-speaker"],
            "speaker_diarization_config",
            {"speaker_sensitivity": 0.7, "prefer_current_speaker": True},
        ),
        (
            [
                *("--diarization", "speaker", "--speaker-diarization-sensitivity", "0.7"),
                *("--speaker-diarization-max-speakers", "3"),
            ],
            "speaker_diarization_config",
            {"speaker_sensitivity": 0.7, "max_speakers": 3},
        ),
        (
            ["--end-of-utterance-silence-trigger", "0.5"],
            "conversation_config",
            {"end_of_utterance_silence_trigger": 0.5},
        ),
        (
            ["--vocab", "Norwich", "--additional-vocab", "gnocchi:nyohki, nokey"],
            "additional_vocab",
            ["Norwich", {"content": "gnocchi", "sounds_like": ["nyohki", "nokey"]}],
        ),
    ],
)
def test_options_reach_the_service_as_its_fields(server, options: list[str], field: str, value: Any) -> None:
    assert config_of(server, *options)[field] == value


def test_operating_point_goes_instead_of_a_model(server) -> None:
    assert "model" not in config_of(server, "--operating-point", "standard")


def test_languages_of_translations_may_stand_together(server) -> None:
    config_of(server, "--translation-langs", "fr,de", "--translate", "es")
    assert server.sessions[-1].start["translation_config"]["target_languages"] == ["fr", "de", "es"]


@pytest.mark.parametrize("option", ["--vocab-file", "--additional-vocab-file"])
def test_words_from_a_file_as_lines_or_as_the_service_s_json(server, tmp_path: Path, option: str) -> None:
    words = ["New York", {"content": "gnocchi", "sounds_like": ["nyohki"]}]
    (tmp_path / "words.txt").write_bytes(b"New York\r\n\r\n  gnocchi:nyohki\r\n")
    (tmp_path / "words.json").write_text(json.dumps(words))
    for name in ("words.txt", "words.json"):
        assert config_of(server, option, tmp_path / name)["additional_vocab"] == words
    both = config_of(server, option, tmp_path / "words.txt", "--vocab", "Norwich")["additional_vocab"]
    assert both == ["Norwich", *words]


def test_replacements_from_a_file(server, tmp_path: Path) -> None:
    pairs = [{"from": "train", "to": "bus"}]
    (tmp_path / "pairs.txt").write_text("train:bus\n")
    (tmp_path / "pairs.json").write_text(json.dumps(pairs))
    for name in ("pairs.txt", "pairs.json"):
        config = config_of(server, "--replace-file", tmp_path / name)
        assert config["transcript_filtering_config"]["replacements"] == pairs
    _, out, _ = run(
        "transcribe", SPEECH, "--url", server.url, "--replacement-words-file", tmp_path / "pairs.txt"
    )
    assert out.splitlines()[1] == SENTENCES[1].replace("train", "bus")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--vocab", "a:b:c"], "argument --vocab: 'a:b:c': write WORD or WORD:SOUND,SOUND"),
        (["--vocab", "a:"], "write WORD or WORD:SOUND,SOUND"),
        (["--replace", "word"], "argument --replace: 'word': write FROM:TO or /REGEX/:TO"),
        (["--replace", ":x"], "write FROM:TO"),
        (["--vocab-file", "none.txt"], "can't read --vocab-file 'none.txt': No such file or directory"),
        (["--volume-threshold", "101"], "'101' is not a number, 0 to 100"),
        (["--speaker-sensitivity", "nan"], "'nan' is not a number, 0 to 1"),
        (["--max-delay-mode", "fixd"], "there is no 'fixd'; did you mean fixed? There are flexible, fixed"),
        (["--model", "a", "--operating-point", "b"], "use --model or --operating-point, its former name"),
        (["--header", "X-Trace"], "--header 'X-Trace': write NAME=VALUE"),
        (["--header", "Host=x"], "the header Host is set by the upgrade itself"),
        (["--temporary-key", "--ssl-mode", "insecure"], "--temporary-key takes no --ssl-mode insecure"),
    ],
)
def test_odd_values_are_refused_before_any_connection(options: list[str], says: str) -> None:
    code, out, err = run("transcribe", SPEECH, "--url", "ws://127.0.0.1:1/v2", *options)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "says"), [("{}", "it holds no list"), ("[", "Expecting"), ("a:b:c", "write W")]
)
def test_what_is_wrong_in_a_file_of_words_is_told_with_the_file(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "words").write_text(text)
    code, _, err = run(
        "transcribe", SPEECH, "--url", "ws://127.0.0.1:1/v2", "--vocab-file", tmp_path / "words"
    )
    assert code == 2
    assert f"--vocab-file '{tmp_path}/words': " in err
    assert says in err


def test_a_key_by_its_former_option_and_a_header_of_ones_own() -> None:
    with LocalServer(keys=["k3y"]) as server:
        code, _, _ = run(
            "transcribe", SPEECH, "--url", server.url, "--auth-token", "k3y", "--extra-headers", "X-Trace=a=b"
        )
        assert code == 0
        assert server.sessions[0].headers["x-trace"] == "a=b"


def test_a_temporary_key_is_fetched_for_the_key_and_sent() -> None:
    with LocalServer(keys=["k3y"]) as server:
        code, out, err = run(
            "transcribe",
            SPEECH,
            "--url",
            server.url,
            "--api-key",
            "k3y",
            "--temporary-key",
            SM_MANAGEMENT_PLATFORM_URL=server.url.replace("ws:", "http:").rpartition("/")[0],
        )
        assert (code, err) == (0, "")
        assert out.startswith(SENTENCES[0])
        assert server.sessions[-1].headers["authorization"] != "Bearer k3y"


def test_a_certificate_that_nobody_checks_is_told_loudly_and_works() -> None:
    with LocalServer(tls=True) as server:
        code, _, err = run("transcribe", SPEECH, "--url", server.url)
        assert code == 4
        code, out, err = run("transcribe", SPEECH, "--url", server.url, "--ssl-mode", "insecure", "-q")
    assert code == 0
    assert out.startswith(SENTENCES[0])
    assert err.startswith("speechmatics-rt: warning: --ssl-mode insecure: NO CERTIFICATE IS CHECKED.")
    assert err.count("\n") == 1


def test_former_names_are_not_shown() -> None:
    _, out, _ = run("transcribe", "--help")
    assert "--auth-token" not in out
    assert "--vocab-file" in out


def test_entries_are_read_one_way() -> None:
    assert vocabulary("a") == "a"
    assert replacement("/a:b/:c") == {"from": "/a:b/", "to": "c"}
    assert replacement("a:") == {"from": "a", "to": ""}


# -- the page that tells of all of them --------------------------------------------------------------------


def known_options() -> dict[str, Any]:
    (commands,) = (action for action in parser()._actions if action.dest == "command")
    return commands.choices["transcribe"]._option_string_actions


def test_the_page_has_every_option_of_the_former_command() -> None:
    told = {name for former, _, _ in ROWS for name in re.findall(r"`(-[\w-]+)`", former)}
    assert told == set(FORMER.split())


@pytest.mark.parametrize(("former", "here", "note"), ROWS)
def test_each_line_of_it_is_true(former: str, here: str, note: str) -> None:
    known = known_options()
    names = re.findall(r"`(-{1,2}[\w-]{2,}|-v)`", former)
    (new,) = re.findall(r"`(-[\w-]+)`", here) or [None]
    if new is None:
        assert here in ("none", "`FILE`, `-`")
        assert not set(names) & set(known)
        return
    assert new in known or new == "-vv"
    for name in names:
        if "former name" in note:
            assert known[name].dest == known[new].dest
        elif name != new and name in known:
            assert f"`{name}`" in note, "it is understood; say so"
    for option in re.findall(r"`(--[\w-]+)", note):
        assert option in known

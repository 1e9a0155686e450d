"""What the command is given: numbers, text and files as people and their editors write them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt.cli.options.files import read_settings, read_text
from speechmatics_rt.cli.options.vocabulary import read_replacements, read_vocabulary
from speechmatics_rt.exceptions import ConfigurationError
from speechmatics_rt.local import LocalServer

from .command import SENTENCES, SPEECH, in_shell, run, start

unix = pytest.mark.skipif(os.name == "nt", reason="Windows passes text, not bytes")


@pytest.fixture(scope="module")
def server():
    with LocalServer() as running:
        yield running


# -- numbers and text ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "0", "1e300", "", "1,5", "soon"])
@pytest.mark.parametrize("option", ["--timeout", "--speed", "--drop-every"])
def test_numbers_that_are_none_are_refused(capsys, option: str, value: str) -> None:
    from speechmatics_rt.cli import main

    with pytest.raises(SystemExit) as caught:
        main(["transcribe", str(SPEECH), f"{option}={value}"])
    err = capsys.readouterr().err
    assert caught.value.code == 2
    assert err.startswith(f"speechmatics-rt: error: argument {option}: {value!r} is not a number of seconds")
    assert err.count("\n") == 1


@pytest.mark.parametrize("value", ["nan", "inf", "-0.1", "x"])
@pytest.mark.parametrize("option", ["--max-delay", "--end-of-utterance"])
def test_pauses_that_are_none_are_refused(capsys, option: str, value: str) -> None:
    from speechmatics_rt.cli import main

    with pytest.raises(SystemExit):
        main(["transcribe", str(SPEECH), f"{option}={value}"])
    assert f"argument {option}: {value!r} is not a number of seconds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--port", "70000"], "--port: '70000' is not a port, 0 to 65535"),
        (["--port", "-1"], "--port: '-1' is not a port"),
        (["--port", "9000.5"], "--port: '9000.5' is not a port"),
        (["--quota", "-1"], "--quota: '-1' is not a whole number"),
        (["--quota", "nan"], "--quota: 'nan' is not a whole number"),
        (["--speed", "nan"], "--speed: 'nan' is not a number"),
        (["--speed", "0"], "--speed: '0' is not a number"),
        (["--key", ""], "--key is empty"),
        (["--key", "two words"], "--key contains spaces"),
        (["--fault", "reset:after_seconds=NaN"], "reset:after_seconds must be a number, not 'NaN'"),
        (["--fault", "reset:after_bytes=-1"], "reset:after_bytes must be 0 or more, not '-1'"),
        (["--fault", "reset:after_bytes=x"], "reset:after_bytes must be a whole number, not 'x'"),
        (["--script", "none.txt"], "can't read --script 'none.txt': No such file or directory"),
        (["--replay", "none.jsonl"], "none.jsonl: No such file or directory"),
    ],
)
def test_odd_values_of_serve_are_refused(options: list[str], says: str) -> None:
    code, out, err = run("serve", *options)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


@unix
@pytest.mark.parametrize(
    ("line", "says"),
    [
        (r"--vocab $'Z\xfcrich'", "--vocab is 'Z\\udcfcrich'; it is not UTF-8 text"),
        (r"--vocab $'Z\xc3\xbcrich\r'", "--vocab is 'Zürich\\r'; it holds a control character"),
        (r"--vocab ' '", "--vocab is ' '; it is blank"),
        (r"--translate $'\xff'", "--translate is '\\udcff'; it is not UTF-8 text"),
        (r"--language $'\xff'", "--language is '\\udcff'"),
        (r"--domain $'\xff'", "--domain is '\\udcff'"),
        (r"--model $'\xff'", "--model is '\\udcff'"),
        (r"--output-locale $'\xff'", "--output-locale is '\\udcff'"),
        (r"--punctuation $'\xff'", "--punctuation is '\\udcff'"),
        (r"--api-key $'\xff'", "the API key contains spaces, line breaks or other characters"),
        (r"""--config <(echo '{"additional_vocab": [{"content": "\ud800"}]}')""", "it is not UTF-8 text"),
        (r"""--config <(echo '{"additional_vocab": [{"content": "a\u0000b"}]}')""", "control character"),
    ],
)
def test_text_that_is_none_is_told_before_any_connection(server, line: str, says: str) -> None:
    count = len(server.sessions)
    code, out, err = in_shell(f"$RT transcribe '{SPEECH}' --url {server.url} {line}")
    assert (code, out) == (2, "")
    assert says in err
    assert len(server.sessions) == count


@unix
@pytest.mark.parametrize(
    ("label", "says"),
    [(r"$'\xff'", "it is not UTF-8 text"), (r"$'a\nb'", "control character"), ("' '", "write LABEL=FILE")],
)
def test_a_label_that_is_no_text_is_told_before_any_connection(server, label: str, says: str) -> None:
    count = len(server.sessions)
    code, _, err = in_shell(f"$RT transcribe --url {server.url} --channel {label}='{SPEECH}'")
    assert code == 2
    assert says in err
    assert len(server.sessions) == count


def test_words_of_other_scripts_are_words(server) -> None:
    words = ["می‌خواهم", "नमस्ते", "東京", "New\u00a0York"]
    options = [part for word in words for part in ("--vocab", word)]
    assert run("transcribe", SPEECH, "--url", server.url, *options)[0] == 0
    assert server.sessions[-1].start["transcription_config"]["additional_vocab"] == words


# -- files of editors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_text_files_of_any_editor_are_read(tmp_path: Path, encoding: str, line_end: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(f'{{"language": "en",{line_end}"domain": "Zürich"}}{line_end}'.encode(encoding))
    assert read_text("--script", str(path)) == '{"language": "en",\n"domain": "Zürich"}\n'
    assert read_settings(str(path)).transcription_config == {"language": "en", "domain": "Zürich"}


def test_a_file_in_another_encoding_is_told_how_to_be_saved(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes('{"domain": "Zürich"}'.encode("cp1252"))
    with pytest.raises(ConfigurationError, match=r"neither UTF-8 nor UTF-16 text; save it as UTF-8"):
        read_settings(str(tmp_path / "config.json"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"language": "en", "domain": "finance", "language": "de"}', "it has 'language' twice"),
        (
            '{"transcription_config": {"max_delay": 1, "max_delay": 2}}',
            "its transcription_config has 'max_delay' twice",
        ),
        (
            '{"language": "en", "additional_vocab": ["a", {"content": "b", "content": "c"}]}',
            "its additional_vocab[1] has 'content' twice",
        ),
        (
            '{"translation_config": {"a": [[{"b": {"c": 1, "c": 1}}]]}}',
            "its translation_config.a[0][0].b has 'c' twice",
        ),
    ],
)
def test_a_key_that_stands_twice_in_a_file_is_told_with_its_place(tmp_path: Path, text, says: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_settings(str(tmp_path / "config.json"))
    assert says in str(caught.value)
    assert f"--config '{tmp_path}/config.json'" in str(caught.value)


def test_a_key_that_stands_twice_in_a_file_of_words_is_told_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text('["a", {"content": "b", "content": "c"}]')
    with pytest.raises(ConfigurationError, match=r"words.json': its \[1\] has 'content' twice"):
        read_vocabulary(str(tmp_path / "words.json"))
    (tmp_path / "replace.json").write_text('[{"from": "b", "from": "c", "to": "d"}]')
    with pytest.raises(ConfigurationError, match=r"replace.json': its \[0\] has 'from' twice"):
        read_replacements(str(tmp_path / "replace.json"))


def test_a_header_that_is_given_twice_is_refused() -> None:
    options = ("--header", "X-Team=a", "--header", "x-team=b", "--url", "ws://127.0.0.1:1/v2")
    code, _, err = run("transcribe", SPEECH, *options)
    assert code == 2
    assert "--header 'x-team' is given twice" in err


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_windows_wrote_is_served(tmp_path: Path, encoding: str) -> None:
    _, said, _ = run("transcribe", SPEECH, "--local", "--engine", "scripted", "-f", "jsonl")
    (tmp_path / "talk.jsonl").write_bytes(said.replace("\n", "\r\n").encode(encoding))
    (tmp_path / "play.txt").write_bytes("Grüezi mitenand.\r\n".encode(encoding))
    for options, first in (
        (("--replay", tmp_path / "talk.jsonl"), SENTENCES[0]),
        (("--script", tmp_path / "play.txt"), "Grüezi mitenand."),
    ):
        with start("serve", "--port", "0", *options) as process:
            url = process.stdout.readline().decode().strip()
            code, out, _ = run("transcribe", SPEECH, "--url", url)
            process.terminate()
        assert (code, out.splitlines()[0]) == (0, first)


# -- whole messages ----------------------------------------------------------------------------------------

FIELDS = {"language": "en", "max_delay": 2}
TRANSLATION = {"target_languages": ["fr"]}
EVENTS = {"types": ["music"]}
WHOLE: list[dict[str, Any]] = [
    {"type": "transcription", "transcription_config": FIELDS},
    {"transcription_config": FIELDS},
    {
        "message": "StartRecognition",
        "audio_format": {"type": "raw", "encoding": "pcm_f32le", "sample_rate": 48000},
        "transcription_config": FIELDS,
        "translation_config": TRANSLATION,
        "audio_events_config": EVENTS,
    },
    {"message": "StartRecognition", "audio_format": {"type": "file"}, "transcription_config": FIELDS},
    {**FIELDS, "translation_config": TRANSLATION, "audio_events_config": EVENTS},  # of the former command
    {"language": "de", "transcription_config": FIELDS},  # which had both, and took the inner one
    {"type": "transcription", **FIELDS, "translation_config": None},
]


@pytest.mark.parametrize("whole", WHOLE)
def test_config_may_be_a_whole_message(server, tmp_path: Path, whole: dict[str, Any]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(whole))
    code, _, err = run("transcribe", SPEECH, "--url", server.url, "--config", tmp_path / "config.json")
    assert (code, err) == (0, "")
    sent = server.sessions[-1].start
    assert sent["transcription_config"] == {"model": "enhanced", **FIELDS}
    assert sent.get("translation_config") == whole.get("translation_config")
    assert sent.get("audio_events_config") == whole.get("audio_events_config")
    assert sent["audio_format"] == {
        "type": "raw",
        "encoding": "pcm_s16le",
        "sample_rate": 16000,
    }  # of the WAV


def test_the_former_name_of_the_model_is_taken_without_a_word(server, tmp_path: Path) -> None:
    fields = {"language": "en", "operating_point": "standard"}
    (tmp_path / "config.json").write_text(json.dumps({"transcription_config": fields}))
    code, _, err = run("transcribe", SPEECH, "--url", server.url, "--config", tmp_path / "config.json")
    assert (code, err) == (0, "")
    assert server.sessions[-1].start["transcription_config"] == fields


def test_options_win_over_a_whole_message(server, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(WHOLE[2]))
    options = ("--translate", "de", "--partials", "--audio-events", "all", "-l", "fr", "--max-delay", "1")
    run("transcribe", SPEECH, "--url", server.url, "--config", tmp_path / "config.json", *options)
    sent = server.sessions[-1].start
    assert sent["transcription_config"]["language"] == "fr"
    assert sent["transcription_config"]["max_delay"] == 1
    assert sent["translation_config"] == {"target_languages": ["de"], "enable_partials": True}
    assert sent["audio_events_config"] == {}


def test_the_audio_format_of_a_whole_message_is_that_of_headerless_audio(server, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(WHOLE[2]))
    options = ("--url", server.url, "--config", tmp_path / "config.json")
    assert run("transcribe", "-", *options, stdin=bytes(48000 * 4))[0] == 0
    assert server.sessions[-1].start["audio_format"] == WHOLE[2]["audio_format"]
    raw = ("--raw", "mulaw", "--sample-rate", "8000")
    assert run("transcribe", "-", *options, *raw, stdin=bytes(8000))[0] == 0
    assert server.sessions[-1].start["audio_format"]["encoding"] == "mulaw"


def test_translations_that_a_file_asks_for_are_not_dropped_either(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(WHOLE[4]))
    options = ("--config", tmp_path / "config.json", "-f", "srt", "--url", "ws://127.0.0.1:1/v2")
    code, _, err = run("transcribe", SPEECH, *options)
    assert code == 2
    assert "each language goes to a file of its own" in err


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"type": "alignment", "transcription_config": FIELDS}, "its 'type' is not 'transcription'"),
        ({"message": "SetRecognitionConfig", "transcription_config": FIELDS}, "not 'StartRecognition'"),
        ({"transcription_config": "en"}, "its 'transcription_config' holds a string, not a JSON object"),
        ({"translation_config": ["fr"]}, "its 'translation_config' holds a list, not a JSON object"),
        ({"langauge": "en", **FIELDS}, "'langauge' is not a field of transcription_config"),
        ({"audio_format": {"type": "raw"}, **FIELDS}, "type is 'raw'"),
        ({"translation_config": {"target_languages": []}}, "target_languages is []"),
        ({"enable_partials": "yes"}, "enable_partials is 'yes'; accepted: true or false"),
        ({"language": None}, "language is missing"),
        ({"domain": ""}, "domain is ''"),
        (17, "holds a number, not a JSON object"),
        (None, "holds null, not a JSON object"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_the_file(tmp_path: Path, given: Any, says: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(given))
    options = ("--config", tmp_path / "config.json", "--url", "ws://127.0.0.1:1/v2")
    code, _, err = run("transcribe", SPEECH, *options)
    assert code == 2
    assert says in err
    assert f"--config '{tmp_path}/config.json'" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("text", ["[" * 100_000, '{"max_delay": NaN}', "", "\x00", '{"a": 1,}'])
def test_what_is_no_json_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    options = ("--config", tmp_path / "config.json", "--url", "ws://127.0.0.1:1/v2")
    code, _, err = run("transcribe", SPEECH, *options)
    assert code == 2
    assert f"--config '{tmp_path}/config.json'" in err
    assert err.count("\n") == 1

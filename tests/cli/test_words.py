"""What the command says is for who sits at a shell: options and variables, and no Python."""

from __future__ import annotations

import ast
import re
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

import speechmatics_rt
from speechmatics_rt.cli.shell import in_shell_words, of_option
from speechmatics_rt.local import LocalServer

from .command import LOCAL, SPEECH, run, start

PYTHON = re.compile(
    r"\b[a-z_]+=(?!\w)|\b[\w.]+\([^)]*\)|\b(?:True|False|None)\b|"
    rf"\b(?:{'|'.join(name for name in speechmatics_rt.__all__ if name[0].isupper() and name != 'Error')})\b"
)
# Only a program can be told these: the command does none of it.
OF_PROGRAMS = re.compile(
    r"start_session|stop_session|use 'with'|AsyncClient|JWTAuth|microphone|a handler |handler_errors|"
    r"StopIteration|get_auth_headers|read\(|tobytes\(|binary mode|SSLContext|give AudioFormat an encoding|"
    r"\bresume=|\bspeed=|None for no limit|a ConnectionConfig|Client\(api_key|^event is |send_audio|"
    r"\bconnection \d|ResumePolicy|seconds of transcript|monkey|"
    r"this signal handler|is sent from extra=|an iterable of sources|a concurrent\.futures\.Executor|"
    r"a Client, or another client|that Recorder first|line\.strip\(|^finalize\(\) |"
    r"the name of a folder|such as \[?Fault|a Script|Script\.from_text|ScriptedEngine|transcribe_many|"
    r"by another call on its client|^X\(\) of X raised X|^X\(\) got an unexpected keyword"
)


SAYING = r"(Error|fault|refused|warning|rule|wrong|unreadable)$"


def messages() -> Iterator[str]:
    """Find what the library may say: the texts of its errors and warnings, with X for what is put in."""
    package = Path(speechmatics_rt.__file__).parent
    for path in sorted(package.rglob("*.py")):
        if "cli" in path.relative_to(package).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and re.search(SAYING, ast.unparse(node.func)):
                parts: list[ast.AST] = list(node.args)
            elif isinstance(node, (ast.Assign, ast.AugAssign)):
                target = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
                parts = [node.value] if re.search(r"(^text|^why|^hint|\.args)$", target) else []
            else:
                continue
            yield from (text for part in parts for text in texts(part))


def texts(part: ast.AST) -> Iterator[str]:
    if isinstance(part, ast.JoinedStr):
        yield "".join(piece.value if isinstance(piece, ast.Constant) else "X" for piece in part.values)
    elif isinstance(part, ast.Constant) and isinstance(part.value, str):
        yield part.value
    elif isinstance(part, (ast.Tuple, ast.BinOp, ast.IfExp)):
        for inner in ast.iter_child_nodes(part):
            yield from texts(inner)


def test_no_message_of_the_library_speaks_python_in_a_shell() -> None:
    found = set(messages())
    assert len(found) > 150
    spoken = {text: in_shell_words(text) for text in found if not OF_PROGRAMS.search(text)}
    assert not {text: words for text, words in spoken.items() if PYTHON.search(words)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "its certificate was refused (self signed). If you or your company issued it, name its CA in "
            "SSL_CERT_FILE, or pass ConnectionConfig(ssl_context=ssl.create_default_context(cafile=...))",
            "its certificate was refused (self signed). If you or your company issued it, name its CA in "
            "SSL_CERT_FILE",
        ),
        ("the server fell silent for 60 s (end_timeout)", "the server fell silent for 60 s"),
        ("JWTAuth needs the package jwt", "--temporary-key needs the package jwt"),
        (
            "can't open the audio file 'calls': Is a directory; a call takes one recording; "
            "transcribe_many(Path(folder).iterdir()) takes all in it",
            "can't open the audio file 'calls': Is a directory; transcribe-many takes a folder",
        ),
        (
            "within 2 s. Heard up to 5.20 s (error.transcript): go on from there",
            "within 2 s. Heard up to 5.20 s: go on from there",
        ),
        ("no longer kept (buffer_seconds). Heard", "no longer kept. Heard"),
        ("silent for 60 s (end_timeout) [request_id=5b0e]", "silent for 60 s [request_id=5b0e]"),
        (
            "'a://b' is no file; download it first, or give urllib.request.urlopen(url)",
            "'a://b' is no file; download it first, or: curl -sSfL URL | speechmatics-rt transcribe -",
        ),
        (
            "it seems to be contents, not a path; give audio as bytes, of a file in base64 "
            "base64.b64decode(text)",
            "it seems to be contents, not a path; pipe it: ... | speechmatics-rt transcribe -",
        ),
        (
            "'s3://b' is no file; download it first, or give a file that smart_open or fsspec has opened",
            "'s3://b' is no file; download it first, or pipe it: ... | speechmatics-rt transcribe -",
        ),
        (
            "'rtsp://b' is no file; give what ffmpeg makes of it: the stdout of ffmpeg -i URL -f s16le -",
            "'rtsp://b' is no file; pipe it: ffmpeg -i URL -f s16le - | speechmatics-rt transcribe - "
            "--raw pcm_s16le --sample-rate 16000",
        ),
        (
            "the audio source failed: IsADirectoryError: [Errno 21] Is a directory",
            "the audio source failed: Is a directory",
        ),
        (
            "enable_partials is True; accepted: True or False",
            "enable_partials is true; accepted: true or false",
        ),
        (
            "'a' holds {'type': 'raw', 'encoding': 'mulaw', 'sample_rate': 8000} and 'b' {'type': 'file'}",
            "'a' holds mulaw at 8000 Hz and 'b' a file of some other kind",
        ),
        (
            "'translation_config' is not a field of TranscriptionConfig; pass translation_config= to "
            "transcribe(), beside transcription_config=",
            "'translation_config' is not a field of transcription_config; put translation_config beside "
            "transcription_config",
        ),
        (
            "'x' is not a field of SpeakerDiarizationConfig",
            "'x' is not a field of speaker_diarization_config",
        ),
    ],
)
def test_words(text: str, words: str) -> None:
    assert in_shell_words(text) == words


def test_names_of_files_come_through_as_they_are(tmp_path: Path) -> None:
    name = "TranscriptionConfig (end_timeout) a=5 None MyError.json"
    code, _, err = run("transcribe", SPEECH, *LOCAL, "--config", tmp_path / name)
    assert (code, err) == (
        2,
        f"speechmatics-rt: error: can't read --config '{tmp_path}/{name}': No such file or directory\n",
    )
    assert name in run("transcribe", name, *LOCAL)[2]
    assert f"a={name}" in run("transcribe", f"--channel=a={name}", f"--channel=a={name}", *LOCAL)[2]


def test_a_field_is_told_by_the_option_that_gave_it_and_by_no_other() -> None:
    options = {"additional_vocab": "--vocab"}
    assert of_option("additional_vocab[0] is ''; x", options, "") == "--vocab is ''; x"
    assert of_option("max_delay is 9; x", options, "--config 'c'") == "--config 'c': max_delay is 9; x"
    assert of_option("additional_vocab is missing", {}, "") == "additional_vocab is missing"


def stereo(path: Path) -> Path:
    with wave.open(str(path), "wb") as wav:
        wav.setparams((2, 2, 16000, 0, "NONE", ""))
        wav.writeframes(bytes(64000))
    return path


def test_a_recording_of_two_channels_is_refused_with_advice_for_a_shell(tmp_path: Path) -> None:
    path = stereo(tmp_path / "call.wav")
    for arguments, stdin in (([path], b""), (["-"], path.read_bytes()), ([f"--channel=a={path}"], b"")):
        code, _, err = run("transcribe", *arguments, *LOCAL, stdin=stdin)
        assert code == 5
        assert "the WAV has 2 channels; add --split agent,caller (or whatever" in err
        assert "or --mix to make them one" in err
        assert not PYTHON.search(err)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--url", "wss://user:pass@host/v2"], "give the key with --api-key"),
        (["--resume", "--raw", "pcm_s16le"], "--raw and --sample-rate go together"),
        (["--api-key", "k", "--vocab", ""], "--vocab is ''; accepted: a non-empty string"),
        (["--api-key", "k", "--translate", ""], "--translate is ''"),
        (["--api-key", "k", "--diarization", "speaker", "--max-speakers", "1"], "--max-speakers is 1"),
        (["--raw", "pcm_s16le", "--sample-rate", "0"], "--sample-rate is 0"),
        (["--end-of-utterance", "7", "--local"], "--end-of-utterance is 7.0"),
        (["--language", "", "--local"], "--language is ''"),
    ],
)
def test_errors_name_options(options, says: str) -> None:
    code, _, err = run("transcribe", SPEECH, *options)
    assert code == 2
    assert says in err
    assert not PYTHON.search(err)


def test_without_a_key_the_ways_to_go_on_are_named() -> None:
    code, _, err = run("transcribe", SPEECH)
    assert code == 3
    assert "set SPEECHMATICS_API_KEY or give --api-key; --local needs none" in err


def test_resume_of_a_file_whose_time_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "talk.mp3").write_bytes(b"ID3" + bytes(4000))
    code, _, err = run("transcribe", tmp_path / "talk.mp3", "--resume", *LOCAL)
    assert code == 2
    assert "--resume needs raw audio, whose duration is known" in err
    assert "--raw pcm_s16le --sample-rate 16000" in err


def test_a_certificate_of_ones_own_is_named_in_a_variable() -> None:
    with LocalServer(tls=True) as server:
        code, _, err = run("transcribe", SPEECH, "--url", server.url)
    assert code == 4
    assert "name its CA in SSL_CERT_FILE" in err


@pytest.mark.parametrize(("quiet", "told"), [([], 1), (["-q"], 0)])
def test_what_the_service_may_refuse_is_warned_of_without_a_line_of_python(quiet, told: int) -> None:
    command = ("transcribe", SPEECH, "--max-delay", "9", *quiet)
    with start(*command, anew=True, env={"PYTHONWARNINGS": "default"}) as process:
        err = process.communicate(timeout=30)[1].decode().splitlines()
    warning = (
        "speechmatics-rt: warning: max_delay is 9.0, where 0.7 to 4 is documented: the service may refuse"
    )
    assert [line.startswith(warning) for line in err] == [True] * told + [False]
    assert "requires an API key" in err[-1]


def test_warnings_of_the_log_speak_of_options_too() -> None:
    code, _, err = run(
        "transcribe", SPEECH, "--url", "ws://192.0.2.1:9/v2", "--timeout", "0.3", SPEECHMATICS_API_KEY="k"
    )
    assert code == 4
    assert "warning: the key in SPEECHMATICS_API_KEY is not sent to 192.0.2.1" in err
    assert "or give --api-key to send it anyway" in err

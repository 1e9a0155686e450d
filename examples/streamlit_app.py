"""A Streamlit app: upload a recording, or make one, and watch its transcript grow.

Needs ``pip install streamlit``. Run ``streamlit run streamlit_app.py``. The key is in SPEECHMATICS_API_KEY.
Without one, run ``speechmatics-rt serve --engine whisper --port 9000`` and set
SPEECHMATICS_RT_URL=ws://127.0.0.1:9000/v2.
"""

from __future__ import annotations

import json
from html import escape

import streamlit as st

from speechmatics_rt import AudioFormat, Client, SpeechmaticsError, Transcript, TranscriptionConfig

CONFIG = TranscriptionConfig(language="en", diarization="speaker", enable_partials=True)
VOICES = ("blue", "orange", "green", "violet", "red")


def listen(audio, paper) -> Transcript:
    """Transcribe on this thread, which is the one that may write on the page.

    Anything that makes Streamlit run the script again (a click, a page that is closed) leaves the `with`,
    and so ends the session.
    """
    with (
        Client() as client,
        client.stream(audio, audio_format=AudioFormat(), transcription_config=CONFIG) as said,
    ):
        for message in said:
            if message["message"] in ("AddTranscript", "AddPartialTranscript"):
                partial = escape(said.transcript.partial)
                paper.html(
                    f'<p>{escape(said.transcript.text)} <span style="opacity: 0.5">{partial}</span></p>'
                )
    return said.transcript


def show(transcript: Transcript, name: str) -> None:
    speakers = sorted({turn.label for turn in transcript.paragraphs})
    for turn in transcript.paragraphs:
        voice = VOICES[speakers.index(turn.label) % len(VOICES)]
        who = f":{voice}[**{turn.label}**] " if len(speakers) > 1 else ""
        st.markdown(f"{who}:gray[{turn.start_time:.1f} s]")
        st.text(turn.text)
    for column, (kind, text) in zip(
        st.columns(3),
        {
            "srt": transcript.to_srt(),
            "vtt": transcript.to_vtt(),
            "json": json.dumps(transcript.to_dict()),
        }.items(),
    ):
        column.download_button(kind.upper(), text, f"{name}.{kind}")
    with st.expander("Words"):
        st.dataframe(
            [
                {
                    "word": word.text,
                    "start": word.start_time,
                    "speaker": word.speaker,
                    "sure": word.confidence,
                }
                for word in transcript.words
            ],
            column_config={"sure": st.column_config.ProgressColumn(min_value=0, max_value=1)},
        )


def latest(source: str) -> None:
    st.session_state["latest"] = source


st.set_page_config(page_title="Transcripts", page_icon=":material/graphic_eq:")
st.title("Transcripts")
kinds = ["wav", "mp3", "m4a", "ogg", "flac", "webm"]
uploaded = st.file_uploader("A recording", type=kinds, on_change=latest, args=("uploaded",))
spoken = st.audio_input("Or speak", on_change=latest, args=("spoken",))
audio = (spoken or uploaded) if st.session_state.get("latest") == "spoken" else (uploaded or spoken)
if audio is not None:
    st.audio(audio)
    paper = st.empty()
    known = st.session_state.setdefault("transcripts", {})  # of this visitor, by recording
    if audio.file_id not in known:
        audio.seek(0)  # the player has read it
        try:
            with st.spinner("Listening"):
                known[audio.file_id] = listen(audio, paper)
        except SpeechmaticsError as error:
            st.error(error.text)
            if error.transcript is not None:
                paper.text(str(error.transcript))
            if error.retryable:
                st.button("Try again")  # a click runs the script again
            st.stop()
    paper.empty()
    show(known[audio.file_id], audio.name.rpartition(".")[0])

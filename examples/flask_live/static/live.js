// The page: what its buttons do, and what is shown of a session. The state is in <body data-state>:
//
//   idle -> live (the microphone) or reading (a file) -> ending (the last words) -> done, or failed
//
// A recording can be played while it is read, and when speaking has ended.

import { Meter } from "./meter.js";
import { Session } from "./session.js";
import { FileSource, openMicrophone } from "./sources.js";
import { clock } from "./time.js";
import { Timeline } from "./timeline.js";
import { Turns } from "./turns.js";
import { Voices } from "./voices.js";
import { Transcript, wordAt } from "./words.js";

const LISTENING = "Listening";
const SLOW = "The connection is slow; words come later";

const byId = (id) => document.getElementById(id);
const [audio, notice, status, said, latest] = ["audio", "notice", "status", "said", "latest"].map(byId);

const voices = new Voices();
const turns = new Turns(byId("turns"), voices, (seconds) => seek(seconds, true));
const timeline = new Timeline(byId("timeline"), voices, (seconds) => seek(seconds));
const meter = new Meter(byId("meter"));

let transcript = new Transcript();
let partial = [];
let unsaid = []; // words that are final, and not yet told to those who listen
let session = null;
let source = null;
let again = null; // what "try again" does
let beginning = 0; // counts beginnings: a later one goes before one that still waits
let following = true; // the page scrolls with the words

const state = () => document.body.dataset.state;

function become(name, text) {
  document.body.dataset.state = name;
  status.textContent = text;
  // What had the focus may just have left the page: it goes to what one would press next.
  const next = { live: byId("stop"), failed: notice.querySelector("button") }[name] ?? byId("play");
  const focused = document.activeElement;
  if (!focused || focused === document.body || !focused.getClientRects().length) next.focus();
}

// -- from beginning to end ---------------------------------------------------------------------------

async function speak({ goOn = false } = {}) {
  const mine = ++beginning;
  await leave();
  again = () => speak({ goOn: true });
  let opened;
  try {
    opened = await openMicrophone((level) => meter.add(level));
  } catch (error) {
    if (mine === beginning) fail(aboutMicrophone(error));
    return;
  }
  if (mine !== beginning) {
    await opened.stop();
    return;
  }
  const before = source;
  if (goOn && before?.continues && before.format.sample_rate === opened.format.sample_rate) {
    transcript.offset = before.seconds; // the recording goes on, and so does the transcript
    opened.follow(before);
  } else {
    clear();
  }
  meter.clear();
  source = opened;
  become("live", LISTENING);
  connect();
  source.start((bytes) => session.send(bytes));
  tick();
}

async function read(file) {
  const mine = ++beginning;
  await leave();
  if (mine !== beginning) return;
  clear();
  again = () => read(file);
  source = new FileSource(file);
  load(source.recording());
  become("reading", "Reading the recording");
  const to = connect();
  if (await source.start((bytes) => to.send(bytes))) to.end();
}

function connect() {
  notice.hidden = true;
  const mine = new Session({ audio_format: source.format, language: byId("language").value }, (message) => {
    if (mine === session) take(message);
  });
  session = mine;
  return mine;
}

/** Stop listening; the last words still come. */
async function stop() {
  const [mine, from] = [session, source];
  if (state() === "live") {
    become("ending", "The last words");
    await from.stop();
    load(from.recording());
    mine.end();
  } else if (state() === "reading") {
    become("ending", "The last words");
    await from.stop();
    mine.end();
  }
}

/** Let go of what is going on. */
async function leave() {
  audio.pause();
  session?.drop();
  session = null;
  await source?.stop();
}

function clear() {
  transcript = new Transcript();
  partial = [];
  unsaid = [];
  voices.clear();
  turns.clear();
  timeline.clear();
  said.replaceChildren();
  document.body.dataset.voices = 0;
  audio.removeAttribute("src");
  following = true;
  byId("now").textContent = clock(0);
  byId("total").textContent = "";
}

// -- what the service says ---------------------------------------------------------------------------

function take(message) {
  switch (message.message) {
    case "RecognitionStarted":
      transcript.pack = message.language_pack_info ?? {};
      break;
    case "AudioAdded":
      source.acknowledge?.(message.bytes);
      break;
    case "AddPartialTranscript":
      partial = transcript.partial(message.results);
      show(transcript.words.length);
      break;
    case "AddTranscript": {
      const count = transcript.words.length;
      const from = transcript.add(message.results, message.metadata.end_time);
      const until = transcript.words.at(-1)?.end ?? 0;
      partial = partial.filter((word) => word.start >= until - 0.01); // the next partial replaces them
      show(from);
      announce(transcript.words.slice(count));
      break;
    }
    case "Reconnecting":
      status.textContent = "The line to the service broke; going on in a moment. Nothing is lost.";
      break;
    case "Resumed":
      status.textContent = LISTENING;
      break;
    case "EndOfTranscript":
      finish();
      break;
    case "Failed":
      fail(message);
      break;
  }
}

function show(from) {
  turns.show(transcript.words, from, partial);
  timeline.draw(transcript.words);
  timeline.hear(transcript.end);
  timeline.stretch(transcript.end);
  document.body.dataset.voices = voices.count;
  if (state() === "reading" && Number.isFinite(audio.duration)) {
    const share = Math.min(99, Math.round((transcript.end / audio.duration) * 100));
    status.textContent = `Reading the recording, ${share} %`;
  }
  if (following && audio.paused) scrollToEnd();
}

/** For those who listen to the page: what is settled, a sentence or a good part of one at a time. */
function announce(words, whole = false) {
  unsaid.push(...words);
  if (!unsaid.length || !(whole || unsaid.at(-1).ends || unsaid.length > 12)) return;
  const line = document.createElement("p");
  line.textContent = unsaid.map((word) => word.before + word.text).join("").trim();
  unsaid = [];
  said.append(line);
  while (said.childElementCount > 30) said.firstChild.remove();
}

function finish() {
  settle();
  const count = transcript.words.length;
  become("done", count ? `${count} words` : "Nothing was said, or nothing could be heard.");
  if (audio.src === "" && source) load(source.recording());
}

async function fail({ title, text, retryable, retry_after: wait }) {
  settle();
  const live = state() === "live";
  notice.querySelector("h2").textContent = title;
  notice.querySelector("p").textContent = text;
  notice.hidden = false;
  const button = notice.querySelector("button");
  button.hidden = !retryable;
  countDown(button, wait ?? 0);
  become("failed", "");
  if (following) notice.scrollIntoView({ block: "nearest" });
  await source?.stop();
  if (live) load(source.recording());
}

function settle() {
  partial = [];
  turns.show(transcript.words, transcript.words.length, partial);
  announce([], true);
  timeline.hear(transcript.end);
}

/** "Try again", when the service wants to be asked again. */
function countDown(button, seconds) {
  const label = button.querySelector("span");
  clearTimeout(countDown.timer);
  button.disabled = seconds > 0;
  label.textContent = seconds > 0 ? `Try again in ${Math.ceil(seconds)} s` : "Try again";
  if (seconds > 0) countDown.timer = setTimeout(() => countDown(button, seconds - 1), 1000);
}

function aboutMicrophone({ name }) {
  const known = {
    NotAllowedError: ["The microphone is blocked", "Allow it beside the address of this page, and try again."],
    NotFoundError: ["There is no microphone", "Plug one in and try again, or open a recording."],
    NotReadableError: ["The microphone is taken", "Another program uses it. Close that, and try again."],
    InsecureContext: [
      "The microphone needs a secure page",
      "Browsers give it to pages by https, or on this very machine as http://localhost.",
    ],
  };
  const [title, text] = known[name] ?? ["The microphone does not work", `The browser says: ${name}.`];
  return { title, text, retryable: name !== "InsecureContext" };
}

// -- playing -----------------------------------------------------------------------------------------

function load(blob) {
  if (audio.src) URL.revokeObjectURL(audio.src);
  audio.src = URL.createObjectURL(blob);
}

function seek(seconds, andPlay = false) {
  if (!audio.getAttribute("src")) return;
  audio.currentTime = seconds;
  timeline.move(seconds);
  turns.light(wordAt(transcript.words, seconds));
  byId("now").textContent = clock(seconds);
  if (andPlay) play();
}

function play() {
  audio.play().catch(() => {}); // paused again before it had begun, or nothing to play: the button shows it
}

/** Keep clocks, bars and light up with the sound, as long as there is any. */
function tick() {
  if (state() === "live") {
    const { seconds } = source;
    byId("now").textContent = clock(seconds);
    timeline.stretch(seconds);
    timeline.move(seconds);
    tellPace();
  } else if (!audio.paused) {
    const seconds = audio.currentTime;
    byId("now").textContent = clock(seconds);
    timeline.move(seconds);
    const lit = turns.light(wordAt(transcript.words, seconds));
    if (lit && following) keepInView(lit);
  } else {
    return;
  }
  requestAnimationFrame(tick);
}

/** Say that the words are late, once; what the service itself has said stays. */
function tellPace() {
  const { behind } = session;
  if (status.textContent === LISTENING && behind > 4) status.textContent = SLOW;
  else if (status.textContent === SLOW && behind < 2) status.textContent = LISTENING;
}

audio.addEventListener("loadedmetadata", () => {
  if (!Number.isFinite(audio.duration)) return; // a browser's own recording tells it late, or never
  timeline.stretch(audio.duration);
  byId("total").textContent = clock(audio.duration);
  byId("now").textContent = clock(audio.currentTime);
});
audio.addEventListener("play", () => {
  following = true;
  showPlayer("pause", "Pause");
  tick();
});
audio.addEventListener("pause", () => showPlayer("play", "Play"));
audio.addEventListener("ended", () => turns.light(-1));

function showPlayer(icon, label) {
  byId("play").setAttribute("aria-label", label);
  byId("play").querySelector("use").setAttribute("href", `#i-${icon}`);
}

// -- scrolling ---------------------------------------------------------------------------------------

const dockTop = () => document.querySelector(".dock").getBoundingClientRect().top;

function scrollToEnd() {
  window.scrollTo({ top: document.documentElement.scrollHeight });
}

function keepInView(element) {
  const box = element.getBoundingClientRect();
  if (box.top < 80 || box.bottom > dockTop() - 40) element.scrollIntoView({ block: "center" });
}

for (const gesture of ["wheel", "touchmove"]) {
  window.addEventListener(gesture, () => setTimeout(checkFollowing, 100), { passive: true });
}
window.addEventListener("keydown", ({ key }) => {
  if (["PageUp", "PageDown", "Home", "End", "ArrowUp", "ArrowDown"].includes(key)) setTimeout(checkFollowing, 100);
});

/** Who scrolls away from the latest words wants to read in peace. */
function checkFollowing() {
  const rest = document.documentElement.scrollHeight - window.innerHeight - window.scrollY;
  following = rest < 120;
  latest.hidden = following || !["live", "reading"].includes(state());
}
latest.addEventListener("click", () => {
  following = true;
  latest.hidden = true;
  scrollToEnd();
});

// -- files -------------------------------------------------------------------------------------------

async function save(kind) {
  let blob;
  if (kind === "json") {
    blob = new Blob([JSON.stringify(transcript, null, 1)], { type: "application/json" });
  } else {
    const answer = await fetch(new URL(`captions.${kind}`, document.baseURI), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(transcript),
    }).catch(() => null);
    if (!answer?.ok) {
      status.textContent = "The captions could not be made: this page's server does not answer.";
      return;
    }
    blob = await answer.blob();
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${(source?.file?.name ?? "transcript").replace(/\.[^.]*$/, "")}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function sample() {
  const answer = await fetch(new URL("sample.wav", document.baseURI));
  await read(new File([await answer.blob()], "sense-and-sensibility.wav", { type: "audio/wav" }));
}

const actions = {
  speak,
  stop,
  sample,
  open: () => byId("file").click(),
  play: () => (audio.paused ? play() : audio.pause()),
  retry: () => again?.(),
};
for (const button of document.querySelectorAll("[data-do]")) {
  button.addEventListener("click", () => actions[button.dataset.do]());
}
for (const button of document.querySelectorAll("[data-save]")) {
  button.addEventListener("click", () => save(button.dataset.save));
}
byId("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  target.value = ""; // the same file may be chosen again
  if (file) read(file);
});

let over = 0; // elements that a dragged file has entered and not left
for (const [event, step] of [["dragenter", 1], ["dragleave", -1]]) {
  window.addEventListener(event, ({ dataTransfer }) => {
    if (dataTransfer?.types.includes("Files")) over += step;
    document.body.classList.toggle("dropping", over > 0);
  });
}
window.addEventListener("dragover", (event) => event.preventDefault());
window.addEventListener("drop", (event) => {
  event.preventDefault();
  over = 0;
  document.body.classList.remove("dropping");
  const [file] = event.dataTransfer.files;
  if (file) read(file);
});

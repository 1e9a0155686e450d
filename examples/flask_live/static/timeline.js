// Who spoke when, and where we are: a lane for each voice, which is also the slider of the player.

import { clock } from "./time.js";
import { wordAt } from "./words.js";

const GAP = 0.6; // seconds of silence within a bar
const PAGE = 10; // seconds

export class Timeline {
  constructor(root, voices, onSeek) {
    this.root = root;
    this.lanes = root.querySelector(".lanes");
    this.voices = voices;
    this.onSeek = onSeek;
    this.clear();
    root.addEventListener("pointerdown", (event) => {
      if (!this.total || event.button) return;
      root.setPointerCapture(event.pointerId);
      this.#pointTo(event);
      root.onpointermove = (move) => this.#pointTo(move);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      root.addEventListener(end, () => (root.onpointermove = null));
    }
    root.addEventListener("keydown", (event) => {
      const to = this.#after(event.key);
      if (to === undefined) return;
      event.preventDefault();
      onSeek(Math.max(0, Math.min(this.total, to)));
    });
  }

  clear() {
    this.lanes.replaceChildren();
    this.bars = [];
    this.words = [];
    this.drawn = 0; // words
    this.at = 0;
    this.last = null;
    this.stretch(0, true);
    this.move(0);
    this.hear(0);
  }

  /** Show the whole of so many seconds; it only grows, unless told otherwise. */
  stretch(seconds, anyhow = false) {
    if (!anyhow && seconds <= this.total) return;
    this.total = seconds;
    this.root.style.setProperty("--total", Math.max(seconds, 1));
    this.root.setAttribute("aria-valuemax", seconds.toFixed(1));
  }

  /** Draw the words that are new. */
  draw(words) {
    this.words = words;
    for (; this.drawn < words.length; this.drawn++) {
      const word = words[this.drawn];
      if (this.last && this.last.speaker === word.speaker && word.start - this.last.end < GAP) {
        this.last.end = Math.max(this.last.end, word.end);
      } else {
        this.last = { speaker: word.speaker, start: word.start, end: word.end, bar: this.#bar(word) };
      }
      this.last.bar.style.setProperty("--end", this.last.end);
    }
  }

  #bar({ speaker, start }) {
    const { place, colour } = this.voices.of(speaker);
    while (this.lanes.childElementCount <= place) {
      this.lanes.append(Object.assign(document.createElement("div"), { className: "lane" }));
    }
    const bar = document.createElement("i");
    bar.style.setProperty("--start", start);
    bar.style.setProperty("--voice", `var(--voice-${colour})`);
    this.lanes.children[place].append(bar);
    return bar;
  }

  /** Up to here the recording has been heard by the recogniser. */
  hear(seconds) {
    this.root.style.setProperty("--heard", seconds);
  }

  /** The recording sounds here. */
  move(seconds) {
    this.at = seconds;
    this.root.style.setProperty("--at", seconds);
    this.root.setAttribute("aria-valuenow", seconds.toFixed(1));
    const word = this.words[wordAt(this.words, seconds)];
    this.root.setAttribute("aria-valuetext", clock(seconds) + (word ? `, “${word.text}”` : ""));
  }

  #pointTo(event) {
    const box = this.lanes.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    this.onSeek(Math.max(0, Math.min(1, share)) * this.total);
  }

  /** Where a key leads: the arrows from word to word, others as of any slider. */
  #after(key) {
    const here = this.at;
    switch (key) {
      case "ArrowRight":
      case "ArrowUp":
        return this.words.find((word) => word.start > here + 0.05)?.start ?? this.total;
      case "ArrowLeft":
      case "ArrowDown":
        return this.words.findLast((word) => word.start < here - 0.05)?.start ?? 0;
      case "PageUp":
        return here + PAGE;
      case "PageDown":
        return here - PAGE;
      case "Home":
        return 0;
      case "End":
        return this.total;
      default:
        return undefined;
    }
  }
}

// The transcript as one reads it: a paragraph a turn, a span a word.

import { clock } from "./time.js";

const PAUSE = 1.2; // seconds after a sentence that begin a new paragraph

export class Turns {
  constructor(root, voices, onSeek) {
    this.root = root;
    this.voices = voices;
    this.clear();
    root.addEventListener("click", ({ target }) => {
      const place = target.closest("[data-start]");
      if (place) onSeek(Number(place.dataset.start));
    });
  }

  clear() {
    this.root.replaceChildren();
    this.spans = []; // of words that are final
    this.soft = []; // of those that may still change
    this.last = null; // word shown
    this.lit = -1;
  }

  /** Show the final words from a place on, and behind them those of the partial. */
  show(words, from, partial) {
    for (const span of this.soft) {
      const text = span.parentElement;
      span.previousSibling?.remove(); // what stands between it and the word before
      span.remove();
      if (!text.childElementCount) text.parentElement.remove();
    }
    this.soft = [];
    this.last = words[this.spans.length - 1] ?? null;
    for (let i = from; i < words.length; i++) {
      if (i < this.spans.length) write(this.spans[i], words[i]);
      else this.spans.push(this.#append(words[i]));
    }
    this.soft = partial.map((word) => this.#append(word, "soft"));
  }

  #append(word, ...classes) {
    const before = this.last;
    const paragraph = before && before.ends && word.start - before.end > PAUSE;
    let turn = this.root.lastElementChild;
    if (!turn || !before || before.speaker !== word.speaker || paragraph) {
      turn = this.#turn(word, before?.speaker !== word.speaker);
      this.root.append(turn);
    }
    const span = document.createElement("span");
    span.classList.add("word", ...classes);
    write(span, word);
    const text = turn.lastElementChild;
    if (text.childElementCount) text.append(word.before);
    text.append(span);
    this.last = word;
    return span;
  }

  #turn(word, speakerIsNew) {
    const voice = this.voices.of(word.speaker);
    const turn = document.createElement("article");
    turn.className = "turn";
    turn.style.setProperty("--voice", `var(--voice-${voice.colour})`);
    const time = document.createElement("button");
    time.type = "button";
    time.className = "time";
    time.dataset.start = word.start;
    time.textContent = clock(word.start);
    time.setAttribute("aria-label", `Play from ${clock(word.start)}`);
    const head = document.createElement("header");
    if (speakerIsNew && voice.name) {
      const who = document.createElement("span");
      who.className = "who";
      who.textContent = voice.name;
      head.append(who);
    }
    head.append(time);
    const text = document.createElement("p");
    text.dir = "auto";
    turn.append(head, text);
    return turn;
  }

  /** Light the word that sounds; -1 for none. */
  light(index) {
    if (index === this.lit) return null;
    this.spans[this.lit]?.classList.remove("lit");
    this.lit = index;
    const span = this.spans[index];
    span?.classList.add("lit");
    return span ?? null;
  }
}

function write(span, word) {
  span.dataset.start = word.start;
  span.textContent = word.text;
  const unsure = word.confidence !== undefined && word.confidence < 0.5;
  span.classList.toggle("unsure", unsure);
  span.title = unsure ? `${clock(word.start)}, only ${Math.round(word.confidence * 100)} % sure` : "";
}

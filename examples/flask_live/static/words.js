// From the results of the service to words. Pure: no page, no socket.

/**
 * The words of one transcript, and the results that they are made of.
 *
 * A word is `{text, before, start, end, speaker, confidence}`: `text` with the marks that attach to it,
 * `before` what stands between it and the word before, times in seconds.
 */
export class Transcript {
  constructor() {
    this.results = [];
    this.words = [];
    this.pack = {};
    this.end = 0;
    this.offset = 0; // of the present session in the recording, in seconds
  }

  /** Take the results of a final; return the place of the first word that is new, or has changed. */
  add(results, end) {
    const moved = results.map((one) => shifted(one, this.offset));
    this.results.push(...moved);
    this.end = Math.max(this.end, end + this.offset);
    return join(moved, this.words, this.delimiter);
  }

  /** The words of a partial, which follow those that are final. */
  partial(results) {
    const words = this.words.slice(-1).map((word) => ({ ...word }));
    const known = words.length;
    join(results.map((one) => shifted(one, this.offset)), words, this.delimiter);
    return words.slice(known);
  }

  get delimiter() {
    return this.pack.word_delimiter ?? " ";
  }

  /** As Transcript.from_dict() of the Python package reads it. */
  toJSON() {
    return { language_pack_info: this.pack, languages: [], end_time: this.end, results: this.results };
  }
}

function shifted(result, seconds) {
  if (!seconds) return result;
  return { ...result, start_time: result.start_time + seconds, end_time: result.end_time + seconds };
}

/** Append results to words: a mark belongs to the word before it, or after it, as the service says. */
function join(results, words, delimiter) {
  let changed = words.length;
  let held = "";
  let glued = words.length === 0;
  for (const result of results) {
    const best = result.alternatives?.[0];
    if (!best?.content) continue;
    const to = result.type === "punctuation" ? result.attaches_to ?? "previous" : "";
    if (to === "next" || (to === "both" && !words.length)) {
      held += best.content;
    } else if ((to === "previous" || to === "both") && words.length) {
      words.at(-1).text += best.content;
      words.at(-1).ends ||= Boolean(result.is_eos);
      changed = Math.min(changed, words.length - 1);
      glued = to === "both";
    } else {
      words.push({
        text: held + best.content,
        before: glued ? "" : delimiter,
        start: result.start_time,
        end: result.end_time,
        speaker: best.speaker ?? "",
        confidence: best.confidence,
        ends: Boolean(result.is_eos),
      });
      held = "";
      glued = false;
    }
  }
  return changed;
}

/** The place of the word that sounds at a moment, or -1: the last that has begun, a pause later none. */
export function wordAt(words, seconds) {
  let low = 0;
  let high = words.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (words[middle].start <= seconds) low = middle + 1;
    else high = middle;
  }
  return low && seconds < words[low - 1].end + 0.3 ? low - 1 : -1;
}

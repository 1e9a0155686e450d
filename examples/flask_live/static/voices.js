// Who speaks: each label of the service gets a colour and a name, in the order of their first words.

const COLOURS = 6;

export class Voices {
  constructor() {
    this.known = new Map();
  }

  clear() {
    this.known.clear();
  }

  of(label) {
    let voice = this.known.get(label);
    if (!voice) {
      const place = this.known.size;
      voice = { place, colour: (place % COLOURS) + 1, name: nameOf(label) };
      this.known.set(label, voice);
    }
    return voice;
  }

  get count() {
    return this.known.size;
  }
}

function nameOf(label) {
  const number = /^S(\d+)$/.exec(label);
  if (number) return `Speaker ${number[1]}`;
  return label === "UU" ? "Somebody" : label;
}

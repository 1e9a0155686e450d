// On the audio thread: samples of 16 bits, a tenth of a second at a time, with their loudness.

class Pcm extends AudioWorkletProcessor {
  constructor() {
    super();
    this.samples = new Int16Array(Math.round(sampleRate / 10));
    this.count = 0;
    this.power = 0;
    this.port.onmessage = () => {
      this.flush(); // what is left when the recording stops
      this.port.postMessage(null);
    };
  }

  process([[channel]]) {
    for (const sample of channel ?? []) {
      const clipped = Math.max(-1, Math.min(1, sample));
      this.samples[this.count++] = clipped * 32767;
      this.power += clipped * clipped;
      if (this.count === this.samples.length) this.flush();
    }
    return true;
  }

  flush() {
    if (!this.count) return;
    const level = Math.sqrt(this.power / this.count);
    const bytes = this.samples.slice(0, this.count).buffer;
    this.port.postMessage({ bytes, level }, [bytes]);
    this.count = 0;
    this.power = 0;
  }
}

registerProcessor("pcm", Pcm);

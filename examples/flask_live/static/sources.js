// Where audio comes from: the microphone, as samples or as the browser's own recording, or a file.
//
// Each source has a `format`, as the service wants it; `start(give)`, which gives its bytes as they come;
// `stop()`, after which no more come; and `recording()`, all of it as something that can be played. Those that
// record know their `seconds`.

/** Open the microphone; asks the visitor for leave. Throws what getUserMedia throws. */
export async function openMicrophone(onLevel) {
  if (!navigator.mediaDevices?.getUserMedia) throw new DOMException("", "InsecureContext");
  const context = globalThis.AudioWorkletNode && (await makeContext({ sampleRate: 16000 })); // recognition needs no more
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    return context ? await Samples.of(stream, context, onLevel) : new Recorder(stream);
  } catch (error) {
    release(stream);
    await context?.close();
    throw error;
  }
}

/** Have all ready before the microphone opens: what is said from then on is heard. */
async function makeContext(options) {
  const context = new AudioContext(options);
  await context.audioWorklet.addModule(new URL("pcm.js", import.meta.url));
  return context;
}

function release(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/** The microphone as samples of 16 bits: time is known, so nothing is lost when a connection is. */
class Samples {
  static async of(stream, context, onLevel) {
    try {
      return new Samples(stream, context, context.createMediaStreamSource(stream), onLevel);
    } catch {
      await context.close(); // Firefox: a microphone has the rate that it has
      const other = await makeContext({});
      return new Samples(stream, other, other.createMediaStreamSource(stream), onLevel);
    }
  }

  constructor(stream, context, source, onLevel) {
    this.stream = stream;
    this.context = context;
    this.source = source;
    this.onLevel = onLevel;
    this.chunks = [];
    this.bytes = 0;
    this.continues = true; // a second session may go on where this one has broken
    this.format = { type: "raw", encoding: "pcm_s16le", sample_rate: context.sampleRate };
  }

  get seconds() {
    return this.bytes / 2 / this.format.sample_rate;
  }

  /** Begin with what another one has recorded. */
  follow({ chunks, bytes }) {
    this.chunks = [...chunks];
    this.bytes = bytes;
  }

  start(give) {
    this.node = new AudioWorkletNode(this.context, "pcm");
    this.node.port.onmessage = ({ data }) => {
      if (data === null) return this.flushed();
      this.chunks.push(data.bytes);
      this.bytes += data.bytes.byteLength;
      this.onLevel(data.level);
      give(data.bytes);
    };
    this.source.connect(this.node).connect(this.context.destination); // it puts out silence
    this.context.resume();
  }

  async stop() {
    if (this.context.state === "closed") return;
    const flushed = new Promise((done) => (this.flushed = done));
    this.node?.port.postMessage("flush");
    if (this.node) await flushed;
    release(this.stream);
    await this.context.close();
  }

  recording() {
    return new Blob([wavHeader(this.bytes, this.format.sample_rate), ...this.chunks], { type: "audio/wav" });
  }
}

function wavHeader(size, rate) {
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => [...letters].forEach((one, i) => header.setUint8(at + i, one.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + size, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // one channel
  header.setUint32(24, rate, true);
  header.setUint32(28, rate * 2, true);
  header.setUint16(32, 2, true);
  header.setUint16(34, 16, true);
  text(36, "data");
  header.setUint32(40, size, true);
  return header.buffer;
}

/** The microphone as the browser records it (webm, mp4): for browsers that let no page see samples. */
class Recorder {
  constructor(stream) {
    this.stream = stream;
    this.chunks = [];
    this.format = { type: "file" };
  }

  get seconds() {
    return (performance.now() - this.began) / 1000;
  }

  start(give) {
    this.began = performance.now();
    this.recorder = new MediaRecorder(this.stream);
    this.inOrder = Promise.resolve();
    this.recorder.ondataavailable = ({ data }) => {
      this.chunks.push(data);
      this.inOrder = this.inOrder.then(async () => give(await data.arrayBuffer()));
    };
    this.recorder.start(250);
  }

  async stop() {
    if (this.recorder?.state === "recording") {
      const stopped = new Promise((done) => (this.recorder.onstop = done));
      this.recorder.stop();
      await stopped;
    }
    await this.inOrder;
    release(this.stream);
  }

  recording() {
    return new Blob(this.chunks, { type: this.recorder.mimeType });
  }
}

/** A file, sent no faster than the service takes it. */
export class FileSource {
  static PIECE = 32 * 1024;
  static AHEAD = 16 * FileSource.PIECE;

  constructor(file) {
    this.file = file;
    this.format = { type: "file" };
    this.taken = 0;
    this.roomy = () => {};
  }

  async start(give) {
    this.stopped = false;
    this.taken = 0;
    for (let sent = 0; sent < this.file.size && !this.stopped; sent += FileSource.PIECE) {
      while (sent - this.taken >= FileSource.AHEAD && !this.stopped) {
        await new Promise((room) => (this.roomy = room));
      }
      const piece = await this.file.slice(sent, sent + FileSource.PIECE).arrayBuffer();
      if (!this.stopped) give(piece);
    }
    return !this.stopped;
  }

  /** So many bytes of it have gone to the service. */
  acknowledge(bytes) {
    this.taken = bytes;
    this.roomy();
  }

  async stop() {
    this.stopped = true;
    this.roomy();
  }

  recording() {
    return this.file;
  }
}

// One session with the server of this page: what is to be sent goes out, what was heard comes in.

export class Session {
  /**
   * @param asked what the server is told first: `{audio_format, language}`
   * @param onMessage gets every message of the service as it is, and those of our own server: "Failed",
   *   "Reconnecting", "Resumed", and "AudioAdded" with the bytes that the service has taken
   */
  constructor(asked, onMessage) {
    const url = new URL("live", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    this.waiting = [JSON.stringify(asked)]; // speech doesn't wait for sockets
    this.over = false;
    this.begun = performance.now();
    this.sent = this.taken = 0; // bytes of audio: by us, and by the service
    this.socket = new WebSocket(url);
    this.socket.onopen = () => {
      for (const one of this.waiting) this.socket.send(one);
      this.waiting = null;
    };
    this.socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (this.over) return;
      this.over = message.message === "EndOfTranscript" || message.message === "Failed";
      if (this.over) this.socket.close();
      if (message.message === "AudioAdded") this.taken = message.bytes;
      onMessage(message);
    };
    this.socket.onclose = () => {
      if (this.over) return;
      this.over = true;
      const text = "The connection to this page's server was lost. What was heard until then is kept.";
      onMessage({ message: "Failed", title: "The line went dead", text, retryable: true });
    };
  }

  /** Of what comes as it is spoken: the seconds that the service does not have yet. */
  get behind() {
    const seconds = (performance.now() - this.begun) / 1000;
    return this.sent ? seconds * (1 - this.taken / this.sent) : 0;
  }

  send(data) {
    this.sent += data.byteLength ?? 0;
    if (this.waiting) this.waiting.push(data);
    else if (this.socket.readyState === WebSocket.OPEN) this.socket.send(data);
  }

  /** The audio has ended; the last words still come. */
  end() {
    this.send("stop");
  }

  /** Nobody wants to hear any more. */
  drop() {
    this.over = true;
    this.socket.close();
  }
}

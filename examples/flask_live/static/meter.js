// How loud it was in the last seconds, as bars that wander to the left.

const BARS = 24;

export class Meter {
  constructor(canvas) {
    this.canvas = canvas;
    this.clear();
  }

  clear() {
    this.levels = Array(BARS).fill(0);
    this.draw();
  }

  add(level) {
    this.levels.push(Math.min(1, Math.sqrt(level) * 1.6)); // as ears hear: quiet speech is to be seen
    this.levels.shift();
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const scale = globalThis.devicePixelRatio || 1;
    const [width, height] = [96, 28];
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.fillStyle = getComputedStyle(canvas).color;
    this.levels.forEach((level, i) => {
      const tall = Math.max(2, level * height);
      pen.globalAlpha = 0.25 + (0.75 * i) / BARS;
      pen.beginPath();
      pen.roundRect(i * 4, (height - tall) / 2, 2.5, tall, 1.25);
      pen.fill();
    });
  }
}

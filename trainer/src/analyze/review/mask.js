export const WIDTH = 580, HEIGHT = 420;
// What the network sees; nothing outside of it can be painted.
const LEFT = 2, TOP = 2, RIGHT = 578, BOTTOM = 418;

/** A frame's mask: 1 where nerve is. */
export class Mask {
  pixels = new Uint8Array(WIDTH * HEIGHT);

  /** Of runs, each its first pixel and its length. */
  static of(runs) {
    const mask = new Mask();
    for (let i = 0; i < runs.length; i += 2) mask.pixels.fill(1, runs[i], runs[i] + runs[i + 1]);
    return mask;
  }

  runs() {
    const runs = [];
    for (let y = TOP; y < BOTTOM; y++) {
      for (let x = LEFT; x < RIGHT; x++) {
        const start = y * WIDTH + x;
        if (!this.pixels[start]) continue;
        while (x < RIGHT && this.pixels[y * WIDTH + x]) x++;
        runs.push(start, y * WIDTH + x - start);
      }
    }
    return runs;
  }

  area() {
    let area = 0;
    for (const pixel of this.pixels) area += pixel;
    return area;
  }

  equals(other) {
    return this.pixels.every((pixel, i) => pixel === other.pixels[i]);
  }

  /** A disc. */
  dab(x, y, radius, value) {
    for (let row = Math.max(TOP, Math.ceil(y - radius)); row <= Math.min(BOTTOM - 1, y + radius); row++) {
      const half = Math.sqrt(radius * radius - (row - y) ** 2);
      const from = Math.max(LEFT, Math.ceil(x - half)), to = Math.min(RIGHT - 1, Math.floor(x + half));
      if (from <= to) this.pixels.fill(value, row * WIDTH + from, row * WIDTH + to + 1);
    }
  }

  /** Discs along a line: a fast hand leaves no gaps. */
  line([x0, y0], [x1, y1], radius, value) {
    const steps = Math.max(1, Math.ceil(Math.hypot(x1 - x0, y1 - y0) / Math.max(1, radius / 3)));
    for (let i = 0; i <= steps; i++) this.dab(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps, radius, value);
  }

  isEdge(i) {
    const { pixels } = this;
    return pixels[i] && !(pixels[i - 1] && pixels[i + 1] && pixels[i - WIDTH] && pixels[i + WIDTH]);
  }
}

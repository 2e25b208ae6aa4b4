import { HEIGHT, WIDTH } from "/mask.js";

const MOST = 12;

/** The part of a frame that a canvas shows, and what is drawn there. */
export class View {
  zoom = 1;
  // The frame's point in the middle.
  middle = [WIDTH / 2, HEIGHT / 2];

  constructor(canvas) {
    this.canvas = canvas;
    this.overlay = new OffscreenCanvas(WIDTH, HEIGHT);
    this.image = new ImageData(WIDTH, HEIGHT);
  }

  /** Pixels of the canvas for one of the frame. */
  scale() {
    const { width, height } = this.canvas;
    return Math.min(width / WIDTH, height / HEIGHT) * this.zoom;
  }

  /** The frame's point under a point of the window. */
  at(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect(), ratio = this.canvas.width / box.width, scale = this.scale();
    return [
      ((clientX - box.left) * ratio - this.canvas.width / 2) / scale + this.middle[0],
      ((clientY - box.top) * ratio - this.canvas.height / 2) / scale + this.middle[1],
    ];
  }

  whole() {
    this.zoom = 1;
    this.middle = [WIDTH / 2, HEIGHT / 2];
  }

  /** Zooms so that the frame's `point` stays where it is. */
  zoomAt(point, factor) {
    const zoom = Math.min(MOST, Math.max(1, this.zoom * factor)), keep = this.zoom / zoom;
    this.zoom = zoom;
    this.moveTo(this.middle.map((middle, i) => point[i] + (middle - point[i]) * keep));
  }

  /** Puts the frame's point `middle` in the middle, or as near as shows no more black than needed. */
  moveTo(middle) {
    const scale = this.scale();
    this.middle = middle.map((at, i) => {
      const size = [WIDTH, HEIGHT][i], half = [this.canvas.width, this.canvas.height][i] / scale / 2;
      return half * 2 >= size ? size / 2 : Math.min(size - half, Math.max(half, at));
    });
  }

  draw({ frame, mask, drawn, isShown, brush }) {
    const { canvas } = this, ratio = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d"), scale = this.scale();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    context.setTransform(scale, 0, 0, scale, width / 2 - this.middle[0] * scale, height / 2 - this.middle[1] * scale);
    context.imageSmoothingEnabled = scale < 4;
    if (frame) context.drawImage(frame, 0, 0);
    if (mask && isShown) {
      this.tint(mask, drawn);
      context.imageSmoothingEnabled = false;
      context.drawImage(this.overlay, 0, 0);
    }
    if (!brush) return;
    context.beginPath();
    context.arc(brush.x + .5, brush.y + .5, brush.radius, 0, 2 * Math.PI);
    context.lineWidth = 3 / scale * ratio;
    context.strokeStyle = "#000";
    context.stroke();
    context.lineWidth = 1.5 / scale * ratio;
    context.strokeStyle = brush.erases ? "#ff7d6e" : "#fff";
    context.stroke();
  }

  /** The mask in orange, and in blue the outline of what the model drew. */
  tint(mask, drawn) {
    const { data } = this.image;
    data.fill(0);
    for (let i = 0; i < mask.pixels.length; i++) {
      if (mask.isEdge(i)) data.set([255, 170, 40, 255], 4 * i);
      else if (drawn.isEdge(i)) data.set([86, 180, 233, 255], 4 * i);
      else if (mask.pixels[i]) data.set([255, 150, 0, 70], 4 * i);
    }
    this.overlay.getContext("2d").putImageData(this.image, 0, 0);
  }
}

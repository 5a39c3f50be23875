// What is painted on a panel: a label a cell, 0 for none, over the photo in the colours of the brushes.

const PAINT_PX = 600; // width that cells are drawn at, so that their edges are thin
const PAINT_OPACITY = 0.45;

class Paint {
  constructor(picture) {
    this.picture = picture; // an HTML canvas
    this.context = picture.getContext("2d");
    this.resize(0, 0);
  }

  // Cells and colours by label ("#rrggbb", from 1); other cells are empty.
  resize(rows, columns, colours = []) {
    this.colours = colours.map(rgb);
    if (this.rows === rows && this.columns === columns) return;
    Object.assign(this, { rows, columns, labels: new Uint8Array(rows * columns) });
    this.scale = Math.max(1, Math.ceil(PAINT_PX / Math.max(1, columns)));
    this.picture.width = columns * this.scale; // which clears it
    this.picture.height = rows * this.scale;
  }

  get all() {
    return { left: 0, top: 0, right: this.columns, bottom: this.rows };
  }

  get isEmpty() {
    return (this.empty ??= this.labels.every((label) => label === 0));
  }

  // Runs (count, label, count, label, …) row by row; what follows the last painted cell is left out.
  get runs() {
    const runs = [];
    let start = 0;
    for (let i = 1; i <= this.labels.length; i++) {
      if (i < this.labels.length && this.labels[i] === this.labels[start]) continue;
      runs.push(i - start, this.labels[start]);
      start = i;
    }
    return runs.at(-1) === 0 ? runs.slice(0, -2) : runs;
  }

  set runs(runs) {
    this.labels.fill(0);
    for (let i = 0, at = 0; i < runs.length; at += runs[i], i += 2) this.labels.fill(runs[i + 1], at, at + runs[i]);
    this.draw();
  }

  // Shows the labels of a box that may have changed.
  draw(box = this.all) {
    this.empty = null;
    const { labels, rows, columns, scale, colours } = this;
    const around = clip({ left: box.left - 1, top: box.top - 1, right: box.right + 1, bottom: box.bottom + 1 }, columns, rows);
    const [w, h] = [(around.right - around.left) * scale, (around.bottom - around.top) * scale];
    if (w <= 0 || h <= 0) return;
    const image = this.context.createImageData(w, h), edge = Math.max(1, Math.round((columns * scale) / 450));
    const label = (x, y) => labels[Math.floor(y / scale) * columns + Math.floor(x / scale)];
    for (let row = 0, at = 0; row < h; row++) {
      const y = around.top * scale + row;
      for (let column = 0; column < w; column++, at += 4) {
        const x = around.left * scale + column, own = label(x, y);
        if (!own) continue;
        const inner =
          (x < edge || label(x - edge, y) === own) &&
          (x >= columns * scale - edge || label(x + edge, y) === own) &&
          (y < edge || label(x, y - edge) === own) &&
          (y >= rows * scale - edge || label(x, y + edge) === own);
        image.data.set(colours[own - 1] ?? [255, 255, 255], at);
        image.data[at + 3] = inner ? 255 * PAINT_OPACITY : 255;
      }
    }
    this.context.putImageData(image, around.left * scale, around.top * scale);
  }
}

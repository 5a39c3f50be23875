// Brush strokes on an array of labels, a byte a cell, row by row, and a history of what was done.
// Boxes are {left, top, right, bottom} in cells. The canvas and the editor of masks both build on it.

const MAX_UNDO = 100;

// Sets the cells whose centre is within `radius` of the line.
function paintLine(labels, width, box, from, to, radius, label) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy || 1;
  for (let y = box.top; y < box.bottom; y++) {
    for (let x = box.left; x < box.right; x++) {
      const [px, py] = [x + 0.5 - from.x, y + 0.5 - from.y];
      const share = Math.min(1, Math.max(0, (px * dx + py * dy) / length));
      const [ex, ey] = [px - share * dx, py - share * dy];
      if (ex * ex + ey * ey <= radius * radius) labels[y * width + x] = label;
    }
  }
}

function cut(labels, width, box) {
  const w = box.right - box.left;
  const part = new Uint8Array(w * (box.bottom - box.top));
  for (let y = box.top; y < box.bottom; y++) {
    part.set(labels.subarray(y * width + box.left, y * width + box.right), (y - box.top) * w);
  }
  return part;
}

function paste(labels, width, box, part) {
  const w = box.right - box.left;
  for (let y = box.top; y < box.bottom; y++) {
    labels.set(part.subarray((y - box.top) * w, (y - box.top + 1) * w), y * width + box.left);
  }
}

function around(points, margin) {
  const [xs, ys] = [points.map((p) => p.x), points.map((p) => p.y)];
  return {
    left: Math.floor(Math.min(...xs) - margin),
    top: Math.floor(Math.min(...ys) - margin),
    right: Math.ceil(Math.max(...xs) + margin),
    bottom: Math.ceil(Math.max(...ys) + margin),
  };
}

function clip(box, width, height) {
  const within = (value, most) => Math.min(most, Math.max(0, value));
  return {
    left: within(box.left, width),
    top: within(box.top, height),
    right: within(box.right, width),
    bottom: within(box.bottom, height),
  };
}

function union(a, b) {
  return {
    left: Math.min(a.left, b.left),
    top: Math.min(a.top, b.top),
    right: Math.max(a.right, b.right),
    bottom: Math.max(a.bottom, b.bottom),
  };
}

// The places of a pointer since it was last heard of, {x, y} as `at` reads an event.
function places(event, at) {
  const steps = event.getCoalescedEvents?.() ?? [];
  return (steps.length ? steps : [event]).map(at);
}

function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

// One stroke, from the pen's touching down to its lifting.
class Stroke {
  constructor(labels, width, height, label) {
    Object.assign(this, { labels, width, height, label, before: labels.slice(), last: null, box: null });
  }

  // Goes on to a point {x, y} in cells; the box in which cells may have changed.
  to(point, radius) {
    const last = this.last ?? point;
    const box = clip(around([last, point], radius + 1), this.width, this.height);
    paintLine(this.labels, this.width, box, last, point, radius, this.label);
    this.box = this.box ? union(this.box, box) : box;
    this.last = point;
    return box;
  }

  // What was in its box and what is now; null where nothing changed.
  change() {
    const { box } = this, [old, now] = [this.before, this.labels].map((all) => cut(all, this.width, box));
    return old.every((label, i) => label === now[i]) ? null : { box, old, now };
  }

  cancel() {
    this.labels.set(this.before);
  }
}

// Steps of {redo, undo}.
class History {
  constructor() {
    this.clear();
  }

  clear() {
    this.done = [];
    this.undone = [];
  }

  act(step) {
    step.redo();
    this.done.push(step);
    if (this.done.length > MAX_UNDO) this.done.shift();
    this.undone = [];
  }

  // Whether there was a step to undo or redo.
  undo() {
    return this.move(this.done, this.undone, "undo");
  }

  redo() {
    return this.move(this.undone, this.done, "redo");
  }

  move(from, to, way) {
    const step = from.pop();
    if (!step) return false;
    step[way]();
    to.push(step);
    return true;
  }
}

// Masks as arrays of 0 and 1, a byte a pixel, row by row; boxes as {left, top, right, bottom}.

function fromRuns(runs, length) {
  const mask = new Uint8Array(length);
  let at = 0;
  runs.forEach((run, number) => {
    if (number % 2) mask.fill(1, at, at + run);
    at += run;
  });
  return mask;
}

function toRuns(mask) {
  const runs = [];
  let [value, start] = [0, 0];
  for (let i = 0; i < mask.length; i++) {
    if (mask[i] === value) continue;
    runs.push(i - start);
    [value, start] = [mask[i], i];
  }
  runs.push(mask.length - start);
  return runs;
}

// Sets the pixels whose centre is within `radius` of the line.
function paintLine(mask, width, box, from, to, radius, value) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy || 1;
  for (let y = box.top; y < box.bottom; y++) {
    for (let x = box.left; x < box.right; x++) {
      const [px, py] = [x + 0.5 - from.x, y + 0.5 - from.y];
      const share = Math.min(1, Math.max(0, (px * dx + py * dy) / length));
      const [ex, ey] = [px - share * dx, py - share * dy];
      if (ex * ex + ey * ey <= radius * radius) mask[y * width + x] = value;
    }
  }
}

function tint(pixels, mask, width, height, box, [red, green, blue], opacity, edge) {
  const w = box.right - box.left;
  for (let y = box.top; y < box.bottom; y++) {
    for (let x = box.left; x < box.right; x++) {
      const i = y * width + x;
      if (!mask[i]) continue;
      const inner =
        (x < edge || mask[i - edge]) &&
        (x >= width - edge || mask[i + edge]) &&
        (y < edge || mask[i - edge * width]) &&
        (y >= height - edge || mask[i + edge * width]);
      const at = 4 * ((y - box.top) * w + x - box.left);
      pixels[at] = red;
      pixels[at + 1] = green;
      pixels[at + 2] = blue;
      pixels[at + 3] = inner ? 255 * opacity : 255;
    }
  }
}

function cut(mask, width, box) {
  const w = box.right - box.left;
  const part = new Uint8Array(w * (box.bottom - box.top));
  for (let y = box.top; y < box.bottom; y++) {
    part.set(mask.subarray(y * width + box.left, y * width + box.right), (y - box.top) * w);
  }
  return part;
}

function paste(mask, width, box, part) {
  const w = box.right - box.left;
  for (let y = box.top; y < box.bottom; y++) {
    mask.set(part.subarray((y - box.top) * w, (y - box.top + 1) * w), y * width + box.left);
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

function distance(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}

function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

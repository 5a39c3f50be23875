// Maps of a grid of patches as pictures: the range that is drawn, the values between patches, colours and masks.
// The same definitions as the pictures that Python draws (dino/media/draw.py, geometry.py, attention/mass.py).

const ROBUST_PERCENT = 98.5; // of the patches are below the upper end of a robust scale
const COLOURS = new Map(); // name → 256 colours as 32-bit pixels, and as CSS

function base64Bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// A colour map's bytes {r, g, b, r, …}, its pixels (opaque, as a canvas's memory has them) and its ramp in CSS.
function coloursOf(name) {
  if (!COLOURS.has(name)) {
    const bytes = base64Bytes(PALETTES[name] ?? PALETTES.inferno), pixels = new Uint32Array(256);
    for (let i = 0; i < 256; i++) pixels[i] = 0xff000000 | (bytes[3 * i + 2] << 16) | (bytes[3 * i + 1] << 8) | bytes[3 * i];
    const stops = Array.from({ length: 17 }, (_, i) => 3 * Math.min(255, i * 16));
    const ramp = stops.map((at) => `rgb(${bytes[at]},${bytes[at + 1]},${bytes[at + 2]})`).join(",");
    COLOURS.set(name, { bytes, pixels, ramp });
  }
  return COLOURS.get(name);
}

// Linear between neighbours, as numpy counts it.
function percentile(sorted, percent) {
  const place = ((sorted.length - 1) * percent) / 100, below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}

// All maps of one photo, block and query, [count, rows, columns].
class Maps {
  constructor(bytes, rows, columns) {
    this.values = new Float32Array(bytes.slice().buffer);
    Object.assign(this, { rows, columns, size: rows * columns, ranges: [], orders: [] });
    this.count = this.values.length / this.size;
  }

  of(index) {
    return this.values.subarray(index * this.size, (index + 1) * this.size);
  }

  // {low, high} that are drawn darkest and brightest, and the largest value there is.
  range(index, scale) {
    this.ranges[index] ??= this.measure(this.of(index));
    const { low, robust, most } = this.ranges[index];
    if (scale === "robust") return { low, high: robust > low ? robust : most, most };
    if (scale !== "shared") return { low, high: most, most };
    this.shared ??= this.measure(this.values);
    return { low: this.shared.low, high: this.shared.most, most: this.shared.most };
  }

  measure(values) {
    const sorted = values.slice().sort();
    return { low: sorted[0], robust: percentile(sorted, ROBUST_PERCENT), most: sorted.at(-1) };
  }

  // The fewest patches that hold a share of the map, 1 for each; of equal ones the first.
  kept(index, mass) {
    const values = this.of(index), kept = new Uint8Array(this.size);
    const { order, before, whole } = (this.orders[index] ??= this.ordered(values));
    for (let i = 0; i < order.length && before[i] < mass * (1 - 1e-12) * whole; i++) kept[order[i]] = 1;
    return kept;
  }

  ordered(values) {
    const order = Array.from(values.keys()).sort((a, b) => values[b] - values[a] || a - b);
    const before = new Float64Array(order.length);
    let whole = 0;
    order.forEach((patch, i) => {
      whole += values[patch];
      before[i] = whole - values[patch];
    });
    return { order, before, whole };
  }
}

// For each pixel along an axis the patches around it and their weights, four of each.
const taps = new Map();
function tapsOf(count, pixels, how) {
  const key = `${count} ${pixels} ${how}`;
  if (taps.has(key)) return taps.get(key);
  const index = new Int32Array(4 * pixels), weight = new Float32Array(4 * pixels);
  for (let pixel = 0; pixel < pixels; pixel++) {
    const at = Math.min(count - 1, Math.max(0, ((pixel + 0.5) * count) / pixels - 0.5)), lower = Math.floor(at);
    for (let tap = 0; tap < 4; tap++) {
      index[4 * pixel + tap] = Math.min(count - 1, Math.max(0, lower + tap - 1));
      weight[4 * pixel + tap] = (how === "bilinear" ? linear : keys)(Math.abs(at - lower - tap + 1));
    }
    if (how === "patches") {
      index.fill(Math.floor(((2 * pixel + 1) * count) / (2 * pixels)), 4 * pixel, 4 * pixel + 4);
      weight.set([1, 0, 0, 0], 4 * pixel);
    }
  }
  if (taps.size > 32) taps.clear();
  taps.set(key, { index, weight });
  return taps.get(key);
}

const linear = (far) => Math.max(0, 1 - far);
// Cubic convolution with a = −0.5.
function keys(far) {
  if (far <= 1) return (1.5 * far - 2.5) * far * far + 1;
  return far < 2 ? ((-0.5 * far + 2.5) * far - 4) * far + 2 : 0;
}

// The values at the pixels of a picture, float32 [height, width]: "patches", "bilinear" or "bicubic" between the
// middles of patches, never beyond the range of the map.
function field(values, rows, columns, width, height, how) {
  const across = tapsOf(columns, width, how), down = tapsOf(rows, height, how);
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const wide = new Float32Array(rows * width), out = new Float32Array(width * height);
  for (let row = 0, at = 0; row < rows; row++) {
    const start = row * columns, { index: i, weight: w } = across;
    for (let x = 0; x < 4 * width; x += 4, at++) {
      wide[at] = w[x] * values[start + i[x]] + w[x + 1] * values[start + i[x + 1]]
        + w[x + 2] * values[start + i[x + 2]] + w[x + 3] * values[start + i[x + 3]];
    }
  }
  for (let y = 0, at = 0; y < height; y++) {
    const { index: i, weight: w } = down, [a, b, c, d] = [0, 1, 2, 3].map((tap) => i[4 * y + tap] * width);
    const [wa, wb, wc, wd] = w.subarray(4 * y, 4 * y + 4);
    for (let x = 0; x < width; x++, at++) {
      const value = wa * wide[a + x] + wb * wide[b + x] + wc * wide[c + x] + wd * wide[d + x];
      out[at] = value < low ? low : value > high ? high : value;
    }
  }
  return out;
}

// Draws values as colours on a canvas of their size.
function paintField(canvas, values, width, height, { low, high }, pixels) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d"), image = (canvas.image ??= context.createImageData(width, height));
  if (image.width !== width || image.height !== height) {
    canvas.image = null;
    return paintField(canvas, values, width, height, { low, high }, pixels);
  }
  const memory = new Uint32Array(image.data.buffer), factor = high > low ? 255 / (high - low) : 0;
  for (let i = 0; i < values.length; i++) {
    const level = (values[i] - low) * factor + 0.5;
    memory[i] = pixels[level < 0 ? 0 : level > 255 ? 255 : level | 0];
  }
  context.putImageData(image, 0, 0);
}

// The edges of a mask's patches and its area, as paths of SVG in units of patches.
function outlines(kept, rows, columns) {
  const has = (row, column) =>
    row >= 0 && row < rows && column >= 0 && column < columns ? kept[row * columns + column] : 0;
  const edges = [], area = [];
  for (let row = 0; row <= rows; row++) {
    for (let column = 0, start = -1; column <= columns; column++) {
      const edge = column < columns && has(row - 1, column) !== has(row, column);
      if (edge && start < 0) start = column;
      if (!edge && start >= 0) edges.push(`M${start} ${row}H${column}`), (start = -1);
    }
    for (let column = 0, start = -1; row < rows && column <= columns; column++) {
      const inside = has(row, column);
      if (inside && start < 0) start = column;
      if (!inside && start >= 0) area.push(`M${start} ${row}H${column}v1H${start}z`), (start = -1);
    }
  }
  for (let column = 0; column <= columns; column++) {
    for (let row = 0, start = -1; row <= rows; row++) {
      const edge = row < rows && has(row, column - 1) !== has(row, column);
      if (edge && start < 0) start = row;
      if (!edge && start >= 0) edges.push(`M${column} ${start}V${row}`), (start = -1);
    }
  }
  return { edges: edges.join(""), area: area.join("") };
}

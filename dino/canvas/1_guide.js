// A photo that maps are drawn along: where its colours part, so does the map (the fast guided filter of He & Sun
// 2015, with the settings of dino/media/upsampling.py), at the size of the picture on the screen.

const RADIUS_SHARE = 0.06, EDGE_VARIANCE = 1e-3; // of the longer side; of colours from 0 to 1
const COEFFICIENTS_PX = 240; // the longer side that the filter's smooth coefficients are worked out at

// Means of windows of 2·radius + 1 pixels a side; beyond the edge the picture is mirrored.
function windowMeans(values, width, height, radius) {
  const mirror = (at, count) => {
    const turn = ((at % (2 * count)) + 2 * count) % (2 * count);
    return turn < count ? turn : 2 * count - 1 - turn;
  };
  const entries = (count) => [radius + 1, -radius].map((step) =>
    Int32Array.from({ length: count }, (_, at) => mirror(at + step, count)));
  const wide = new Float32Array(width * height), out = new Float32Array(width * height);
  const [nextX, lastX] = entries(width), [nextY, lastY] = entries(height);
  const share = 1 / (2 * radius + 1) ** 2;
  for (let y = 0; y < height; y++) {
    const start = y * width;
    let sum = 0;
    for (let step = -radius; step <= radius; step++) sum += values[start + mirror(step, width)];
    for (let x = 0; x < width; x++) {
      wide[start + x] = sum;
      sum += values[start + nextX[x]] - values[start + lastX[x]];
    }
  }
  const sums = new Float64Array(width);
  for (let step = -radius; step <= radius; step++) {
    const start = mirror(step, height) * width;
    for (let x = 0; x < width; x++) sums[x] += wide[start + x];
  }
  for (let y = 0; y < height; y++) {
    const next = nextY[y] * width, last = lastY[y] * width, start = y * width;
    for (let x = 0; x < width; x++) {
      out[start + x] = sums[x] * share;
      sums[x] += wide[next + x] - wide[last + x];
    }
  }
  return out;
}

// Red, green and blue of a picture drawn at a size, each 0 to 1.
function channels(picture, width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  return [0, 1, 2].map((channel) => {
    const out = new Float32Array(width * height);
    for (let i = 0; i < out.length; i++) out[i] = data[4 * i + channel] / 255;
    return out;
  });
}

class Guide {
  constructor(picture, width, height) {
    const reduce = Math.min(1, COEFFICIENTS_PX / Math.max(width, height));
    const [small, low] = [Math.max(1, Math.round(width * reduce)), Math.max(1, Math.round(height * reduce))];
    Object.assign(this, { width, height, small, low, colours: channels(picture, width, height) });
    this.reduced = channels(picture, small, low);
    this.radius = Math.max(1, Math.round(RADIUS_SHARE * Math.max(small, low)));
    this.means = this.reduced.map((one) => this.mean(one));
    this.inverse = this.invert();
    this.across = tapsOf(small, width, "bilinear");
    this.down = tapsOf(low, height, "bilinear");
  }

  mean(values) {
    return windowMeans(values, this.small, this.low, this.radius);
  }

  // The inverse of the covariance of each window's colours, six entries of a symmetric 3×3 matrix.
  invert() {
    const { reduced, means } = this;
    const entries = [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]].map(([i, j]) => {
      const both = this.mean(reduced[i].map((value, at) => value * reduced[j][at]));
      return both.map((value, at) => value - means[i][at] * means[j][at] + (i === j ? EDGE_VARIANCE : 0));
    });
    for (let at = 0; at < entries[0].length; at++) {
      const [rr, rg, rb, gg, gb, bb] = entries.map((entry) => entry[at]);
      const parts = [
        gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg,
        rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg,
      ];
      const determinant = rr * parts[0] + rg * parts[1] + rb * parts[2];
      parts.forEach((part, entry) => (entries[entry][at] = part / determinant));
    }
    return entries;
  }

  // A map of a grid at the picture's pixels, along its edges; never beyond the range of the map.
  field(values, rows, columns) {
    const coarse = field(values, rows, columns, this.small, this.low, "bicubic");
    const line = this.line(coarse), { width, height, small, across, down, colours: [red, green, blue] } = this;
    let low = Infinity, high = -Infinity;
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    const out = new Float32Array(width * height), between = line.map(() => new Float32Array(small));
    const [r, g, b, offset] = between;
    for (let y = 0, at = 0; y < height; y++) {
      // Two of the four taps weigh something between two rows, or columns.
      const above = down.index[4 * y + 1] * small, below = down.index[4 * y + 2] * small, part = down.weight[4 * y + 2];
      for (let k = 0; k < 4; k++) {
        const from = line[k], to = between[k];
        for (let x = 0; x < small; x++) to[x] = from[above + x] + (from[below + x] - from[above + x]) * part;
      }
      for (let x = 0; x < width; x++, at++) {
        const i = across.index[4 * x + 1], j = across.index[4 * x + 2], share = across.weight[4 * x + 2];
        const value = (r[i] + (r[j] - r[i]) * share) * red[at] + (g[i] + (g[j] - g[i]) * share) * green[at]
          + (b[i] + (b[j] - b[i]) * share) * blue[at] + offset[i] + (offset[j] - offset[i]) * share;
        out[at] = value < low ? low : value > high ? high : value;
      }
    }
    return out;
  }

  // Slopes for the three colours and the offset, each a mean over windows.
  line(coarse) {
    const mean = this.mean(coarse), { reduced, means, inverse: [rr, rg, rb, gg, gb, bb] } = this;
    const shared = reduced.map((colour, k) => {
      const both = this.mean(colour.map((value, at) => value * coarse[at]));
      for (let at = 0; at < both.length; at++) both[at] -= means[k][at] * mean[at];
      return both;
    });
    const slopes = [0, 1, 2].map(() => new Float32Array(coarse.length)), offset = new Float32Array(coarse.length);
    for (let at = 0; at < coarse.length; at++) {
      const r = shared[0][at], g = shared[1][at], b = shared[2][at];
      slopes[0][at] = rr[at] * r + rg[at] * g + rb[at] * b;
      slopes[1][at] = rg[at] * r + gg[at] * g + gb[at] * b;
      slopes[2][at] = rb[at] * r + gb[at] * g + bb[at] * b;
      offset[at] = mean[at] - slopes[0][at] * means[0][at] - slopes[1][at] * means[1][at] - slopes[2][at] * means[2][at];
    }
    return [...slopes, offset].map((one) => this.mean(one));
  }
}

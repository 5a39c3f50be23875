// Patch features in the browser: half precision as they came, cosine on demand.

const known = new Map(); // id → promise of Features; the last few photos
const MOST_KNOWN = 12;

// Half precision has 65,536 values: a table is simpler than arithmetic, and quicker.
let halves = null;
function halfTable() {
  if (halves) return halves;
  halves = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, part = bits & 1023;
    halves[bits] = exponent === 0 ? sign * part * 2 ** -24
      : exponent === 31 ? (part ? NaN : sign * Infinity)
      : sign * (1 + part / 1024) * 2 ** (exponent - 15);
  }
  return halves;
}

class Features {
  // `values` are of unit length a patch, so that a dot product is a cosine.
  constructor(buffer, count) {
    const table = halfTable(), stored = new Uint16Array(buffer);
    this.count = count;
    this.width = stored.length / count;
    this.values = Float32Array.from(stored, (bits) => table[bits]);
    this.cosines = new Float32Array(count);
  }

  of(patch) {
    return this.values.subarray(patch * this.width, (patch + 1) * this.width);
  }

  // Cosine of every patch with a vector of unit length; the array is used again the next time.
  compare(vector) {
    const { values, width, cosines } = this;
    for (let patch = 0, at = 0; patch < this.count; patch++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += values[at++] * vector[i];
      cosines[patch] = sum;
    }
    return cosines;
  }
}

function featuresAt(id, count) {
  if (!known.has(id)) {
    known.set(id, arrived(id).then((bytes) => new Features(bytes.slice().buffer, count)));
    if (known.size > MOST_KNOWN) known.delete(known.keys().next().value);
  }
  return known.get(id);
}

function indexOfLargest(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

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

function distance(a, b) {
  return Math.hypot(a.x - b.x, a.y - b.y);
}

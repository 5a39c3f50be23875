// The class of the canvas, to be waited for across the modules of a page, by the hash of its script: a page
// that was open while the app was renewed has another.

const canvasClass = ((globalThis.dinoCanvas ??= {})["HASH"] ??= (() => {
  const one = {};
  one.promise = new Promise((tell) => (one.tell = tell));
  return one;
})());

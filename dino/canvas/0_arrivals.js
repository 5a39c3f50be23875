// Bytes that come to the browser once: photos, maps and features.

// What has arrived, by the hash of its content: the app's pages bring photos, maps and features beside the
// canvas, each once; a notebook hands them over itself. They are found across the modules of a page, so the
// page holds them; the last ones only.
const MOST_ARRIVED = 48;
const arrivals = (globalThis.dinoArrivals ??= new Map()); // id → {bytes, promise, tell}

function arrivalAt(id) {
  if (!arrivals.has(id)) {
    const one = { bytes: null };
    one.promise = new Promise((tell) => (one.tell = tell));
    arrivals.set(id, one);
  }
  return arrivals.get(id);
}

// Takes bytes (Uint8Array) in; what came first leaves where there are many.
function takeIn(id, bytes) {
  const one = arrivalAt(id);
  if (!one.bytes) one.tell((one.bytes = bytes));
  arrivals.delete(id); // and to the end
  arrivals.set(id, one);
  for (const [other, { bytes: held }] of arrivals) {
    if (arrivals.size <= MOST_ARRIVED) break;
    if (held) arrivals.delete(other);
  }
}

// The bytes of that hash, once they are there.
const arrived = (id) => arrivalAt(id).promise;

// Brings bytes to the canvas: the first 64 are the hash of the others, which are kept by it.

export default function ({ data }) {
  takeIn(new TextDecoder().decode(data.subarray(0, 64)), data.subarray(64));
}

"""Measure a frame of the canvas while each of its controls is dragged: python -m bench.frames [--seconds 2]

In Chromium, 1440×900, at the bundled cat and 480 px: a value is set with every frame the browser draws, as a hand
on the control would. Told: frames a second, and of a frame the script and the paint, the 95th percentile, from the
browser's own trace of its main thread.
"""

import argparse
import json

import numpy as np

from bench.served import chromium, served

# What is set in frame number `frame`: a control's value, or the head by its small picture.
DRAGS = {
    "opacity": ("#look-opacity", "20 + (frame * 7) % 80"),
    "mask": ("#look-outline", "1 + (frame * 3) % 99"),
    "photo's slider": ("#slider", "(frame * 5) % 100"),
    "heads": (".tile", "frame"),
    "heads, sharp": (".tile", "frame"),
    "colours": ("#look-colours", "['inferno', 'viridis', 'cividis', 'magma'][frame % 4]"),
}
_DRAG = """
async ([selector, value, seconds]) => {
  const root = [...document.querySelectorAll("*")].find((e) => e.shadowRoot?.querySelector(".field")).shadowRoot;
  const elements = [...root.querySelectorAll(selector)], of = new Function("frame", `return ${value}`);
  const started = performance.now();
  let frames = 0;
  return new Promise((done) => {
    const draw = (now) => {
      if (now - started > 1000 * seconds) return done(frames / seconds);
      frames += 1;
      if (selector === ".tile") elements[of(frames) % elements.length].click();
      else {
        elements[0].value = of(frames);
        elements[0].dispatchEvent(new Event("input"));
      }
      requestAnimationFrame(draw);
    };
    requestAnimationFrame(draw);
  });
}
"""
_RENDERER = """() => { const gl = document.createElement("canvas").getContext("webgl");
  const info = gl?.getExtension("WEBGL_debug_renderer_info");
  return info ? gl.getParameter(info.UNMASKED_RENDERER_WEBGL) : "2D canvas in software, no WebGL"; }"""
# Of the main thread's work: script, and what becomes pixels of it.
_SCRIPT = {"FunctionCall", "FireAnimationFrame", "EventDispatch"}
_PAINT = {
    "UpdateLayoutTree",
    "Layout",
    "PrePaint",
    "Paint",
    "Layerize",
    "Commit",
    "CompositeLayers",
}


def frame_times_ms(events: list[dict]) -> list[float]:
    """Sum script and paint of each frame of the page's main thread."""
    main = _main_thread(events)
    spans = sorted(
        (event["ts"], event["ts"] + event["dur"])
        for event in events
        if event.get("ph") == "X"
        and (event["pid"], event["tid"]) == main
        and event["name"] in _SCRIPT | _PAINT
    )
    starts = sorted(
        event["ts"] for event in events
        if event["name"] == "FireAnimationFrame" and (event["pid"], event["tid"]) == main
    )  # fmt: skip
    joined: list[list[float]] = []
    for start, end in spans:  # nested ones count once
        if joined and start < joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])
    edges = [*starts, float("inf")]
    begun = np.searchsorted(edges, [start for start, _ in joined], side="right") - 1
    sums = np.zeros(len(starts))
    for frame, (start, end) in zip(begun, joined, strict=True):
        if frame >= 0:
            sums[frame] += (end - start) / 1000
    return sums.tolist()


def _main_thread(events: list[dict]) -> tuple[int, int]:
    counts: dict[tuple[int, int], int] = {}
    for event in events:
        if event["name"] == "FireAnimationFrame":
            key = event["pid"], event["tid"]
            counts[key] = counts.get(key, 0) + 1
    return max(counts, key=lambda key: counts[key])


def measure(browser, page, selector: str, value: str, seconds: float) -> tuple[float, list[float]]:
    """Drag once; return frames a second, and the times of the frames."""
    browser.start_tracing(page=page, categories=["devtools.timeline"])
    rate = page.evaluate(_DRAG, [selector, value, seconds])
    return rate, frame_times_ms(json.loads(browser.stop_tracing())["traceEvents"])


def main() -> None:
    """Print a line for each control."""
    parser = argparse.ArgumentParser(prog="python -m bench.frames")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--address", help="of an app that runs; else one is started")
    given = parser.parse_args()
    with served() if not given.address else _at(given.address) as address, chromium() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{address}/attention?photo=cat&v=2&compare=true&outline=60")
        page.get_by_text("weights sha256").wait_for(timeout=120_000)
        page.wait_for_timeout(4_000)
        print("renderer:", page.evaluate(_RENDERER))
        for name, (selector, value) in DRAGS.items():
            sharp = "sharp" if "sharp" in name else "bicubic"
            page.locator("#look-smooth").select_option(sharp)
            page.wait_for_timeout(1_500)
            rate, times = measure(browser, page, selector, value, given.seconds)
            worst = np.percentile(times, [50, 95, 100])
            print(
                f"{name}: {rate:.0f} frames/s; {worst[0]:.1f} ms, 95th percentile {worst[1]:.1f} ms, longest {worst[2]:.1f} ms",
                flush=True,
            )
            page.wait_for_timeout(1_500)


def _at(address: str):
    from contextlib import nullcontext

    return nullcontext(address)


if __name__ == "__main__":
    main()

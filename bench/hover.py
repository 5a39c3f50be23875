"""Count the canvas's frames a second while a pointer moves over it: python -m bench.hover [--seconds 3]

In Chromium, 1440×900, with the bundled weights at 480 px: a pointer event is sent with every frame the
browser draws, each to another patch, and the frames are counted; beside it the same page at rest.
"""

import argparse
import statistics

from bench.served import chromium, served

# Page and what is on it. Four networks on Compare are four products of features a move.
PAGES = {
    "Attention": "attention?photo=cat",
    "Compare, 4 networks": "compare?photo=cat",
    "Correspondence": "correspondence?photo=cat",
    "Features": "features?photo=cat",
}
_COUNT = """
(frame, [seconds, moves]) => new Promise((done) => {
  const box = frame.getBoundingClientRect(), started = performance.now();
  let frames = 0;
  const draw = (now) => {
    if (now - started > 1000 * seconds) return done(frames / seconds);
    frames += 1;
    if (moves) {
      const along = (frames * 0.0071) % 1, down = (frames * 0.0173) % 1;
      const place = { clientX: box.left + along * box.width, clientY: box.top + down * box.height };
      frame.dispatchEvent(new PointerEvent("pointermove", { ...place, pointerId: 1, pointerType: "mouse", bubbles: true }));
    }
    requestAnimationFrame(draw);
  };
  requestAnimationFrame(draw);
})
"""


def measure(browser, address: str, path: str, seconds: float, repeats: int) -> tuple[float, float]:
    """Count frames a second (at rest, moving), medians."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    try:
        page.goto(f"{address}/{path}")
        page.locator(".frame").first.wait_for(timeout=120_000)
        page.wait_for_timeout(8_000)  # features arrive, and what is drawn after them
        compared = int(page.locator("#board").first.get_attribute("data-ready") or 0)
        if not compared:
            raise RuntimeError(f"{path}: no features arrived")
        frame = page.locator(".frame").first
        found = {
            moves: statistics.median(
                frame.evaluate(_COUNT, [seconds, moves]) for _ in range(repeats)
            )
            for moves in (False, True)
        }
        return found[False], found[True]
    finally:
        page.close()


def main() -> None:
    """Print a line a page."""
    parser = argparse.ArgumentParser(prog="python -m bench.hover")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with served() as address, chromium() as browser:
        for name, path in PAGES.items():
            rest, moving = measure(browser, address, path, given.seconds, given.repeats)
            print(f"{name}: {moving:.1f} frames/s while moving, {rest:.1f} at rest", flush=True)


if __name__ == "__main__":
    main()

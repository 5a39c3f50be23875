"""The notebook's canvas in a real browser: a page hands it what a kernel would, and hears what it says."""

import base64
import json

import pytest
from helpers.chromium import IN_CHROMIUM

import dino
from app.state.selection import PHOTOS

pytestmark = IN_CHROMIUM

# What anywidget gives a module's `render`: a model of traits, of which bytes are views of data.
MODEL = """
const bytes = (all) => Object.fromEntries(Object.entries(all).map(([id, text]) =>
  [id, new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer)]));
const state = JSON.parse(document.querySelector("#state").textContent);
state.still = bytes(state.still);
state.maps = bytes(state.maps);
const calls = [];
window.sent = [];
window.model = {
  get: (name) => state[name], send: (message) => window.sent.push(message), off: () => {},
  on: (name, call) => calls.push(call),
  set: (data) => { state.data = data; calls.forEach((call) => call()); },
};
const address = URL.createObjectURL(new Blob([document.querySelector("#script").textContent], { type: "text/javascript" }));
import(address).then(({ default: widget }) => widget.render({ model: window.model, el: document.querySelector("#cell") }));
"""


@pytest.fixture
def cell(browser, small_weights):
    """A page with the widget in it."""
    pytest.importorskip("anywidget")
    backbone = dino.load(small_weights, device="cpu")
    shown = dino.show(backbone, dino.decode((PHOTOS / "cat.jpg").read_bytes()), size=224)
    coded = {
        name: {key: base64.b64encode(data).decode() for key, data in getattr(shown, name).items()}
        for name in ("still", "maps")
    }
    state = json.dumps(
        {"markup": shown.markup, "style": shown.style, "data": shown.data, **coded}
    ).replace("<", "\\u003c")
    script = str(shown._esm).replace("</script", "<\\/script")
    page = browser.new_page(viewport={"width": 900, "height": 900})
    page.set_content(
        f'<div id="cell" style="width: 860px"></div><script type="text/plain" id="script">{script}</script>'
        f'<script type="application/json" id="state">{state}</script>'
    )
    page.add_script_tag(content=MODEL)
    page.locator(".over[data-painted]").wait_for(state="attached", timeout=20_000)
    yield page, shown
    page.close()


def test_it_draws_and_says_what_is_chosen(cell):
    page, shown = cell
    page.get_by_role("button", name="Head 2").click()
    page.wait_for_function("window.sent.some((one) => one.look)", timeout=10_000)
    (message,) = page.evaluate("window.sent")
    shown.hear(message)
    assert shown.look.head == "2"
    assert "Head 2 of the last block" in page.locator(".frame").get_attribute("aria-label")


def test_a_patch_is_compared_and_picked(cell):
    page, shown = cell
    page.wait_for_function(
        "document.querySelector('#cell').shadowRoot.querySelector('#board').dataset.ready === '1'"
    )
    frame = page.locator(".frame")
    box = frame.bounding_box()
    frame.click(position={"x": box["width"] * 20.5 / 28, "y": box["height"] * 5.5 / 21})
    assert page.evaluate("window.sent") == [{"picked": "0:5:20"}]
    assert "cosines from" in page.locator("#readout").inner_text()
    shown.hear({"picked": "0:5:20"})
    assert shown.data["chosen"] == {"panel": 0, "row": 5, "column": 20}


def test_digits_on_the_notebook_s_page_are_not_the_canvas_s(cell):
    page, _ = cell
    page.keyboard.press("1")
    page.wait_for_timeout(600)
    assert page.evaluate("window.sent") == []

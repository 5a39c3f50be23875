"""The Gallery and the linked patches of Features in a real browser: lasso, hover, and what lights up."""

import json
import re

import numpy as np
import pytest
from helpers.browser_cases import hover_without_requests, ready
from helpers.chromium import IN_CHROMIUM, check_frame
from PIL import Image
from playwright.sync_api import expect

pytestmark = IN_CHROMIUM

CHART = ".st-key-gallery_scatter"


def drag(page, selector: str, *shares: tuple[float, float]) -> None:
    """Press at the first place in a chart (shares of its width and height), go through the others."""
    area = page.locator(f"{selector} .nsewdrag").first
    area.wait_for(timeout=30_000)
    area.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    box = area.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in shares]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


ALL_ROUND = ((0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02))


@pytest.fixture(scope="module")
def photos(server):
    """Write a folder of colourful photos that the server has."""
    folder = server.folder / "data" / "reds-and-blues"
    rng = np.random.default_rng(0)
    for label, colour in (("cat", (200, 60, 60)), ("dog", (60, 60, 200))):
        (folder / label).mkdir(parents=True)
        for number in range(12):
            rgb = np.clip(np.array(colour) + rng.normal(0, 25, (48, 48, 3)), 0, 255)
            Image.fromarray(rgb.astype(np.uint8)).save(folder / label / f"{number}.png")
    return folder.name


def test_a_folder_is_embedded_lassoed_and_looked_at(tab, photos):
    page = tab(f"/gallery?folder={photos}&crop=96", ready="are not there yet")
    check_frame(page)
    page.get_by_role("button", name="Embed the photos").click()
    page.get_by_text("The axes hold").wait_for(timeout=120_000)
    page.get_by_text("24 photos as seen by small").wait_for()

    drag(page, CHART, *ALL_ROUND)
    page.get_by_text("24 photos chosen").wait_for(timeout=30_000)
    expect(page.locator(".dx-thumbs img")).to_have_count(24, timeout=20_000)
    check_frame(page)

    # A lasso round the left half holds what lies there, and nothing else.
    left = page.evaluate(
        f"""() => {{ const g = document.querySelector("{CHART} .js-plotly-plot");
        const [low, high] = g._fullLayout.xaxis.range;
        return g._fullData.flatMap(t => [...t.x].filter(x => x < (low + high) / 2)).length }}"""
    )
    assert 0 < left < 24
    drag(page, CHART, (0.5, 0.001), (0.5, 0.999), (0.001, 0.999), (0.001, 0.001), (0.49, 0.001))
    page.get_by_text(f"{left} photos chosen").wait_for(timeout=30_000)


@pytest.fixture
def embedded(tab, photos):
    """Have the features of the folder made, if no test before has."""
    page = tab(f"/gallery?folder={photos}&crop=96", ready="Copy as command")
    start = page.get_by_role("button", name="Embed the photos")
    start.or_(page.get_by_text("The axes hold")).first.wait_for(timeout=30_000)
    if start.is_visible():
        start.click()
        page.get_by_text("The axes hold").wait_for(timeout=120_000)
    return photos


@pytest.mark.slow
def test_the_photo_under_the_pointer_is_shown(tab, embedded):
    page = tab(f"/gallery?folder={embedded}&crop=96", ready="The axes hold")
    page.locator(f"{CHART} .nsewdrag").first.wait_for(timeout=30_000)
    page.locator("#root[data-attached=true]").wait_for(timeout=30_000)
    page.wait_for_timeout(1500)
    x, y, name = page.evaluate(
        f"""() => {{ const g = document.querySelector("{CHART} .js-plotly-plot");
        const l = g._fullLayout, t = g._fullData[0], r = g.getBoundingClientRect();
        const i = t.x.indexOf(Math.max(...t.x)); // at the edge of its group
        return [r.left + l.xaxis._offset + l.xaxis.l2p(t.x[i]),
                r.top + l.yaxis._offset + l.yaxis.l2p(t.y[i]), t.text[i]] }}"""
    )
    page.mouse.move(x - 40, y)
    page.mouse.move(x, y, steps=4)
    picture = page.locator("#picture")
    page.get_by_role("img", name=name, exact=True).wait_for(timeout=10_000)
    address = re.search(r'url\("(.+)"\)', picture.evaluate("e => e.style.backgroundImage"))[1]
    loaded = page.evaluate(
        "async (u) => { const i = new Image(); i.src = u; await i.decode(); return i.width }",
        address,
    )
    assert loaded == 960


@pytest.mark.slow
def test_a_chosen_photo_opens_large_and_hovering_asks_the_server_nothing(tab, embedded):
    page = tab(f"/gallery?folder={embedded}&crop=96&size=224&see=Neighbours", ready="Beside it")
    ready(page, 2)
    page.locator("figcaption", has_text=re.compile(r"^cat/0.png$")).wait_for()
    page.locator("figcaption", has_text=re.compile(r"^cat/\d+.png: cosine 0.9")).wait_for()
    hover_without_requests(page, (28, 28))
    page.locator("#readout").get_by_text("best match row").wait_for()

    page = tab(f"/gallery?folder={embedded}&crop=96&size=224", ready="The axes hold")
    drag(page, CHART, *ALL_ROUND)
    page.get_by_text("24 photos chosen").wait_for(timeout=30_000)
    ready(page, 1)
    page.locator("figcaption", has_text=re.compile(r"^cat/0.png$")).first.wait_for()
    check_frame(page)


RINGS = """() => { const g = document.querySelector(".st-key-patch_scatter .js-plotly-plot");
    return JSON.stringify(g?._fullData?.[1]?.customdata ?? []) }"""


def ringed(page, count: int) -> list[list[int]]:
    """Read the patches (row, column) with rings in the plot, once it was drawn again with so many."""
    page.wait_for_function(
        f"(n) => JSON.parse(({RINGS})()).length === n", arg=count, timeout=30_000
    )
    return json.loads(page.evaluate(RINGS))


def lit(page) -> np.ndarray:
    """Read the patches of the photo that are painted, bool [h,w]."""
    return np.array(
        page.locator(".paint").evaluate(
            """(picture) => { const c = picture.getContext("2d"), s = picture.width / 28, found = [];
            for (let row = 0; row < 21; row++) { found.push([]);
                for (let column = 0; column < 28; column++) found[row].push(
                    c.getImageData((column + 0.5) * s, (row + 0.5) * s, 1, 1).data[3] > 0) }
            return found }"""
        )
    )


@pytest.mark.slow
def test_lassoed_points_light_up_on_the_photo_and_patches_among_the_points(tab):
    page = tab("/features?photo=cat&size=224")
    frame = ready(page, 1).first
    drag(page, ".st-key-patch_scatter", *ALL_ROUND)
    page.get_by_text("588 of 588 patches chosen").wait_for(timeout=30_000)
    assert lit(page).all()
    page.get_by_role("button", name="Clear", exact=True).click()
    page.get_by_text("Click the photo, or draw").wait_for(timeout=30_000)
    ringed(page, 0)
    assert not lit(page).any()

    page.get_by_role("button", name="Box", exact=True).click()
    box = frame.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 2.5 / 28, box["y"] + box["height"] * 3.5 / 21)
    page.mouse.down()
    page.mouse.move(
        box["x"] + box["width"] * 5.5 / 28, box["y"] + box["height"] * 4.5 / 21, steps=4
    )
    page.mouse.up()
    page.get_by_text("8 of 588 patches chosen").wait_for(timeout=30_000)
    chosen = [[row, column] for row in (3, 4) for column in (2, 3, 4, 5)]
    assert ringed(page, 8) == chosen
    assert np.argwhere(lit(page)).tolist() == chosen

    page.get_by_role("button", name="Point", exact=True).click()
    frame.click(position={"x": box["width"] * 20.5 / 28, "y": box["height"] * 5.5 / 21})
    page.get_by_text("1 of 588 patches chosen").wait_for(timeout=30_000)
    assert ringed(page, 1) == [[5, 20]]
    assert np.argwhere(lit(page)).tolist() == [[5, 20]]
    check_frame(page)

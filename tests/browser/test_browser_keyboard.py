"""The pages by keyboard alone: Tab goes round each of them and is seen, and each does what it is for."""

import re

import pytest
from helpers.browser_cases import STILL, full_app
from helpers.chromium import IN_CHROMIUM, wait_until_done
from playwright.sync_api import expect

pytestmark = IN_CHROMIUM

PHOTO = "photo=cat&size=224"
PAGES = {
    "attention": f"attention?{PHOTO}&panel=layers&compare=true",
    "learn": f"learn?{PHOTO}&step=2",
    "masks": f"masks?{PHOTO}",
    "masks, pointing": f"masks?{PHOTO}&by=by+pointing&points=4:3:%2B",
    "annotate": "annotate?session=pets",
    "features": f"features?{PHOTO}",
    "correspondence": f"correspondence?{PHOTO}&other=macaw",
    "video": f"video?{PHOTO}",
    "compare": f"compare?{PHOTO}",
    "gallery": "gallery?folder=pets&crop=96",
    "evolution": "evolution",
    "evaluation": "evaluation",
    "training": "training?part=new",
    "training, runs": "training?part=runs&runs=pets-run",
}
# The others go round in `make slow`.
QUICK = ("attention", "masks, pointing")
# A browser's player and Streamlit's tables, a picture each: no style tells whether they are focused.
DRAW_THEIR_OWN = ("<video", "data-grid-canvas")
MOST_STOPS = 220
MOST_WITHIN = 40  # Tabs within one element that has stops of its own, as a video's controls

_FOCUSED = """
let focused = document.activeElement;
while (focused?.shadowRoot?.activeElement) focused = focused.shadowRoot.activeElement;
"""
# What is focused: whether anything is, an id that is its own, role and name.
_WHAT = (
    "() => {"
    + _FOCUSED
    + """
    if (!focused || focused === document.body) return null;
    focused.dinoStop ??= String(Math.random());
    const named = focused.getAttribute("aria-label") || [...(focused.labels ?? [])].map((l) => l.innerText).join(" ")
        || focused.innerText || focused.title || "";
    return { stop: focused.dinoStop, role: focused.getAttribute("role") ?? focused.tagName.toLowerCase(),
             name: named.trim().replace(/\\s+/g, " ").slice(0, 400), html: focused.outerHTML.slice(0, 160) };
}"""
)
# How it and what is around it look; whether that changes when the focus goes is what a user sees.
_LOOKS = (
    "async () => {"
    + _FOCUSED
    + """
    const around = [focused, ...focused.querySelectorAll("*"), ...(focused.parentElement?.children ?? [])];
    let up = focused;
    for (let i = 0; i < 5 && up; i++) around.push((up = up.parentElement ?? up.getRootNode().host));
    const look = () => around.filter(Boolean).slice(0, 60).flatMap((e) => ["", "::before", "::after"].map((p) => {
        const s = getComputedStyle(e, p || null);
        const outline = s.outlineStyle === "none" ? "" : s.outlineStyle + s.outlineWidth + s.outlineColor;
        return [outline, s.boxShadow, s.borderColor, s.backgroundColor, s.color, s.opacity].join();
    })).join("|");
    const with_focus = look();
    focused.blur();
    for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame); // drawn anew by React
    const without = look();
    focused.focus({ preventScroll: true });
    return with_focus !== without;
}"""
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with full_app(tmp_path_factory.mktemp("keyboard")) as running:
        yield running


@pytest.fixture
def keys(profile, server):
    """Open a page by `keys("masks?photo=cat")`, done, with nothing focused yet."""
    pages = []

    def open_page(path: str) -> "Keys":
        page = profile.new_page()
        pages.append(page)
        page.set_viewport_size({"width": 1440, "height": 900})
        page.goto(f"{server.address}/{path}")
        wait_until_done(page)
        return Keys(page)

    yield open_page
    for page in pages:
        page.close()


class Keys:
    """A page, and the keyboard as the only way to it."""

    def __init__(self, page) -> None:
        self.page = page

    def press(self, *names: str) -> None:
        for name in names:
            self.page.keyboard.press(name)

    def write(self, text: str) -> None:
        self.page.keyboard.type(text)

    def now(self) -> dict | None:
        """Describe what is focused."""
        return self.page.evaluate(_WHAT)

    def go(self, name: str, role: str | None = None) -> None:
        """Press Tab until something with a name like this is focused."""
        seen = []
        for _ in range(MOST_STOPS):
            self.press("Tab")
            at = self.now()
            if at and re.search(name, at["name"]) and role in (None, at["role"]):
                return
            seen.append(at and (at["role"], at["name"][:40]))
        raise AssertionError(f"Tab does not come to {name!r}: {seen}")

    def asked(self, text: str) -> None:
        """Wait until the address asks for this."""
        self.page.wait_for_function(
            "text => decodeURIComponent(location.search.replaceAll('+', ' ')).includes(text)",
            arg=text,
            timeout=60_000,
        )

    def done(self) -> None:
        wait_until_done(self.page)

    def shown(self, text: str | re.Pattern, timeout_s: float = 60) -> None:
        self.page.get_by_text(text).first.wait_for(timeout=1000 * timeout_s)


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in PAGES],
)
def test_tab_goes_round_the_page_and_is_seen_at_every_stop(keys, name):
    on = keys(PAGES[name])
    on.page.add_style_tag(content=STILL)
    stops, unseen, within = [], [], 0
    for _ in range(MOST_STOPS):
        on.press("Tab")
        at = on.now()
        if at is None or (stops and at["stop"] == stops[0]):
            break
        within = within + 1 if stops and at["stop"] == stops[-1] else 0
        assert within < MOST_WITHIN, f"Tab does not leave {at}"
        if within:
            continue
        stops.append(at["stop"])
        if not any(own in at["html"] for own in DRAW_THEIR_OWN) and not on.page.evaluate(_LOOKS):
            unseen.append(f"{at['role']} {at['name']!r}: {at['html']}")
    else:
        raise AssertionError(f"Tab does not come round in {MOST_STOPS}")
    assert not unseen, "\n".join(unseen)
    assert len(stops) > 10


def test_attention_takes_another_photo_and_a_patch(keys):
    on = keys(f"attention?{PHOTO}")
    on.go("^Photo", "combobox")
    on.write("lemurs")
    on.press("Enter")
    on.shown("lemurs.jpg")
    on.done()
    on.go("columns of patches")
    on.press("ArrowRight", "ArrowDown")
    on.page.wait_for_url(re.compile(r"query=\d+(:|%3A)\d+"), timeout=60_000)
    on.shown(re.compile(r"where patch \d+:\d+ looks in block"))
    on.press("Escape")
    on.shown("where the network looks altogether")


def test_learn_is_stepped_answered_and_left_for_attention(keys):
    on = keys(f"learn?{PHOTO}&step=5")
    on.press("ArrowRight")
    on.shown("6. Student and teacher")
    on.done()
    on.go("4$", "input")
    on.press("Space", "ArrowRight", "ArrowRight")
    on.done()
    on.go("Check")
    on.press("Enter")
    on.shown("Right: 250.")
    on.done()
    on.go("Next$")
    on.press("Enter")
    on.shown("7. Centring and sharpening")
    on.done()
    on.go("Open this in Attention")
    on.press("Enter")
    on.page.wait_for_url(re.compile("/attention"), timeout=60_000)


def test_masks_takes_a_method_and_a_share(keys):
    on = keys(f"masks?{PHOTO}")
    on.go("^Attention held by the mask")
    on.press("ArrowRight")
    on.shown("at 61%")
    on.done()
    on.go("mass", "radio")
    on.press("ArrowRight", "Space")
    on.asked("method=Otsu")
    on.shown("above Otsu's threshold")


def test_masks_takes_points_on_and_off_the_object_and_a_box(keys):
    on = keys(f"masks?{PHOTO}&by=by+pointing")
    on.go("columns of patches")
    on.press("Enter", "ArrowRight", "ArrowRight", "Shift+Enter")
    on.asked("points=5:7:+,5:9:-")
    on.done()
    on.press("Escape")
    on.page.wait_for_function("() => !location.search.includes('points')")
    on.done()
    for _ in range(8):  # past what brushes need
        on.press("Shift+Tab")
        if on.now()["name"] == "Box":
            break
    assert on.now()["name"] == "Box"
    on.press("Enter")
    on.go("columns of patches")
    on.press("Enter", "ArrowRight", "ArrowRight", "ArrowDown", "Enter")
    on.asked("points=b5:7:7:10")


def test_annotate_accepts_and_rejects(keys):
    on = keys("annotate?session=pets")
    where = on.page.locator("#where")
    on.go("Accept")
    on.press("Enter")
    where.get_by_text("2 of 6").wait_for()
    on.done()
    on.press("r")
    where.get_by_text("3 of 6").wait_for()
    on.press("p")
    where.get_by_text(re.compile("2 of 6 .* rejected")).wait_for()


@pytest.mark.slow
def test_features_takes_a_patch_by_name(keys):
    on = keys(f"features?{PHOTO}")
    on.go("^Or name a patch or a box")
    on.write("2:3-4:6")
    on.press("Enter")
    on.shown("12 of 140 patches chosen")


def test_correspondence_takes_a_photo_lines_and_a_patch(keys):
    on = keys(f"correspondence?{PHOTO}&other=lemurs")
    on.go("Second photo", "combobox")
    on.write("macaw")
    on.press("Enter")
    on.asked("other=macaw")
    on.done()
    on.go("Photo 2 of 2.*columns of patches")
    on.press("ArrowLeft")
    on.page.locator("#readout").get_by_text("best match row").wait_for()
    on.go("^Lines")
    on.press("Home")
    on.shown("the lines join the best 0")


@pytest.mark.slow
def test_video_makes_a_film_and_takes_another_source(keys):
    on = keys(f"video?{PHOTO}")
    on.go("Make the film")
    on.press("Enter")
    on.shown("48 frames, made in", timeout_s=240)
    on.done()
    on.go("Moving crop", "radio")
    on.press("ArrowRight", "Space")
    on.shown("Sound is left out")


@pytest.mark.slow
def test_compare_takes_weights_and_a_patch(keys):
    on = keys(f"compare?{PHOTO}")
    on.go("columns of patches")
    on.press("ArrowRight")
    on.page.locator("#readout").get_by_text("Row ").wait_for()
    on.go("^Mass of a head's mask")
    on.press("ArrowRight")
    on.asked("held=61")


@pytest.mark.slow
def test_gallery_is_embedded_and_groups_and_neighbours_are_chosen(keys):
    on = keys("gallery?folder=pets&crop=96")
    on.go("Embed the photos")
    on.press("Enter")
    on.shown("The axes hold")
    on.done()
    on.go("^Choose by lasso")
    on.write("bird")
    on.press("Enter")
    on.shown("3 photos chosen")
    on.done()
    on.press("Escape")
    on.go("Map", "radio")
    on.press("ArrowRight", "Space")
    on.shown("this photo")


@pytest.mark.slow
def test_evolution_is_stepped_and_played(keys):
    on = keys("evolution")
    on.go("Space plays, arrow keys step")
    label = on.page.locator("#label")
    last = label.inner_text()
    on.press("ArrowLeft", "ArrowLeft")
    expect(label).not_to_have_text(last)
    before = label.inner_text()
    on.press("Space")
    expect(label).not_to_have_text(before)
    expect(label).to_have_text(last, timeout=10_000)


@pytest.mark.slow
def test_evaluation_shows_another_task(keys):
    on = keys("evaluation")
    on.go("Task", "combobox")
    on.press("ArrowDown", "ArrowDown", "Enter")
    on.asked("task=")


@pytest.mark.slow
def test_training_is_begun_from_the_form(keys):
    on = keys("training?part=new")
    on.go("^Name of the run")
    on.press("Control+a")
    on.write("by-keyboard")
    on.press("Enter")
    on.done()
    on.go("Start$")
    assert on.page.get_by_role("button", name="Start", exact=True).is_enabled()
    on.go("New run", "radio")  # round the page, to its other part
    on.press("ArrowRight", "Space")
    on.shown("pets-run")

"""Every page and what it can show, in a real browser: axe-core, requests, the console, a phone's width."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from helpers.browser_cases import STILL, full_app
from helpers.chromium import IN_CHROMIUM, check_frame, wait_until_done

pytestmark = IN_CHROMIUM

PHOTO = "photo=cat&size=224"
VIEWS = {
    "attention": f"attention?{PHOTO}&query=3:4&compare=true",
    "attention, layers": f"attention?{PHOTO}&panel=layers",
    "attention, ranking": f"attention?{PHOTO}&panel=ranking",
    "attention, head off": f"attention?{PHOTO}&panel=head+off",
    "attention, norms": f"attention?{PHOTO}&panel=norms",
    **{f"learn, step {step}": f"learn?{PHOTO}&step={step}&answers=true" for step in range(1, 11)},
    "learn, asked": f"learn?{PHOTO}&step=3",
    "masks": f"masks?{PHOTO}&refine=guided",
    "masks, k-means": f"masks?{PHOTO}&method=k-means",
    "masks, MaskCut": f"masks?{PHOTO}&method=MaskCut",
    "masks, pointing": f"masks?{PHOTO}&by=by+pointing&points=4:3:%2B,0:0:-",
    "annotate": "annotate?session=pets",
    "features": f"features?{PHOTO}",
    "features, 3 dimensions": f"features?{PHOTO}&dims=3",
    "correspondence": f"correspondence?{PHOTO}&other=macaw",
    "video": f"video?{PHOTO}",
    "video, own": f"video?{PHOTO}&video=Your+own+video",
    "video, mask": f"video?{PHOTO}&make=Follow+a+mask",
    "compare": f"compare?{PHOTO}",
    "gallery": "gallery?folder=pets&crop=96",
    "evolution": "evolution",
    "evaluation": "evaluation",
    "training, new run": "training?part=new",
    "training, runs": "training?part=runs&runs=pets-run",
    "no such weights": "attention?weights=gone&photo=gone",
}
# More of pages that others are of already: in `make slow`.
LATER = {
    "attention, layers",
    "attention, ranking",
    "attention, head off",
    "attention, norms",
    "masks, MaskCut",
    "masks, k-means",
    "features, 3 dimensions",
    "video, own",
    "video, mask",
    "training, runs",
    *(f"learn, step {step}" for step in range(1, 11)),
}
THEMES = ("light", "dark")
# What a theme can change; the rest of the rules is asked once.
COLOUR_RULES = ["color-contrast", "link-in-text-block"]
# Streamlit asks for these below the page's address first, and then at the root, where they are.
ASKED_TWICE = re.compile(r"/[a-z]+/_stcore/(health|host-config)$")


@dataclass(frozen=True)
class Excuse:
    """A violation of a rule within what Streamlit draws and a selector finds, and a view that has it."""

    rule: str
    selector: str
    view: str
    why: str


EXCUSES = (
    Excuse(
        "color-contrast",
        "[data-testid=stWidgetLabel][disabled]",
        "masks, k-means",
        "the label of a control that is switched off, which WCAG 1.4.3 asks no contrast of",
    ),
)
_VIOLATIONS = """async ({ options, excuses }) => {
    const found = (await axe.run(options)).violations;
    return found.filter((one) => ["serious", "critical"].includes(one.impact)).flatMap((one) =>
        one.nodes.map((node) => {
            const element = node.target.length === 1 ? document.querySelector(node.target[0]) : null;
            const excused = excuses.filter(([rule, within]) => rule === one.id && element?.closest(within));
            return { rule: one.id, html: node.html.slice(0, 160), what: node.failureSummary, excused };
        }));
}"""


@dataclass
class Opened:
    """A view, and what it asked for and said while it was opened."""

    name: str
    page: object
    asked: list[str]
    said: list[str]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with full_app(tmp_path_factory.mktemp("pages")) as running:
        yield running


# Of the module: a view is opened once, for all that is asked of it.
@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.slow) if name in LATER else name for name in VIEWS
    ],
)
def view(request, profile, server):
    # Tall, as axe judges what can be seen.
    page = profile.new_page()
    page.set_viewport_size({"width": 1440, "height": 2600})
    page.emulate_media(color_scheme="light")
    opened = Opened(request.param, page, [], [])
    page.on("request", lambda asked: opened.asked.append(asked.url))
    page.on("websocket", lambda socket: opened.asked.append(socket.url))
    page.on("console", lambda said: heard(opened, said))
    page.on("pageerror", lambda error: opened.said.append(str(error)))
    page.goto(f"{server.address}/{VIEWS[request.param]}")
    page.add_style_tag(content=STILL)
    wait_until_done(page)
    if request.param == "gallery":
        start = page.get_by_role("button", name="Embed the photos")
        if start.count():
            start.click()
        page.get_by_text("The axes hold").wait_for(timeout=120_000)
        wait_until_done(page)
    page.locator("[data-testid=stExpander] summary").evaluate_all(
        "all => all.filter(one => !one.parentElement.open).forEach(one => one.click())"
    )
    wait_until_done(page)
    yield opened
    page.close()


def heard(opened: Opened, said) -> None:
    known = ASKED_TWICE.search(urlsplit(said.location["url"]).path)
    if said.type == "error" and not known:
        opened.said.append(said.text)


def violations(page, theme: str) -> list[dict]:
    """Collect what axe-core finds of impact serious or critical, with the excuses that hold for it."""
    page.emulate_media(color_scheme=theme)
    page.wait_for_function(
        "theme => getComputedStyle(document.querySelector('[data-testid=stApp]')).colorScheme === theme",
        arg=theme,
    )
    wait_until_done(page)
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    options = {"resultTypes": ["violations"]}
    if theme != THEMES[0]:
        options["runOnly"] = {"type": "rule", "values": COLOUR_RULES}
    excuses = [[excuse.rule, excuse.selector] for excuse in EXCUSES]
    return page.evaluate(_VIOLATIONS, {"options": options, "excuses": excuses})


def lasting(page, theme: str) -> list[dict]:
    """Collect violations that are there a second time: what is redrawn by the clock is pale for a moment."""
    found = violations(page, theme)
    if all(one["excused"] for one in found):
        return found
    page.wait_for_timeout(2000)
    return violations(page, theme)


def test_axe_finds_no_serious_violation(view):
    found = [one for theme in THEMES for one in lasting(view.page, theme)]
    left = [f"{one['rule']}: {one['html']}: {one['what']}" for one in found if not one["excused"]]
    assert not left, "\n".join(left)
    used = {tuple(excuse) for one in found for excuse in one["excused"]}
    for excuse in EXCUSES:
        assert excuse.view != view.name or (excuse.rule, excuse.selector) in used, excuse


def test_no_request_leaves_the_machine_and_the_console_is_quiet(view, server):
    own = server.address.removeprefix("http://")
    asked = [urlsplit(url) for url in view.asked]
    assert {url.scheme for url in asked} <= {"http", "ws", "data", "blob"}
    assert {url.netloc for url in asked if url.scheme in ("http", "ws")} == {own}
    assert "ws" in {url.scheme for url in asked}
    assert view.said == []


@pytest.mark.parametrize("theme", THEMES)
def test_it_fits_a_phone(view, theme):
    view.page.emulate_media(color_scheme=theme)
    view.page.set_viewport_size({"width": 390, "height": 844})
    wait_until_done(view.page)
    check_frame(view.page)
    assert overhanging(view.page) == []


def overhanging(page) -> list[str]:
    """Find what sticks out of the window to the right, in no box that scrolls by itself or cuts off."""
    return page.evaluate(
        """() => {
        const out = [];
        const boxed = (e) => {
            for (let up = e.parentElement; up && up.dataset.testid !== "stMain"; up = up.parentElement)
                if (getComputedStyle(up).overflowX !== "visible") return true;
            return false;
        };
        for (const e of document.querySelectorAll("[data-testid=stMain] *")) {
            const box = e.getBoundingClientRect();
            if (box.width && box.right > innerWidth + 1 && !boxed(e)) out.push(e.outerHTML.slice(0, 120));
        }
        return out }"""
    )

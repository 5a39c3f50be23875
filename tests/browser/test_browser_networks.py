"""All pages in a real browser with networks of other kinds: no error, and the words are those of the network."""

import pytest
import timm
from helpers.browser_cases import full_app
from helpers.chromium import IN_CHROMIUM, SIZES, check_frame, wait_until_done
from helpers.family_cases import TINY, randomised

from dino.weights.saving import save

pytestmark = IN_CHROMIUM

PHOTO = "photo=cat&size=224"
# What each page says of DINOv3, and of a network without a CLS token.
PAGES = {
    f"attention?{PHOTO}": ("CLS and registers included", "has no CLS token: the attention is"),
    f"attention?{PHOTO}&panel=norms": ("; registers ", "median patch"),
    f"attention?{PHOTO}&panel=head+off": (
        "CLS, cosine before",
        "Mean of all patches, cosine before",
    ),
    f"learn?{PHOTO}&step=2": (
        "CLS is a token without a patch",
        "the patch in the middle asks first",
    ),
    f"learn?{PHOTO}&step=4": (
        "One token has no patch of its own",
        "has no CLS token. It describes",
    ),
    f"learn?{PHOTO}&step=8&answers=true": (
        "k-NN of the CLS token",
        "k-NN of the mean of all patches",
    ),
    f"masks?{PHOTO}": ("Mean of heads", "has no CLS token: the attention is"),
    "annotate?session=pets": ("to do", "to do"),
    f"features?{PHOTO}": ("the axes shown hold", "the axes shown hold"),
    f"correspondence?{PHOTO}&other=macaw": (
        "pairs of patches are each",
        "pairs of patches are each",
    ),
    f"video?{PHOTO}": ("Make the film", "has no CLS token: the attention is"),
    f"compare?{PHOTO}": ("mean of heads", "mean of heads, of the mean of all patches"),
    "gallery?folder=pets&crop=96": ("are not there yet", "are not there yet"),
    "evolution": ("How attention came about", "How attention came about"),
    "evaluation": ("Nothing was measured", "Nothing was measured"),
    "training?part=new": ("Start from", "Start from"),
}
NETWORKS = {
    "dinov3": ("vit_small_patch16_dinov3", TINY | {"img_size": 64}),
    "siglip": ("vit_base_patch16_siglip_224", TINY | {"img_size": 64}),
}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The app, and a file of weights of each of `NETWORKS`."""
    folder = tmp_path_factory.mktemp("networks")
    paths = {}
    for name, (arch, options) in NETWORKS.items():
        model = randomised(timm.create_model(arch, num_classes=0, **options))
        metadata = {"name": name, "description": f"a small {name}", "num_heads": 3}
        paths[name] = save(
            model.state_dict(), folder / f"{name}.safetensors", dtype="fp32", metadata=metadata
        )
    with full_app(folder) as running:
        yield running, paths


@pytest.mark.parametrize("size", ["desktop", pytest.param("phone", marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", range(len(NETWORKS)), ids=list(NETWORKS))
def test_every_page_opens_and_says_what_is_drawn(browser, app, number, size):
    server, paths = app
    path = list(paths.values())[number]
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    try:
        for address, words in PAGES.items():
            page.goto(f"{server.address}/{address}{'&' if '?' in address else '?'}weights={path}")
            wait_until_done(page)
            check_frame(page)
            errors = page.locator("[data-testid=stAlertContentError]").all_inner_texts()
            assert errors == [], (address, errors)
            said = page.locator("body").inner_text() + _of_canvases(page)
            assert words[number] in said, address
    finally:
        context.close()


def _of_canvases(page) -> str:
    """Collect what canvases say, which stand in roots of their own."""
    return page.evaluate(
        "() => [...document.querySelectorAll('*')].map(e => e.shadowRoot?.textContent ?? '').join(' ')"
    )

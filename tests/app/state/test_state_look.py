"""A look in a link: what is written is read, and links of before mean what they meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.state.look import BEFORE, NOW, params_of, read_params, style_of, version_of
from dino.attention.files import Style
from dino.canvas.look import FORMER, PLACES, SCALES, SMOOTHING, Look
from dino.media.draw import COLORMAPS

looks = st.builds(
    Look,
    scale=st.sampled_from(SCALES),
    smooth=st.sampled_from(SMOOTHING),
    colours=st.sampled_from(list(COLORMAPS)),
    opacity=st.integers(0, 100).map(lambda percent: percent / 100),
    greys=st.booleans(),
    outline=st.integers(0, 100),
    fill=st.booleans(),
    beside=st.sampled_from(PLACES),
)


@given(looks)
def test_what_a_link_says_is_what_was_chosen(look):
    assert read_params(params_of(look), NOW) == look


def test_the_default_look_needs_no_words():
    assert params_of(Look()) == {}


def test_links_of_before_mean_what_they_meant():
    assert read_params({}, BEFORE) == FORMER
    old = {
        "smooth": "true",
        "scale": "shared",
        "opacity": "0.3",
        "colours": "magma",
        "compare": "true",
    }
    assert read_params(old, BEFORE) == Look(
        scale="shared", smooth="bilinear", opacity=0.3, colours="magma", greys=False, beside="wipe"
    )
    assert read_params({"scale": "each its own", "outline": "60"}, BEFORE) == FORMER


@pytest.mark.parametrize(
    "params",
    [{"opacity": "loud"}, {"opacity": "nan"}, {"outline": "-3"}, {"outline": "٣"}, {"greys": "no"}],
)
def test_words_that_are_no_values_are_passed_over(params):
    assert read_params(params, NOW) in (Look(), Look(outline=3))


def test_pictures_of_python_look_as_those_of_the_browser():
    assert style_of(FORMER) == Style(opacity=0.8)
    assert style_of(Look(smooth="sharp", scale="shared", greys=False)) == Style(
        opacity=0.65, interpolation="guided", shared_scale=True
    )


@pytest.mark.parametrize(
    ("params", "address", "version"),
    [
        ({}, "http://host/attention", NOW),
        ({"photo": "cat"}, "http://host/attention", BEFORE),
        ({"photo": "cat"}, "http://host/", BEFORE),
        ({"photo": "cat"}, "http://host/below/here/compare", BEFORE),
        ({"photo": "cat", "v": "2"}, "http://host/attention", NOW),
        ({"photo": "cat"}, "http://host/below/masks", NOW),
        ({"photo": "cat"}, None, BEFORE),
    ],
)
def test_a_link_without_a_version_is_of_before_where_maps_are_drawn(params, address, version):
    assert version_of(params, address) == version

"""DINO Explorer in the browser: navigation and the sidebar, nothing else.

Each page is a folder in `app/views/`; `app/server.py` serves this.
"""

import sys
from collections.abc import Callable
from pathlib import Path

# Streamlit puts this file's folder on the path; the packages are one above.
ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from dino.system.processes import let_idle_threads_sleep

let_idle_threads_sleep()

import streamlit as st
from streamlit.navigation.page import Page

from app import access
from app.components.drawer.component import close_on_choice
from app.state import look
from app.state.selection import Choice
from app.ui import sidebar, start
from app.views.annotate import page as annotate_page
from app.views.attention import page as attention_page
from app.views.compare import page as compare_page
from app.views.correspondence import page as correspondence_page
from app.views.evaluation import page as evaluation_page
from app.views.evolution import page as evolution_page
from app.views.features import page as features_page
from app.views.gallery import page as gallery_page
from app.views.learn import page as learn_page
from app.views.masks import page as masks_page
from app.views.training import page as training_page
from app.views.video import page as video_page
from dino.model.backbone import Backbone

APP = Path(__file__).parent
# Pictures of our own: Streamlit would fetch a Material icon for the tab from the internet.
st.set_page_config(page_title="DINO Explorer", page_icon=str(APP / "icon.svg"), layout="wide")
# Streamlit writes in white on the primary colour, which is too pale for that in the dark.
st.html(
    '<style>[data-testid="stBaseButton-primary"]:not(:disabled), [data-testid="stMultiSelectTagsContainer"] [data-tag] *'
    " { color: light-dark(#fff, #10191b) !important; }</style>"
)
st.logo(str(APP / "logo.svg"), size="large", icon_image=str(APP / "icon.svg"))


# Without icons, so that all titles fit beside an open sidebar at 1440 px.
def _page(view: Callable[[Choice, Backbone], None], title: str) -> Page:
    return st.Page(lambda: start.guarded(view, selection), title=title, url_path=title.lower())


def _attention(choice: Choice, backbone: Backbone) -> None:
    attention_page.show(choice, backbone, lessons=pages[1])


def _learn(choice: Choice, backbone: Backbone) -> None:
    learn_page.show(choice, backbone, open_attention=_open_attention)


def _training() -> None:
    training_page.show(selection, open_weights=_open_weights)


def _open_attention(**query_params: str) -> None:
    """Open the Attention page with an address of these parameters."""
    st.switch_page(pages[0], query_params=query_params)


def _open_weights(weights: str) -> None:
    """Open the Attention page with weights of a name, on the photo that is chosen."""
    kept = {"photo": st.query_params["photo"]} if "photo" in st.query_params else {}
    _open_attention(**kept, weights=weights)


def _go_home() -> None:
    """Open the first page from the root address, which has none of its own, so that /attention works as a
    link too."""
    asked = st.query_params.to_dict()
    # The sidebar's own widget keeps it from page to page; it cannot be handed over.
    asked.pop("size", None)
    _open_attention(**asked)


pages = [
    _page(_attention, "Attention"),
    _page(_learn, "Learn"),
    _page(masks_page.show, "Masks"),
    _page(access.for_work(annotate_page.show), "Annotate"),
    _page(features_page.show, "Features"),
    _page(correspondence_page.show, "Correspondence"),
    _page(access.for_work(video_page.show), "Video"),
    _page(compare_page.show, "Compare"),
    _page(access.for_work(gallery_page.show), "Gallery"),
    st.Page(evolution_page.show, title="Evolution", url_path="evolution"),
    st.Page(evaluation_page.show, title="Evaluation", url_path="evaluation"),
    st.Page(_training, title="Training", url_path="training"),
]
look.settle_version()
selection: sidebar.Selection = sidebar.choose(training_page=pages[-1])

home = st.Page(_go_home, title="DINO Explorer", url_path="home", default=True, visibility="hidden")
page = st.navigation([home, *pages], position="top")
st.set_page_config(page_title=f"{page.title} · DINO Explorer")
with st.sidebar:
    close_on_choice(page.url_path)
page.run()

"""The weights field: every kind of source, fetched only after a press, and read as a user says."""

import shutil
import socket
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers import weights_cases as cases
from helpers.app_cases import TIMEOUT_S, command, offered_heads, open_page, page, start_afresh, text
from helpers.hub_server import Hub, running_hub
from safetensors.torch import load_file, save, save_file
from streamlit.testing.v1 import AppTest

import dino
from app.cache import backbones
from app.state import weights_fetch, weights_menu
from app.state.weights_menu import Reading
from dino.errors import DownloadError
from dino.weights import ZOO

REPOSITORY = "lab/small-vit"
SIZE = "224"


@pytest.fixture(autouse=True)
def weights(monkeypatch, tmp_path, small_weights):
    start_afresh(monkeypatch, tmp_path, small_weights)
    cache = tmp_path / "hub-cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    for name in ("https_proxy", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "ALLOW_TRAINING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))


@pytest.fixture
def hub(monkeypatch):
    with running_hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        running.repositories[REPOSITORY] = {"model.safetensors": save(cases.canonical_vit())}
        yield running


@pytest.fixture
def open_server(monkeypatch):
    import streamlit as st

    real = st.get_option
    monkeypatch.setattr(
        st, "get_option", lambda name: "0.0.0.0" if name == "server.address" else real(name)
    )


@pytest.fixture
def plain(tmp_path) -> Path:
    """A file that says nothing of itself: patches of 8 px, two blocks, 48 wide."""
    path = tmp_path / "plain.safetensors"
    tensors = load_file(_small(tmp_path))
    save_file(tensors, path)
    return path


def _small(tmp_path: Path) -> Path:
    from timm.models.vision_transformer import VisionTransformer

    from dino.weights.saving import save as save_weights

    torch.manual_seed(5)
    model = VisionTransformer(
        img_size=64, patch_size=8, embed_dim=192, depth=2, num_heads=3, num_classes=0
    )
    return save_weights(
        model.state_dict(), tmp_path / "small-0.safetensors", dtype="fp32", metadata={}
    )


def type_weights(at, name: str):
    """Type into the field, as one does who does not find it in the menu."""
    at.session_state["weights_wanted"] = name  # AppTest itself can only choose what is in the menu
    return at.run()


def shown(at) -> str:
    """Return the line that names the network that is drawn."""
    return next(one.value for one in at.get("html") if "dx-head" in one.value)


def wait_for_fetch() -> weights_fetch.WeightsFetch:
    fetch = backbones.weights_fetch()
    deadline = time.monotonic() + 60
    while fetch.running and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not fetch.running
    return fetch


def test_a_typed_path_opens_and_stays_in_the_menu_and_the_link(plain):
    at = type_weights(open_page("attention", size=SIZE), str(plain))
    assert not at.error
    assert "plain" in shown(at)
    assert at.query_params["weights"] == str(plain)
    assert f"--weights {plain}" in command(at)
    at.sidebar.selectbox(key="weights").set_value("small").run()
    assert str(plain) in at.sidebar.selectbox(key="weights").options


def test_a_path_from_home_opens_as_it_is_typed(monkeypatch, plain):
    monkeypatch.setenv("HOME", str(plain.parent))
    at = type_weights(open_page("attention", size=SIZE), f"~/{plain.name}")
    assert not at.error
    assert "plain" in shown(at)
    assert f"--weights '~/{plain.name}'" in command(at)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("vit_smal_patch16_224", "is no file and no name of weights known here"),
        ("nowhere/else/weights.pth", "weights.pth"),
        ("timm:no_such_model", "no_such_model"),
    ],
)
def test_what_cannot_be_opened_is_a_sentence_and_leaves_the_picture(typed, says):
    at = type_weights(open_page("attention", size=SIZE), typed)
    (error,) = (one.value.replace("\\", "") for one in at.error)
    assert says in error
    assert "a small network for tests" in shown(at)
    assert at.sidebar.selectbox(key="weights").value == typed
    assert "Not opened; still shown: small." in text(at)
    assert at.query_params.get("weights", "small") == "small"


def test_a_damaged_file_leaves_the_picture(tmp_path):
    (tmp_path / "bad.pth").write_bytes(b"not weights")
    at = type_weights(open_page("attention", size=SIZE), str(tmp_path / "bad.pth"))
    assert len(at.error) == 1
    assert "a small network for tests" in shown(at)


def test_a_hub_name_is_fetched_after_a_press_and_not_before(hub: Hub):
    at = type_weights(open_page("attention", size=SIZE), REPOSITORY)
    said = text(at)
    assert f"There is no file or folder {REPOSITORY}; as a name of the hub" in said
    assert "its licence is on" in said
    assert not at.error
    assert hub.asked == []
    assert "a small network for tests" in shown(at)
    at.button(key="weights_fetch").click().run()
    fetch = wait_for_fetch()
    assert fetch.succeeded, fetch.lines()
    assert any("model.safetensors" in path for path in hub.fetched())
    at.run()
    assert not at.error
    assert "small-vit" in shown(at)
    assert at.query_params["weights"] == REPOSITORY


def test_a_fetch_that_fails_says_why_and_leaves_the_picture(hub: Hub):
    hub.gated[REPOSITORY] = "a token nobody has"
    at = type_weights(open_page("attention", size=SIZE), f"hf-hub:{REPOSITORY}")
    at.button(key="weights_fetch").click().run()
    wait_for_fetch()
    at.run()
    assert "The fetch did not work" in text(at)
    assert "gated" in "\n".join(code.value for code in at.code)
    assert "a small network for tests" in shown(at)


def test_a_fetch_can_be_cancelled(monkeypatch, hub: Hub):
    real = weights_fetch.subprocess.Popen
    script = "import time; print('1 of 9 MB', flush=True); time.sleep(60)"
    monkeypatch.setattr(
        weights_fetch.subprocess,
        "Popen",
        lambda _, **options: real([sys.executable, "-c", script], **options),
    )
    at = type_weights(open_page("attention", size=SIZE), REPOSITORY)
    at.button(key="weights_fetch").click().run()
    assert "Fetching …" in text(at)
    at.button(key="weights_cancel").click().run()
    fetch = wait_for_fetch()
    at.run()
    assert fetch.was_cancelled
    assert "Cancelled" in text(at)
    assert not at.error


def test_an_address_is_named_without_what_may_be_secret_in_it():
    at = type_weights(
        open_page("attention", size=SIZE), "http://127.0.0.1:9/weights.pth?token=secret"
    )
    (offer,) = (one.value.replace("\\", "") for one in at.info)
    assert "weights.pth would be fetched" in offer
    assert "secret" not in offer


def test_what_is_typed_never_leads_to_this_machine_s_own_addresses():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        with pytest.raises(DownloadError):
            weights_fetch.fetch_source(f"http://127.0.0.1:{server.getsockname()[1]}/weights.pth")
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize("typed", [REPOSITORY, "~/weights.pth", "https://example.org/a.pth"])
def test_an_open_server_follows_no_names_paths_or_addresses(open_server, hub: Hub, plain, typed):
    at = type_weights(open_page("attention", size=SIZE), typed)
    assert "This server is open to the network" in text(at)
    assert "a small network for tests" in shown(at)
    assert not [one for one in at.button if one.key == "weights_fetch"]
    assert hub.asked == []
    at = open_page("attention", size=SIZE, weights=str(plain))
    assert "follows no paths" in text(at)
    assert "a small network for tests" in shown(at)


def test_dinov3_of_the_zoo_names_its_licence_before_anything_is_fetched(hub: Hub):
    at = open_page("attention", size=SIZE, weights="dinov3_vits16")
    (offer,) = (one.value.replace("\\", "") for one in at.info)
    assert "licence: DINOv3 License" in offer
    assert "about 86 MB" in offer
    assert at.button(key="weights_fetch").label.startswith("Fetch 86 MB from ")
    assert "given only to those who have accepted it" in offer
    assert hub.asked == []


def test_default_weights_that_are_not_here_wait_for_a_press_too(monkeypatch, hub: Hub):
    monkeypatch.setenv("DINO_WEIGHTS", "dinov3_vits16")
    at = open_page("attention", size=SIZE)
    assert "No weights yet" in text(at)
    assert at.button(key="weights_fetch").label.startswith("Fetch 86 MB from ")
    assert hub.asked == []


def test_dinov3_by_a_name_of_the_hub_names_its_licence_too(hub: Hub):
    at = type_weights(open_page("attention", size=SIZE), "facebook/dinov3-vits16-pretrain-lvd1689m")
    (offer,) = (one.value.replace("\\", "") for one in at.info)
    assert "dinov3-license" in offer
    assert "given only to those who have accepted it" in offer
    assert hub.asked == []


def test_the_zoo_stands_in_groups_with_their_licences():
    at = open_page("attention", size=SIZE)
    groups = {one.label: one.options for one in at.sidebar.selectbox if "·" in one.label}
    assert list(groups) == [
        "DINO · Apache-2.0",
        "DINOv2 · Apache-2.0",
        "DINOv3 · DINOv3 License",
        "Others · each its licence",
    ]
    known = {entry.name for entry in ZOO.values() if entry.origin != "random"}
    assert {line.split(" · ")[0] for lines in groups.values() for line in lines} == known
    (saliency,) = (line for line in groups["Others · each its licence"] if "saliency" in line)
    assert saliency == "vits14_saliency · 90 MB · MIT"
    at.sidebar.selectbox(key="zoo_dinov2").set_value("dinov2_vits14").run()
    assert "dinov2_vits14 is not on this machine" in text(at)
    assert at.sidebar.selectbox(key="zoo_dinov2").value is None


def test_heads_that_are_said_are_in_picture_link_and_command(plain):
    at = type_weights(open_page("attention", size=SIZE), str(plain))
    assert offered_heads(at) == ["0", "1", "2", "mean", "max"]
    at.sidebar.text_input(key="weights_heads").set_value("6").run()
    assert not at.error
    assert offered_heads(at) == [*"012345", "mean", "max"]
    assert at.query_params["num_heads"] == "6"
    assert "--num-heads 6" in command(at)
    at = open_page("attention", size=SIZE, weights=str(plain), num_heads="6")
    assert offered_heads(at) == [*"012345", "mean", "max"]
    assert at.sidebar.text_input(key="weights_heads").value == "6"
    at.sidebar.selectbox(key="weights").set_value("small").run()
    assert "num_heads" not in at.query_params
    assert at.sidebar.text_input(key="weights_heads").value in ("", None)


@pytest.mark.parametrize("heads", ["7", "many"])
def test_heads_that_cannot_be_are_a_sentence_and_leave_the_picture(plain, heads):
    at = type_weights(open_page("attention", size=SIZE), str(plain))
    at.sidebar.text_input(key="weights_heads").set_value(heads).run()
    assert len(at.error) == 1
    assert offered_heads(at) == ["0", "1", "2", "mean", "max"]
    assert at.sidebar.text_input(key="weights_heads").value == heads
    assert "num_heads" not in at.query_params


def test_an_upload_of_one_channel_opens_once_it_is_said_how(plain):
    tensors = load_file(plain)
    name = next(name for name in tensors if name.endswith("patch_embed.proj.weight"))
    tensors[name] = tensors[name].sum(dim=1, keepdim=True)
    at = open_page("attention", size=SIZE)
    at.file_uploader(key="weights_file").upload("grey.safetensors", save(tensors)).run()
    assert "channel" in text(at)
    assert "a small network for tests" in shown(at)
    at.sidebar.selectbox(key="weights_channels").set_value("mean").run()
    assert not at.error, [one.value for one in at.error]
    assert "grey" in shown(at)
    assert "--channels mean" in command(at)
    assert at.query_params["channels"] == "mean"


def test_of_two_networks_that_nothing_tells_apart_one_is_chosen_by_name(tmp_path, plain):
    tensors = load_file(plain)
    path = tmp_path / "two.pth"
    torch.save({"foo": tensors, "bar": {k: 1.5 * v for k, v in tensors.items()}}, path)
    at = type_weights(open_page("attention", size=SIZE), str(path))
    (error,) = (one.value for one in at.error)
    assert "foo" in error
    assert "bar" in error
    at.sidebar.text_input(key="weights_key").set_value("bar").run()
    assert not at.error, [one.value for one in at.error]
    assert dino.load(path, key="bar").weights_sha256[:16] in text(at)
    assert "--key bar" in command(at)
    assert at.query_params["key"] == "bar"


def test_processes_get_weights_that_say_themselves_how_they_are_read(tmp_path, plain):
    session = {}
    weights_menu.add_named(str(plain), session)
    assert weights_menu.start_weights(str(plain), session) == str(plain)
    weights_menu.set_reading(str(plain), Reading(num_heads=6), session)
    written = weights_menu.start_weights(str(plain), session)
    assert written.startswith(str(tmp_path / "checkpoints"))
    as_said, by_itself = dino.load(plain, num_heads=6), dino.load(written)
    assert by_itself.num_heads == 6
    assert by_itself.fingerprint == as_said.fingerprint
    shutil.rmtree(tmp_path / "checkpoints")


def test_compare_takes_a_typed_path_and_offers_what_is_not_here(hub: Hub, plain):
    at = AppTest.from_function(page, args=("compare",), default_timeout=TIMEOUT_S)
    at.query_params["size"] = SIZE
    at.session_state["with"] = [str(plain), REPOSITORY]
    at.run()
    assert not at.exception
    assert "would come from" in text(at)
    assert hub.asked == []
    (table,) = at.dataframe
    assert list(table.value["Weights"]) == ["small", "plain"]


def test_a_run_can_start_from_a_typed_path_and_offers_what_is_not_here(hub: Hub, plain):
    def training():
        from app.ui.sidebar import choose
        from app.views.training import page as training_page

        training_page.show(choose(), lambda name: None)

    at = AppTest.from_function(training, default_timeout=TIMEOUT_S)
    at.query_params["part"] = "new"
    at.session_state["train_weights"] = REPOSITORY
    at.run()
    assert not at.exception
    assert f"{REPOSITORY} has to be fetched before a run can start from it" in text(at)
    assert hub.asked == []
    at = AppTest.from_function(training, default_timeout=TIMEOUT_S)
    at.query_params["part"] = "new"
    at.session_state["train_weights"] = str(plain)
    at.run()
    assert "has to be fetched" not in text(at)
    assert not at.error, [one.value for one in at.error]


def test_notes_stand_beside_the_description(monkeypatch, small_weights):
    from dataclasses import replace

    note = "The number of heads is not recorded; 3 heads of 16 are assumed, pass --num-heads where that is wrong."
    found = dino.load(small_weights)
    noted = replace(found, notes=(note,), description=f"{found.description} {note}")
    monkeypatch.setattr(backbones, "_backbone", lambda *_: noted)
    at = open_page("attention", size=SIZE)
    assert "3 heads of 16 are assumed, say so under Details in the sidebar where that is" in text(
        at
    )
    assert note not in shown(at)

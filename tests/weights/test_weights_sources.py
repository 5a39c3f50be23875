"""What a text names, and what is opened of addresses and of networks in memory."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from helpers import weights_cases as cases
from torch import nn

import dino
from dino.errors import DownloadError, WeightsError
from dino.weights import load_model
from dino.weights.connections import shown
from dino.weights.download import download
from dino.weights.fetching import fetch_url, is_here
from dino.weights.sources import Reference, kind_of, resolve

PLAIN = cases.canonical_vit()


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DINO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dino_vits16", Reference("zoo", "dino_vits16")),
        (" DINO_ViTS16 ", Reference("zoo", "dino_vits16")),
        ("timm:vit_small_patch16_224.dino", Reference("timm", "vit_small_patch16_224.dino")),
        ("TIMM: vit_small_patch16_224", Reference("timm", "vit_small_patch16_224")),
        ("vit_small_patch16_224.dino", Reference("timm", "vit_small_patch16_224.dino")),
        ("timm/vit_b.x", Reference("hub", "timm/vit_b.x", is_sure=False)),
        ("facebook/dinov2-small", Reference("hub", "facebook/dinov2-small", is_sure=False)),
        ("facebook/dinov2-small/", Reference("hub", "facebook/dinov2-small", is_sure=False)),
        ("org/name@v1.0", Reference("hub", "org/name", "v1.0", is_sure=False)),
        ("hf-hub:org/name@refs/pr/3", Reference("hub", "org/name", "refs/pr/3")),
        ("HF://org/name/sub/a.pth", Reference("hub", "org/name", None, "sub/a.pth")),
        ("https://huggingface.co/org/name", Reference("hub", "org/name")),
        ("https://hf.co/org/name/tree/main", Reference("hub", "org/name", "main")),
        (
            "https://huggingface.co/org/name/blob/v2/a%20b.pth?x=1",
            Reference("hub", "org/name", "v2", "a b.pth"),
        ),
        ("https://example.org/a/b.pth", Reference("url", "https://example.org/a/b.pth")),
        (
            "http://huggingface.example/org/name",
            Reference("url", "http://huggingface.example/org/name"),
        ),
        ("runs/pets.pth", Reference("file", "runs/pets.pth")),
        ("runs/PETS.PTH", Reference("file", "runs/PETS.PTH")),
        ("./runs/pets", Reference("file", "./runs/pets")),
        ("a/b/c", Reference("file", "a/b/c")),
        ("weights.safetensors", Reference("file", "weights.safetensors")),
        ("nothing-like-it", Reference("unknown", "nothing-like-it")),
    ],
)
def test_a_text_is_resolved_by_the_rules(text: str, expected: Reference) -> None:
    assert resolve(text) == expected
    assert kind_of(text) == expected.kind


def test_what_exists_on_the_disk_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "facebook" / "dinov2-small").mkdir(parents=True)
    assert resolve("facebook/dinov2-small").kind == "file"
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "mine").write_bytes(b"x")
    assert resolve("'~/mine'") == Reference("file", str(tmp_path / "home" / "mine"))


@pytest.mark.parametrize(
    "text", ["", "  ", "w" * 300, "a\nb", "a\0b", "hf-hub:onlyname", "hf-hub:a/b c"]
)
def test_what_names_nothing_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(WeightsError):
        resolve(text)


@pytest.mark.parametrize("text", ["~/net.safetensors", '"~/net.safetensors" '])
def test_a_quoted_home_is_expanded(tmp_path: Path, text: str) -> None:
    from safetensors.torch import save_file

    (tmp_path / "home").mkdir()
    save_file(PLAIN, tmp_path / "home" / "net.safetensors")
    digest = load_model(PLAIN).weights_sha256
    assert load_model(text).weights_sha256 == digest
    assert load_model(Path("~/net.safetensors")).weights_sha256 == digest
    assert is_here(text)


# --- addresses ----------------------------------------------------------------------------------


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A folder of files; /to/ADDRESS redirects there."""

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path[4:])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        super().do_GET()


@pytest.fixture
def website(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address it is served at."""
    folder = tmp_path / "website"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_address_is_fetched_once_and_announced_without_its_secrets(
    website: tuple[Path, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    torch.save(PLAIN, website[0] / "net.pth")
    url = f"{website[1]}/net.pth?signature=secret"
    assert not is_here(url)
    first = load_model(url)
    assert (first.name, first.weights_sha256) == ("net", load_model(PLAIN).weights_sha256)
    said = capsys.readouterr().err
    assert f"fetching {website[1]}/net.pth into" in said
    assert "secret" not in said
    (website[0] / "net.pth").unlink()
    assert is_here(url)
    assert load_model(url).weights_sha256 == first.weights_sha256
    # Another address of the same name is another file.
    torch.save(cases.canonical_vit(seed=1), website[0] / "net.pth")
    assert load_model(f"{website[1]}/net.pth").weights_sha256 != first.weights_sha256


def test_what_is_no_weights_at_an_address_is_not_kept(
    website: tuple[Path, str], tmp_path: Path
) -> None:
    (website[0] / "net.pth").write_bytes(b"<html>log in</html>")
    with pytest.raises(DownloadError, match="what came is not weights"):
        load_model(f"{website[1]}/net.pth")
    assert list((tmp_path / "checkpoints" / "downloads").iterdir()) == []
    with pytest.raises(DownloadError, match=r"no such file \(404\)"):
        load_model(f"{website[1]}/other.pth")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "10.1.2.3",
        "169.254.169.254",
        "[::ffff:10.0.0.1]",
        "0.0.0.0",
    ],
)
def test_private_addresses_are_refused_for_a_visitor(host: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="which is not followed from here"):
        fetch_url(f"http://{host}:9/net.pth", tmp_path, allow_private=False)


def test_redirects_to_private_addresses_are_refused(
    website: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first address counts as public here; the one it redirects to does not."""
    import dino.weights.connections as module

    real = module._check_public
    port = website[1].rpartition(":")[2]
    monkeypatch.setattr(
        module,
        "_check_public",
        lambda host, found: None if host == "127.0.0.1" else real(host, found),
    )
    torch.save(PLAIN, website[0] / "net.pth")
    fetch_url(f"{website[1]}/to//net.pth", tmp_path, allow_private=False)
    with pytest.raises(DownloadError, match="localhost is an address of a private network"):
        fetch_url(f"{website[1]}/to/http://localhost:{port}/net.pth", tmp_path, allow_private=False)
    with pytest.raises(DownloadError):
        fetch_url(f"{website[1]}/to/file:///etc/passwd", tmp_path)


def test_a_file_that_is_too_large_is_refused_before_it_comes(
    website: tuple[Path, str], tmp_path: Path
) -> None:
    (website[0] / "large.bin").write_bytes(bytes(3_000_000))
    with pytest.raises(DownloadError, match="larger than"):
        download(f"{website[1]}/large.bin", tmp_path / "large.bin", max_bytes=1_000_000)
    assert not (tmp_path / "large.bin").exists()
    assert not (tmp_path / "large.bin.part").exists()


def test_addresses_are_shown_without_password_and_query() -> None:
    assert shown("https://me:pass@host.org:8/a/b.pth?token=1#x") == "https://host.org:8/a/b.pth"


# --- networks in memory ---------------------------------------------------------------------------


def small_vit(**options: object) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(
        "vit_tiny_patch16_224", depth=2, img_size=64, num_classes=5, **options
    ).train()


def test_a_timm_model_is_copied_and_looked_into_as_it_computes() -> None:
    model = small_vit()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    backbone = dino.load(model, device="cpu", precision="fp32")
    assert model.training
    assert model.head.out_features == 5
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    image = torch.randn(1, 3, 64, 64)
    expected = model.eval().forward_features(image)
    tokens = backbone.tokens(image)
    torch.testing.assert_close(tokens.cls, expected[:, 0], atol=2e-5, rtol=0)
    torch.testing.assert_close(tokens.patches, expected[:, 1:], atol=2e-5, rtol=0)
    assert (backbone.mean, backbone.positions) == ((0.5,) * 3, "timm")  # timm's of this one
    assert backbone.name.startswith("vit_tiny_patch16_224")
    del before["head.weight"], before["head.bias"]
    assert backbone.weights_sha256 == load_model(before).weights_sha256


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile], ids=["parallel", "compiled"])
def test_what_wraps_a_model_is_taken_off(wrap) -> None:
    model = small_vit()
    assert load_model(wrap(model)).weights_sha256 == load_model(model).weights_sha256


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (nn.Linear(2, 2), r"torch\.nn\.modules\.linear\.Linear, not a timm model.*state_dict"),
        (3, "got a int; expected a name, an address, a path, a state dict or a timm model"),
        (None, "got a NoneType; expected"),
    ],
)
def test_anything_else_is_refused_with_the_way_to_open_it(source, sentence: str) -> None:
    with pytest.raises(WeightsError, match=sentence):
        load_model(source)


def test_a_network_names_its_own_architecture() -> None:
    with pytest.raises(
        WeightsError, match="names its architecture; leave arch= and num_heads= out"
    ):
        load_model(small_vit(), arch="vit_tiny_patch16_224", num_heads=3)

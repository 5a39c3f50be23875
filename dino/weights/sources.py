"""Tell what a text names: weights of the zoo, of timm, of the Hugging Face hub, at an address, or a file.

    resolve("facebook/dinov2-small").kind        # "hub"
    resolve("~/runs/teacher.safetensors").kind   # "file"

Nothing is loaded, and nothing is asked over the network. The rules, first to last: a name of the zoo; what
exists on the disk; a prefix (`timm:`, `hf-hub:`); an address; exactly one slash and no suffix of a
weights file: a name on the hub; anything else with a slash or a suffix: a file that is not there; one
word: a name timm knows.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from dino.errors import WeightsError
from dino.weights.zoo import ZOO

Kind = Literal["zoo", "timm", "hub", "url", "file", "unknown"]

SUFFIXES = (
    ".pth",
    ".pt",
    ".ckpt",
    ".bin",
    ".safetensors",
    ".onnx",
    ".tar",
    ".npz",
    ".h5",
    ".msgpack",
)
HUB = "https://huggingface.co"

_MAX_CHARS, _MAX_NAME_CHARS = 4096, 255  # of a path or an address, and of one name in it
_HUB_PREFIXES = ("hf-hub:", "hf_hub:", "hf://", "hf:")
_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_REVISION = r"refs/(?:pr|convert)/[^/@\s]+|[^/@\s]+"
_HUB_NAME = re.compile(
    rf"(?P<repo>{_PART}/{_PART})(?:@(?P<revision>{_REVISION}))?(?P<filename>(?:/{_PART})*)"
)
# The page of a repository, of one of its versions, or of a file in it.
_HUB_PAGE = re.compile(
    rf"/(?P<repo>{_PART}/{_PART})"
    rf"(?:/(?:tree|blob|resolve|raw)/(?P<revision>{_REVISION})(?P<filename>(?:/[^/]+)*))?/?"
)


@dataclass(frozen=True)
class Reference:
    """What a text names.

    Fields:
        kind: what kind of source it is; "unknown" is one word that neither the zoo nor timm knows.
        name: key of the zoo, timm's name, ORG/NAME on the hub, the address, or the path.
        revision, filename: of a hub name: the version asked for, and the one file of it; None: not said.
        is_sure: False where nothing but its one slash says that it is a hub name: it may be meant as a
            file that is not there.
    """

    kind: Kind
    name: str
    revision: str | None = None
    filename: str | None = None
    is_sure: bool = True


def kind_of(text: str) -> Kind:
    """Tell which kind of source a text is, as `resolve` does."""
    return resolve(text).kind


def resolve(text: str) -> Reference:
    """Tell what a text names, by the rules above.

    Spaces and quotes around it, the case of a name of the zoo, and a slash at its end do not matter.

    Raises:
        WeightsError: nothing was named, or the text is too long to name anything.
    """
    text = _tidy(text)
    if (name := text.casefold()) in ZOO:
        return Reference("zoo", name)
    if exists(text):
        return Reference("file", os.path.expanduser(text))
    named = _prefixed(text) or _plain_hub_name(text)
    if named is not None:
        return named
    if is_like_path(text):
        return Reference("file", os.path.expanduser(text))
    known = [name for name in (text, text.casefold()) if _timm_knows(name)]
    return Reference("timm", known[0]) if known else Reference("unknown", text)


def exists(text: str) -> bool:
    """Tell whether there is such a file or folder; a text no path can have names none."""
    try:
        return Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, a home nobody has
        return False


def is_like_hub_name(text: str) -> bool:
    """Tell whether a text has exactly one slash, none at its end counted, and no suffix of a file."""
    name = text.rstrip("/").partition("@")[0]
    is_plain = not name.startswith(("/", ".", "~")) and not name.casefold().endswith(SUFFIXES)
    return is_plain and name.count("/") == 1


def is_like_path(text: str) -> bool:
    """Tell whether a text can only be meant as a path."""
    return text.startswith("~") or "/" in text or "\\" in text or text.casefold().endswith(SUFFIXES)


def nearest(text: str) -> str:
    """Say in a clause which names are the nearest to an unknown one."""
    import timm

    near = difflib.get_close_matches(text, [*ZOO, *timm.list_models()], n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else f"zoo names: {', '.join(ZOO)}"


def _tidy(text: str) -> str:
    """Drop what people copy along: spaces and quotes around the name."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    if not text:
        raise WeightsError("no weights were named; give a name of the zoo, a file or a hub name")
    if len(text) > _MAX_CHARS or ("/" not in text and len(text) > _MAX_NAME_CHARS):
        raise WeightsError(f"{text[:40]}… is too long for a name of weights or a file")
    if not (text.isprintable() or exists(text)):
        raise WeightsError(f"{text[:40]!r} is no name of weights and no file's")
    return text


def _prefixed(text: str) -> Reference | None:
    """Read what says itself what it is: `timm:`, `hf-hub:`, an address; None for anything else."""
    lowered = text.casefold()
    if lowered.startswith("timm:"):
        return Reference("timm", text[5:].strip().strip("/").removeprefix("timm/"))
    for prefix in _HUB_PREFIXES:
        if lowered.startswith(prefix):
            return _hub_reference(text[len(prefix) :].strip().strip("/"), text)
    if lowered.startswith(("http://", "https://")):
        return _web_reference(text)
    if lowered.startswith("file:"):
        return Reference("file", url2pathname(unquote(urlsplit(text).path)))
    return None


def _plain_hub_name(text: str) -> Reference | None:
    found = _HUB_NAME.fullmatch(text.rstrip("/")) if is_like_hub_name(text) else None
    if found is None:
        return None
    return Reference("hub", found["repo"], found["revision"], is_sure=False)


def _hub_reference(text: str, whole: str) -> Reference:
    """Read ORG/NAME, ORG/NAME@REVISION, and either with /FILE."""
    found = _HUB_NAME.fullmatch(text)
    if found is None:
        raise WeightsError(
            f"{whole!r} does not name a repository of the hub; expected hf-hub:ORG/NAME, "
            "hf-hub:ORG/NAME@REVISION or hf-hub:ORG/NAME/FILE"
        )
    return Reference("hub", found["repo"], found["revision"], found["filename"].lstrip("/") or None)


def _web_reference(url: str) -> Reference:
    """Take the pages and files of the hub as names on it, so that its cache, licences and tokens count."""
    parts = urlsplit(url)
    hosts = {urlsplit(HUB).netloc, "hf.co", "www.huggingface.co", urlsplit(endpoint()).netloc}
    found = _HUB_PAGE.fullmatch(parts.path) if parts.netloc in hosts else None
    if found is None or found["repo"].startswith(("datasets/", "spaces/", "api/")):
        return Reference("url", url)
    filename = unquote((found["filename"] or "").strip("/"))
    return Reference("hub", found["repo"], found["revision"], filename or None)


def endpoint() -> str:
    """Give the address of the hub, without a slash at its end; HF_ENDPOINT names another."""
    return (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")


def _timm_knows(text: str) -> bool:
    if not re.fullmatch(r"[\w.-]+", text):
        return False
    import timm

    return bool(timm.is_model(text))

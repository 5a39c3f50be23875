"""Fetch weights from the Hugging Face hub, through its own client and cache, without long waits when offline.

    find("facebook/dinov2-small")                 # what is in the cache, without asking anybody
    fetch_repository("facebook/dinov2-small", say=print)

Of a repository come the weights and the JSON files that say what they are, and nothing else. What is in
the cache is not asked for again. Tokens are read where the client reads them, and are in no message.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from dino.errors import DownloadError, WeightsError
from dino.system.files import parse_json
from dino.weights.connections import look_up
from dino.weights.sources import endpoint

Announce = Callable[[str], None]

_CONNECT_TIMEOUT_S = 3.0
_HEAD_TIMEOUT_S = 5.0
_PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
# What repositories of vision models hold, the best first: each a whole set of weights, or its index.
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
)
_BESIDE = ("config.json", "preprocessor_config.json")
_WHERE_A_LOGIN_IS = "it is read from HF_TOKEN, or from where `hf auth login`, once `huggingface-cli login`, keeps it"
_LICENCES = {
    "dinov3-license": "DINOv3 License, https://ai.meta.com/resources/models-and-libraries/dinov3-license",
}


@dataclass(frozen=True)
class Repository:
    """A repository of the hub: ORG/NAME, the version of it (None: its main one), and the one file of it
    that is meant (None: its weights)."""

    name: str
    revision: str | None = None
    filename: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{self.name}{revision}" + (f"/{self.filename}" if self.filename else "")

    @property
    def page(self) -> str:
        """Give the address of the page that shows the licence and asks to accept it."""
        return f"{endpoint()}/{self.name}"


def hub_host() -> str:
    """Name the hub, for sentences."""
    return urlsplit(endpoint()).netloc


def licence_words(licence: str | None) -> str:
    """Name a licence as its owner does, with the address of its text where that is known."""
    return _LICENCES.get(licence or "", licence or "see its model card")


def find(repository: Repository) -> Path | None:
    """Find the weights of a repository in the cache: one file, or the index whose files are all there."""
    for filename in _names(repository):
        found = _cached(repository, filename)
        if found is None:
            continue
        if not filename.endswith(".index.json"):
            return found
        if all(_cached(repository, shard) for shard in _shards(found)):
            return found
    return None


def fetch_repository(
    repository: Repository, *, say: Announce, what: str = "", is_described: bool = False
) -> Path:
    """Make sure the weights of a repository are in the cache, with the JSON files beside them.

    Args:
        say: called with one line before anything is fetched: what, from where, how large.
        what: said of the weights in that line; default: where their licence is.
        is_described: the weights are known, and nothing that describes them is fetched.
    Returns:
        The weights' file, or their index; what describes them lies in the same folder.
    Raises:
        DownloadError: not in the cache and not to be had, with the reason and the remedy.
        WeightsError: a repository without weights of a kind that is read here.
    """
    found = find(repository)
    if found is not None and (is_described or _is_described(repository)):
        return found
    if is_offline() or not _is_reachable():
        if found is not None:
            return found
        raise DownloadError(f"{repository}: {_away()}")
    with _one_sentence(repository):
        say(f"looking for {repository} on {hub_host()}")
        if found is None:
            found = _fetch_weights(repository, what or f"licence: see {repository.page}", say)
        for beside in () if is_described else _BESIDE:
            _download_if_there(repository, beside)
    return found


def _fetch_weights(repository: Repository, what: str, say: Announce) -> Path:
    """Fetch weights that are not in the cache, after a line that says so."""
    filename, num_bytes = _choose(repository)
    shards: list[str] = []
    if filename.endswith(".index.json"):  # small, and says what all its files have
        index = _download(repository, filename)
        shards, num_bytes = _shards(index), _total_size(index)
    size = "" if num_bytes is None else f", about {num_bytes / 1e6:,.{int(num_bytes < 1e7)}f} MB"
    count = f", {len(shards)} files" if shards else ""
    say(f"fetching {repository} from {hub_host()} ({filename}{count}{size}): {what}")
    for shard in shards:
        _download(repository, shard)
    return _download(repository, filename)


def is_offline() -> bool:
    """Tell whether the environment asks for no network (HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE)."""
    from huggingface_hub import constants

    asked = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    on = any(value.upper() in ("1", "ON", "YES", "TRUE") for value in asked)
    return on or bool(constants.HF_HUB_OFFLINE)


def sha256_of(path: Path) -> str | None:
    """Read the sha256 of a file in the cache off the name of what it links to; None for small files,
    which are named otherwise."""
    name = path.resolve().name
    return name if re.fullmatch(r"[0-9a-f]{64}", name) else None


def _names(repository: Repository) -> tuple[str, ...]:
    return _WEIGHTS if repository.filename is None else (repository.filename,)


def _cached(repository: Repository, filename: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    with contextlib.suppress(ValueError):  # no name of a repository
        found = try_to_load_from_cache(repository.name, filename, **_version(repository))
        return Path(found) if isinstance(found, str) else None
    return None


def _is_described(repository: Repository) -> bool:
    """Tell whether config.json is in the cache, or known not to exist."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository.name, "config.json", **_version(repository))
    return found is not None


def _version(repository: Repository) -> dict[str, str]:
    return {} if repository.revision is None else {"revision": repository.revision}


def _shards(index: Path) -> list[str]:
    """List the files that an index of weights names.

    Raises:
        WeightsError: the index cannot be read, or names a file that is not beside it.
    """
    try:
        names = sorted(set(parse_json(index.read_bytes())["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index}: not an index of weights; fetch it again") from error
    for name in names:
        if not isinstance(name, str) or PurePosixPath(name).name != name or name == "..":
            raise WeightsError(f"{index}: names the file {name!r}, which is not beside it")
    return names


def _total_size(index: Path) -> int | None:
    """Read the bytes of all tensors that an index speaks of, None where it does not say."""
    metadata = parse_json(index.read_bytes()).get("metadata")
    size = metadata.get("total_size") if isinstance(metadata, dict) else None
    return int(size) if isinstance(size, int | float) else None


def _choose(repository: Repository) -> tuple[str, int | None]:
    """Choose what to fetch: the first kind of weights there is, and its bytes where the hub says them.

    Raises:
        WeightsError: there is none; what there is instead is named.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    for filename in _names(repository):
        url = hf_hub_url(
            repository.name, filename, revision=repository.revision, endpoint=endpoint()
        )
        try:
            found = get_hf_file_metadata(url, timeout=_HEAD_TIMEOUT_S, endpoint=endpoint())
        except EntryNotFoundError:
            continue
        except HfHubHTTPError as error:
            if type(error) is HfHubHTTPError and _status(error) == 404:
                continue
            raise
        # Of an index the size is that of a list of names.
        return filename, None if filename.endswith(".index.json") else found.size
    raise WeightsError(f"{repository}: {_nothing_there(repository)}")


def _nothing_there(repository: Repository) -> str:
    """Say what a repository without the wanted weights holds instead."""
    from huggingface_hub import HfApi

    if repository.filename is not None:
        return f"{hub_host()} has no such file in {repository.name}; look at {repository.page}"
    try:
        names = HfApi(endpoint=endpoint()).list_repo_files(
            repository.name, revision=repository.revision
        )
    except (
        Exception
    ):  # the client raises what its HTTP library does; without a list there is less to say
        names = []
    held = [
        name for name in names if name.endswith((".pth", ".pt", ".ckpt", ".bin", ".safetensors"))
    ]
    if held:
        return (
            f"holds no {_WEIGHTS[0]} or {_WEIGHTS[2]}, but {', '.join(held[:3])}; name the one that is "
            f"meant, as hf-hub:{repository.name}/{held[0]}"
        )
    return f"holds no weights for PyTorch; look at {repository.page} for another repository"


def _download(repository: Repository, filename: str) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(
        hf_hub_download(
            repository.name,
            filename,
            revision=repository.revision,
            endpoint=endpoint(),
            etag_timeout=_HEAD_TIMEOUT_S,
        )
    )


def _download_if_there(repository: Repository, filename: str) -> None:
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    try:
        _download(repository, filename)
    except EntryNotFoundError:
        return
    except HfHubHTTPError as error:
        if _status(error) != 404:
            raise


@contextlib.contextmanager
def _one_sentence(repository: Repository) -> Iterator[None]:
    """Turn what the hub's client raises into one sentence, without its addresses and tokens.

    Raises:
        DownloadError: whatever went wrong, with what to do.
    """
    from huggingface_hub.errors import HFValidationError

    try:
        yield
    except WeightsError:
        raise
    except HFValidationError as error:
        raise WeightsError(f"{repository}: no name a repository can have") from error
    except Exception as error:  # the client lets through what its HTTP libraries raise, by turns
        raise DownloadError(f"{repository}: {_reason(error, repository)}") from error


def _reason(error: Exception, repository: Repository) -> str:
    """Say in a clause why the hub did not give a file, and what to do."""
    from huggingface_hub import errors

    host, status = hub_host(), _status(error)
    name, page = repository.name, repository.page
    # The client's kinds of error, each before those it belongs to as well.
    known = {
        errors.GatedRepoError: f"gated: {host} gives it to those who have accepted its licence on {page}; "
        f"accept it there, then run again with a token ({_WHERE_A_LOGIN_IS})",
        errors.RevisionNotFoundError: f"{host} has no version {repository.revision or 'main'} of {name}; look "
        f"at {page}",
        errors.RepositoryNotFoundError: f"{host} has no such repository, or it is private; check the name, "
        f"or give a token ({_WHERE_A_LOGIN_IS})",
        errors.LocalEntryNotFoundError: f"the connection to {host} was cut; run again, which goes on from "
        "where it stopped",
        errors.EntryNotFoundError: f"{host} has no such file in {name}; look at {page}",
    }
    for kind, words in known.items():
        if isinstance(error, kind):
            return words
    if status in (401, 403):
        return f"{host} does not give it without a token that may read it ({status}; {_WHERE_A_LOGIN_IS})"
    if status is not None:
        return f"{host} answered with status {status}; try again later"
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return f"cannot be kept in the cache ({error.strerror}); free space or set HF_HOME"
    return (
        f"the connection to {host} was cut or fell silent ({type(error).__name__}); run again, which "
        "goes on from where it stopped"
    )


def _status(error: BaseException) -> int | None:
    response: Any = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return status if isinstance(status, int) else None


def _away() -> str:
    """Say why nothing can be fetched now."""
    if is_offline():
        return "HF_HUB_OFFLINE is set and the weights are not in the Hugging Face cache; unset it, or give a file"
    return (
        "the Hugging Face hub cannot be reached and the weights are not in its cache; connect and run "
        "again, or give a file"
    )


def _is_reachable() -> bool:
    """Tell whether a connection opens at all; the hub's client would retry for most of a minute."""
    if any(os.environ.get(name) for name in _PROXIES):
        return True  # the proxy resolves names; let the client try
    parts = urlsplit(endpoint())
    try:
        port = parts.port or (80 if parts.scheme == "http" else 443)
        look_up(parts.hostname or "", port, _CONNECT_TIMEOUT_S)
        socket.create_connection((parts.hostname or "", port), _CONNECT_TIMEOUT_S).close()
    except (OSError, ValueError):
        return False
    return True

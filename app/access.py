"""What others on the network may do with this server: look, but not work on its machine.

A server that listens beyond its own machine (`make app HOST=0.0.0.0`, for a class) takes photos and
weights into browser sessions, less of them and smaller ones. Training, films, folders of the machine
and anything else that puts an upload on its disk are off there, unless it was started with
`ALLOW_TRAINING=1`.
"""

import ipaddress
import math
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dino.errors import TooLargeError, UserError

OFF = (
    "This server is open to the network, so it trains nothing and reads no folders; whoever runs it "
    "can start it with ALLOW_TRAINING=1, or open it on the machine itself (HOST=127.0.0.1)"
)


@dataclass(frozen=True)
class SessionLimits:
    """What one browser session may take of this machine: checkpoints of its own and the MB of each, and
    patches of a picture, whose work grows with their square while others wait; None: as many as
    `dino.model.limits` takes."""

    opened_weights: int
    weights_mb: int
    patches: int | None


_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 (compared with, not listened on)
ALONE = SessionLimits(opened_weights=2, weights_mb=1024, patches=None)
# ViT-B/16 in float32 has 345 MB; 4,096 patches are 1,024 px at patch 16, some seconds on a CPU.
SHARED = SessionLimits(opened_weights=1, weights_mb=400, patches=4096)


def session_limits() -> SessionLimits:
    """Return the limits of this server: lower where others can reach it."""
    return ALONE if may_work() else SHARED


def check_patches(grid: tuple[int, int], size: int) -> None:
    """Refuse a picture of more patches than a session may have computed.

    Args:
        grid: (rows, columns) that the photo has at `size` px.
    Raises:
        TooLargeError: with a size that is taken.
    """
    most, patches = session_limits().patches, grid[0] * grid[1]
    if most is not None and patches > most:
        fitting = int(size * math.sqrt(most / patches))
        raise TooLargeError(
            f"{size} px means {patches:,} patches, and this server, which others share, takes "
            f"{most:,}; choose {fitting} px or less"
        )


def listens_beyond(address: str | None) -> bool:
    """Tell whether a server at an address can be reached from other machines; None is every address."""
    if not address:
        return True
    if address == "localhost" or address.startswith("unix://"):
        return False
    try:
        return not ipaddress.ip_address(address).is_loopback
    except ValueError:  # a host name
        return True


def may_work() -> bool:
    """Tell whether this server starts processes and reads and writes folders of its machine."""
    allowed = os.environ.get("ALLOW_TRAINING") == "1"
    return allowed or not listens_beyond(st.get_option("server.address"))


def require_work() -> None:
    """Raise a `UserError` where `may_work` says no."""
    if not may_work():
        raise UserError(OFF)


def for_work(view: Callable[..., None]) -> Callable[..., None]:
    """Guard a page that reads or writes folders of the machine: where it may not, it says so instead."""

    def guarded(*arguments: Any) -> None:
        if may_work():
            view(*arguments)
        else:
            st.info(OFF + ".", icon=":material/lock:")

    return guarded


def reachable_address(address: str) -> str:
    """Return the address that others open: `address` itself, or this machine's own where it stands for
    all.

    Nothing is sent: a datagram socket only looks up which way it would go.
    """
    if address not in _EVERY_ADDRESS:
        return address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        try:
            datagrams.connect(("198.51.100.1", 9))  # reserved for documentation
            return str(datagrams.getsockname()[0])
        except OSError:
            return socket.gethostname()


def own_names(address: str) -> list[str]:
    """List the names that a server at an address answers to: its own, this machine's, and from the machine
    itself; a name that somebody else has point here is none of them."""
    machine = socket.gethostname()
    names = [reachable_address(address), machine, f"{machine}.local", socket.getfqdn()]
    if address in _EVERY_ADDRESS:
        with suppress(OSError):
            names += [str(info[4][0]) for info in socket.getaddrinfo(machine, None)]
    return list(dict.fromkeys([*names, "127.0.0.1", "localhost", "::1"]))


def options(address: str) -> list[str]:
    """Write the words for `streamlit run` at an address that others can reach; names in
    STREAMLIT_SERVER_ALLOWED_HOSTS, which whoever starts it sets, are added to its own."""
    names = [*own_names(address), *os.environ.get("STREAMLIT_SERVER_ALLOWED_HOSTS", "").split()]
    hosts = [word for name in names for word in ("--server.allowedHosts", name)]
    return ["--browser.serverAddress", reachable_address(address), *hosts]


if __name__ == "__main__":
    print(*options(sys.argv[1]))

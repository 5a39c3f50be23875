"""Python reads this at its start where PYTHONPATH names this folder: a line in DINO_NOTES for every
connection, and every look-up of a name, that leaves this machine; also in the processes it starts."""

import os
import sys

NOTES = os.environ.get("DINO_NOTES")


def _watch(event: str, arguments: tuple) -> None:
    if event in ("socket.connect", "socket.sendto"):
        host = arguments[1][0] if isinstance(arguments[1], tuple) else ""
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else str(host or "")
    if host and not host.startswith("127.") and host not in ("localhost", "::1", "0.0.0.0", "::"):
        with open(NOTES, "a") as file:
            file.write(f"connect {host} ({event}, {' '.join(sys.argv[:3])})\n")


if NOTES:
    sys.addaudithook(_watch)

"""Measure every row of the table of speed on this machine.

    python -m bench [--only 1,2,growth --device cpu --repeats 5 --tiny --out docs]

Each row runs in a process of its own, so that a failure, a crash or a lack of memory costs that row only;
what is done is kept in OUT/speed.json as it goes, and `--only` measures some rows anew. OUT/speed.md and
OUT/speed.svg are made from it.
"""

import argparse
import sys
from pathlib import Path

from dino.system.processes import let_idle_threads_sleep

let_idle_threads_sleep()

from bench import child, page, record  # noqa: E402
from bench.table import BY_NUMBER, SECTIONS  # noqa: E402

_ROOT = Path(__file__).resolve().parents[1]


def selected(only: str | None) -> list[str]:
    """List the names of rows and sections to measure, in the table's order.

    Raises:
        SystemExit: a name that does not exist.
    """
    known = [*map(str, BY_NUMBER), *SECTIONS]
    if only is None:
        return known
    wanted = [name.strip() for name in only.split(",")]
    for name in wanted:
        if name not in known:
            raise SystemExit(f"error: --only got {name!r}; expected some of {', '.join(known)}")
    return [name for name in known if name in wanted]


def main(arguments: list[str] | None = None) -> int:
    """Measure, keep what was found, write the page; 1 if a row failed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="rows and sections, such as 1,2,17,growth")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default=None, help="default: cuda if there"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--tiny", action="store_true", help="tiny sizes: whether it works, not how fast"
    )
    parser.add_argument("--out", type=Path, default=_ROOT / "docs")
    parser.add_argument("--limit", type=int, default=420, help="seconds a row may take")
    given = parser.parse_args(arguments)
    if given.repeats < 1:
        raise SystemExit(f"error: --repeats is {given.repeats}; expected 1 or more")
    given.out.mkdir(parents=True, exist_ok=True)
    kept = record.Record(given.out / "speed.json")
    failed = False
    for name in selected(given.only):
        print(f"{name} …", flush=True)
        found = child.measure(
            name, device=given.device, tiny=given.tiny, repeats=given.repeats, limit_s=given.limit
        )
        kept.put(name, found)
        page.write(kept.content, given.out)
        failed |= found["status"] == child.FAILED
        print(f"  {page.summary(name, found)}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

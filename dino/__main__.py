"""The command line: `python -m dino --help`, or `dino --help` where the package is installed.

    python -m dino attend photo.jpg --weights dino_vits16 --size 480 --mass 0.6 --out out
    python -m dino weights fetch default

Exit codes: 0 all worked, 1 some inputs failed (each named), 2 wrong use.
"""

from dino.cli.main import run
from dino.system.processes import let_idle_threads_sleep


def main() -> None:
    """Run the command line."""
    let_idle_threads_sleep()
    run()


if __name__ == "__main__":
    main()

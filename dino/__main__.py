"""The command line: `python -m dino --help`.

    python -m dino attend photo.jpg --weights dino_vits16 --size 480 --mass 0.6 --out out
    python -m dino weights fetch default

Exit codes: 0 all worked, 1 some inputs failed (each named), 2 wrong use.
"""

from dino.cli.main import run
from dino.system.processes import let_idle_threads_sleep

if __name__ == "__main__":
    let_idle_threads_sleep()
    run()

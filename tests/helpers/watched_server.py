"""`streamlit run …` that notes every load of weights as a line `load SOURCE` in the file DINO_NOTES.

python tests/helpers/watched_server.py run app/server.py …
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dino import weights
from dino.system.processes import let_idle_threads_sleep


def count_loads() -> None:
    """Have `dino.weights.load` say what it loads."""
    real = weights.load

    def load(source, **options):
        with open(os.environ["DINO_NOTES"], "a") as file:
            file.write(f"load {source}\n")
        return real(source, **options)

    weights.load = load


if __name__ == "__main__":
    let_idle_threads_sleep()
    count_loads()
    from streamlit.web.cli import main

    main(prog_name="streamlit")

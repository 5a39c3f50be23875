"""How the threads of numerical libraries wait for each other; for entry points, before torch loads."""

import os


def wait_politely() -> None:
    """Let idle OpenMP threads sleep instead of spin, unless the user has chosen otherwise.

    Spinning is a little quicker on an idle machine and ruinous on a busy one. A ViT-S/14 forward at
    480 px in bfloat16 on 2 cores: alone 0.23 s spinning and 0.28 s sleeping; beside one busy process
    5.1 to 5.7 s spinning and 0.25 to 0.36 s sleeping. Two people in one app are such a machine.
    Must run before torch is imported, which reads the variable once.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

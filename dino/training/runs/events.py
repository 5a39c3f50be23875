"""TensorBoard events of a run, where tensorboard is installed: `tensorboard --logdir RUN`."""

from pathlib import Path
from typing import Any


class Events:
    """Writes numbers by step."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, values: dict[str, Any]) -> None:
        """Every number of a line of metrics, at its `step`."""
        for name, value in values.items():
            if name != "step":
                self._writer.add_scalar(name, value, values["step"])
        self._writer.flush()


def open_events(run: Path) -> Events | None:
    """A writer into RUN/tensorboard, or None without the package."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return Events(SummaryWriter(str(run / "tensorboard")))

"""`embed_photos`: a folder or a ZIP of photos → features on disk, resumable and incremental.

OUT/{features.npz, features.parquet, thumbnails.npz, settings.json, progress.json, parts/}

Each batch is kept as soon as it is done, so that an interrupted run goes on where it stopped. It then
makes the same batches as one that was not interrupted, and so, on one machine with the same number of
threads, the same bits. The last bits of a feature may depend on the batch it was made in: a photo that
is added later can differ there from what a run over everything would give.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from dino.features.folder.files import NO_PARQUET, write_features
from dino.features.folder.jobs import EmbeddingProgress, EmbeddingProgressWriter
from dino.features.folder.planning import Plan, list_photos, make_plan
from dino.features.folder.preparation import (
    InputFormat,
    PhotoRow,
    Preparation,
    Prepared,
    read_prepared,
)
from dino.features.folder.store import (
    PartStore,
    find_photo_root,
    only_writer,
    read_or_create_settings,
)
from dino.model.backbone import Backbone
from dino.model.limits import check_fits
from dino.system.signals import stop_on_signal
from dino.system.words import counted

PARTS = "parts"


@dataclass(frozen=True)
class EmbedResult:
    """How an embedding ended: photos with features, those computed now, taken over and dropped; the
    `unreadable` ones as (name, problem); whether it was `stopped` before the end, and its speed."""

    num_photos: int
    num_new: int
    num_kept: int
    num_removed: int
    unreadable: tuple[tuple[str, str], ...]
    stopped: bool
    seconds: float

    @property
    def images_per_s(self) -> float:
        return self.num_new / max(self.seconds, 1e-9)


def embed_photos(
    backbone: Backbone,
    photos: str | Path,
    out: str | Path,
    *,
    preparation: Preparation | None = None,
    batch_size: int = 32,
    workers: int = 2,
    progress: Callable[[EmbeddingProgress], None] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> EmbedResult:
    """Compute CLS features of all photos below a folder or in a ZIP, into `out`.

    Args:
        photos: folder, searched with its sub-folders, or a ZIP, which is unpacked below `out`.
        out: folder of the results; what it holds of these photos already is not computed again.
        preparation: how photos become inputs; default: the paper's centre crop of 224 px.
        batch_size: photos a forward; those of one size share one.
        workers: processes that read photos; 0 reads in this one. The result is the same.
        progress: called after each batch.
        say: called with lines on what was found.
    Raises:
        UserError: no photos, a ZIP that is not taken, an `out` that holds features of other weights
            or settings or is being written by another process, too large a size, or a full disk.
    """
    preparation, out, started = preparation or Preparation(), Path(out), time.monotonic()
    check_fits(
        backbone, (preparation.size,) * 2, size=preparation.size, fit="stretch", batch=batch_size
    )
    with only_writer(out), stop_on_signal() as stop:
        settings = read_or_create_settings(out, backbone, preparation)
        root = find_photo_root(Path(photos), out)
        store = PartStore(out / PARTS, say)
        known = store.rows()
        plan = make_plan(list_photos(root), known)
        _say_plan(plan, say)
        total = len(plan.names)
        reporter = EmbeddingProgressWriter(out, done=plan.num_known, total=total, listener=progress)
        try:
            reading = {"batch_size": batch_size, "workers": min(workers, len(plan.todo))}
            batches = _batches(backbone, plan, preparation, stop, **reading)
            rows = _known_rows(plan, known, store)
            for batch in batches if plan.todo else ():
                store.append(batch)
                rows |= {row.name: row for row in batch}
                reporter.add_batch(len(batch), sum(bool(row.problem) for row in batch))
                if stop[0]:
                    break
            if len(rows) == total:
                readable = [rows[name] for name in plan.names if not rows[name].problem]
                if not write_features(out, readable, settings):
                    say(NO_PARQUET)
                if plan.changes or len(store) > 1:
                    store.replace(rows[name] for name in plan.names)  # without those that are gone
        except BaseException as error:
            reporter.end("failed", str(error) or type(error).__name__)
            raise
        result = _result(plan, rows, started)
        reporter.end("stopped" if result.stopped else "finished")
    return result


def _known_rows(plan: Plan, known: dict[str, PhotoRow], store: PartStore) -> dict[str, PhotoRow]:
    """Collect the rows that need no network, by name; those of touched or moved files are stored
    anew."""
    if plan.again:
        store.append(plan.again)
    return {name: known[name] for name in plan.kept} | {row.name: row for row in plan.again}


def _batches(
    backbone: Backbone,
    plan: Plan,
    preparation: Preparation,
    stop: list[bool],
    **reading: int,
) -> Iterator[list[PhotoRow]]:
    """Compute rows of the photos to do, a batch at a time; `reading` goes to `read_prepared`."""
    try:
        for photos in read_prepared(plan.todo, preparation, InputFormat.of(backbone), **reading):
            yield forward_batch(backbone, photos)
    except RuntimeError as error:
        if stop[0] and "worker" in str(error):  # SIGTERM to the whole group ended them first
            return
        raise


def forward_batch(backbone: Backbone, photos: list[Prepared]) -> list[PhotoRow]:
    """Compute features of a batch, photos of one size together."""
    rows = [row for row, _ in photos]
    by_shape: dict[tuple[int, ...], dict[int, np.ndarray]] = {}
    for place, (_, image) in enumerate(photos):
        if image is not None:
            by_shape.setdefault(image.shape, {})[place] = image
    for images in by_shape.values():
        batch = torch.from_numpy(np.stack(list(images.values())))
        features = backbone.tokens(batch).cls.cpu().float().numpy()
        for place, feature in zip(images, features, strict=True):
            rows[place] = replace(rows[place], feature=feature)
    return rows


def _result(plan: Plan, rows: dict[str, PhotoRow], started: float) -> EmbedResult:
    found = [rows[name] for name in plan.names if name in rows]
    known = plan.num_known
    return EmbedResult(
        num_photos=sum(not row.problem for row in found),
        num_new=len(found) - known,
        num_kept=known,
        num_removed=len(plan.removed),
        unreadable=tuple((row.name, row.problem) for row in found if row.problem),
        stopped=len(found) < len(plan.names),
        seconds=time.monotonic() - started,
    )


def _say_plan(plan: Plan, say: Callable[[str], None]) -> None:
    counts = {
        "to compute": len(plan.todo),
        "known": plan.num_known,
        "gone": len(plan.removed),
    }
    words = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    say(f"{counted(len(plan.names), 'photo')}: {words}")

"""Every door that a file comes in by, tried with damaged files: the child of test_reliability_fuzz.

    python tests/helpers/fuzz_doors.py FOLDER SEED FIRST LAST

Makes one valid file a door below FOLDER, then cases FIRST to LAST − 1: the number picks the door and,
with SEED, the edits. A line is printed before each case and after it, so that who watches knows which
one was at work. What comes out must be a result or a `UserError`; anything else is printed as a fault.
"""

import io
import json
import pickle
import random
import shutil
import sys
import tarfile
import traceback
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pillow_heif
import torch
from PIL import Image
from safetensors.torch import save_file

from dino.annotation.overview import Overview
from dino.annotation.session import open_session
from dino.errors import UserError
from dino.evaluation.ground_truth import read_ground_truth
from dino.evaluation.summary.history import read_histories
from dino.evaluation.summary.sections import build_sections
from dino.features.cache import FeatureCache
from dino.features.folder import files as features
from dino.features.folder import jobs as embedding_jobs
from dino.features.folder.preparation import PhotoRow
from dino.features.folder.store import PartStore
from dino.masks.coco import decode_outline, read_coco
from dino.masks.reference import read_reference
from dino.masks.settings import MaskSettings
from dino.media import archive, regions
from dino.media.images import decode
from dino.media.shards import open_shards
from dino.media.video_reading import VideoLimits, probe, read_frames
from dino.media.video_writing import write_mp4
from dino.training.config import TrainConfig
from dino.training.loop import fit
from dino.training.probes.filmstrip import read_filmstrip
from dino.training.runs import checkpoint
from dino.training.runs.folder import read_run
from dino.training.runs.listing import list_runs
from dino.video.film import jobs as film_jobs
from dino.video.film.making import read_result
from dino.video.tracking import read_first_mask
from dino.weights import load_model
from dino.weights.opening import holds_student_and_teacher
from helpers import annotation_cases, report_cases, training_cases, weights_cases
from helpers import fuzz_edits as edits

Edit = Callable[[bytes, random.Random], bytes]
_VIDEO = VideoLimits(max_bytes=10**7, max_frames=100, max_pixels=10**6)
_BYTES: tuple[Edit, ...] = (edits.of_bytes,)
_JSON: tuple[Edit, ...] = (edits.of_bytes, edits.of_json, edits.of_json, edits.deep_json)
_NPZ: tuple[Edit, ...] = (edits.of_bytes, edits.inside_zip(edits.of_bytes))


@dataclass(frozen=True)
class Door:
    """A valid `file`, how it is damaged, and who reads it: `enter(path of the file)`."""

    file: Path
    enter: Callable[[Path], Any]
    how: tuple[Edit, ...] = _BYTES


def all_doors(folder: Path) -> dict[str, Door]:
    """Make every door by name, with its valid file below the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    makers = (
        _images,
        _videos,
        _weights,
        _training,
        _annotation,
        _embedding,
        _evaluation,
        _archives,
    )
    return {name: door for make in makers for name, door in make(folder).items()}


def _rgb() -> np.ndarray:
    y, x = np.mgrid[0:48, 0:64]
    return np.stack([40 + x * 3, 30 + y * 4, 200 - x - y], -1).astype(np.uint8)


def _written(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def _encoded(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    if kind == "HEIF":
        pillow_heif.from_pillow(Image.fromarray(_rgb())).save(buffer, quality=80)
    else:
        Image.fromarray(_rgb()).save(buffer, kind, **options)
    return buffer.getvalue()


def _images(folder: Path) -> dict[str, Door]:
    kinds = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
    found = {}
    for kind in kinds:
        path = _written(folder / "images" / kind, _encoded(kind))
        found[f"photo {kind}"] = Door(path, lambda p: decode(p.read_bytes(), max_pixels=10**6))
    for kind in ("PNG", "TIFF", "HEIF"):
        path = _written(folder / "references" / kind, _encoded(kind))
        found[f"reference {kind}"] = Door(
            path, lambda p: read_reference(p.read_bytes(), shape=(48, 64))
        )
    labels = Image.fromarray((_rgb()[..., 0] // 90).astype(np.uint8))
    (folder / "labels").mkdir()
    for suffix in ("png", "tif", "gif"):
        labels.save(folder / "labels" / f"first.{suffix}")
        found[f"first mask {suffix}"] = Door(folder / "labels" / f"first.{suffix}", read_first_mask)
    return found


def _videos(folder: Path) -> dict[str, Door]:
    (folder / "videos").mkdir()
    frames = [np.roll(_rgb(), 3 * shift, axis=1) for shift in range(8)]
    mp4 = folder / "videos" / "clip.mp4"
    write_mp4(iter(frames), mp4, fps=12)
    pictures = [Image.fromarray(frame) for frame in frames]
    gif = folder / "videos" / "clip.gif"
    pictures[0].save(gif, save_all=True, append_images=pictures[1:], duration=80)

    def watch(path: Path) -> None:
        probe(path.read_bytes(), limits=_VIDEO)
        for _ in read_frames(str(path), limits=_VIDEO):
            pass

    return {f"video {path.suffix}": Door(path, watch) for path in (mp4, gif)}


def _weights(folder: Path) -> dict[str, Door]:
    root = folder / "weights"
    root.mkdir()
    state = weights_cases.canonical_vit()
    save_file(state, root / "plain.safetensors", metadata={"grid": "[3, 3]", "mean": "[0, 0, 0]"})
    torch.save(weights_cases.original_full(state, state), root / "full.pth")
    torch.save(state, root / "legacy.pth", _use_new_zipfile_serialization=False)
    weights_cases.onnx_dinov2(weights_cases.canonical_vit(layer_scale=True), root / "net.onnx")
    hub = root / "hub"
    hub.mkdir()
    save_file(weights_cases.hugging_face_vit(state), hub / "model.safetensors")
    for name, values in (
        ("config.json", {"num_attention_heads": 2, "image_size": 12, "patch_size": 4}),
        ("preprocessor_config.json", {"image_mean": [0.5, 0.4, 0.3], "image_std": [1, 1, 1]}),
    ):
        _written(hub / name, json.dumps(values))

    def both(path: Path) -> None:
        holds_student_and_teacher(path)
        load_model(path)

    header = (edits.of_bytes, edits.of_safetensors_header)
    return {
        "weights safetensors": Door(root / "plain.safetensors", load_model, header),
        "weights torch": Door(root / "full.pth", both, _NPZ),
        "weights legacy": Door(root / "legacy.pth", both),
        "weights onnx": Door(root / "net.onnx", load_model),
        **{
            f"weights {name}": Door(hub / name, lambda p: load_model(p.parent), _JSON)
            for name in ("config.json", "preprocessor_config.json")
        },
    }


def _run_of(folder: Path) -> Path:
    """Make a finished run with everything a run can have, in a folder of runs."""
    (folder / "photos").mkdir()
    photos = training_cases.write_photos(folder / "photos", 8)
    config = replace(training_cases.TINY, save_every=1, keep=2, max_steps=2)
    film = (photos / "a" / "00.png",)
    run = fit(config, photos, folder / "runs" / "mine", film=film, workers=0, say=lambda _: None)
    _written(run / "launch.json", json.dumps({"pid": 999_999, "start_time": "1", "num_photos": 8}))
    return run


def _training(folder: Path) -> dict[str, Door]:
    run = _run_of(folder)
    newest = checkpoint.list_checkpoints(run / "checkpoints")[0]
    newest.with_suffix(".sha256").unlink()  # or the digest alone would refuse everything

    def look(path: Path) -> None:
        root = path.parent.parent
        assert list_runs(root) is not None
        _list_on_the_command_line(root)
        read_run(path.parent)

    def config(path: Path) -> None:
        from dino.cli.train import chosen_config

        chosen_config(None, path, None, ["epochs=3"], 9)

    strip = run / "filmstrip" / "epoch-0000" / "attention.npz"
    names = ("config.json", "data.json", "state.json", "environment.json", "launch.json")
    return {
        **{f"run {name}": Door(run / name, look, _JSON) for name in names},
        "run metrics.jsonl": Door(run / "metrics.jsonl", look, _JSON),
        "run probes.jsonl": Door(run / "probes.jsonl", look, _JSON),
        "train --config": Door(run / "config.json", config, _JSON),
        "checkpoint": Door(newest, checkpoint.load, _NPZ),
        "checkpoint as weights": Door(newest, holds_student_and_teacher, _NPZ),
        "filmstrip": Door(strip, lambda p: read_filmstrip(p.parents[1]), _NPZ),
        "config": Door(
            run / "config.json", lambda p: TrainConfig.from_json(p.read_bytes().decode("latin1"))
        ),
    }


def _list_on_the_command_line(root: Path) -> None:
    import contextlib

    from dino.cli.train import runs

    with contextlib.redirect_stdout(io.StringIO()):
        runs(root)


def _annotation(folder: Path) -> dict[str, Door]:
    photos = annotation_cases.write_photos(folder / "to-annotate", 2)
    session = annotation_cases.begin(folder / "annotations" / "birds", photos)
    session.save(0, annotation_cases.state_of(annotation_cases.ring()))

    def work(path: Path) -> None:
        opened = open_session(path if path.is_dir() else path.parent)
        Overview(opened)
        MaskSettings.from_dict(opened.settings)
        for index in range(len(opened.photos)):
            opened.load(index)

    settings = _written(folder / "mask.json", MaskSettings().to_json())
    return {
        "annotation session": Door(session.folder / "session.json", work, _JSON),
        "annotation state": Door(
            session.state_path(0), lambda p: work(p.parents[1] / "session.json"), _JSON
        ),
        "mask settings": Door(
            settings, lambda p: MaskSettings.from_json(p.read_bytes().decode("latin1")), _JSON
        ),
    }


def _embedding(folder: Path) -> dict[str, Door]:
    out = folder / "embedded"
    rows = [
        PhotoRow(f"{n}.png", 9, 9, "ab" * 32, feature=np.ones(4, np.float32), thumbnail=b"jpeg")
        for n in range(3)
    ]
    out.mkdir()
    features.write_features(out, rows, {"weights_sha256": "ab" * 32, "size": 224})
    part = PartStore(out / "parts").append(rows)
    progress = {"status": "finished", "done": 3, "total": 3, "pid": 999_999, "start_time": "1"}
    _written(out / "progress.json", json.dumps(progress))
    _written(out / "launch.json", json.dumps({"pid": 999_999, "start_time": "1"}))
    film = folder / "film"
    _written(film / "progress.json", json.dumps({**progress, "phase": "drawing"}))
    _written(film / "launch.json", json.dumps({"pid": 999_999, "start_time": "1"}))
    done = {"stopped": False, "num_frames": 9, "fps": 12.0, "seconds": 1.5, "tops": [1.0]}
    _written(film / "result.json", json.dumps(done))

    def film_job(path: Path) -> None:
        film_jobs.read_job(path.parent)
        read_result(path.parent)

    names = ("progress.json", "launch.json")
    return {
        "features.npz": Door(out / "features.npz", features.read_features, _NPZ),
        "thumbnails.npz": Door(
            out / "thumbnails.npz", lambda p: features.read_thumbnails(p.parent), _NPZ
        ),
        "part.npz": Door(part, lambda p: PartStore(p.parent).rows(), _NPZ),
        **{
            f"embedding {n}": Door(out / n, lambda p: embedding_jobs.read_job(p.parent), _JSON)
            for n in names
        },
        **{f"film {n}": Door(film / n, film_job, _JSON) for n in (*names, "result.json")},
    }


def _evaluation(folder: Path) -> dict[str, Door]:
    root = folder / "evaluation"
    report_cases.write_history(root, report_cases.knn_report(), report_cases.masks_report())
    truth = {
        "imlist": ["a", "b"],
        "qimlist": ["q"],
        "gnd": [{"bbx": [0.0, 0.0, 9.0, 9.0], "easy": np.array([0]), "hard": [1], "junk": []}],
    }
    counts = regions.encode(annotation_cases.disc((4, 4), 2, (8, 8)))
    coco = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 8, "width": 8}],
        "annotations": [
            {"image_id": 1, "segmentation": [[0, 0, 5, 0, 5, 5]], "bbox": [0, 0, 5, 5]},
            {"image_id": 1, "segmentation": {"size": [8, 8], "counts": counts}, "bbox": None},
        ],
    }
    cache = FeatureCache(root / "cache")
    cache.arrays({"kind": "a"}, lambda: {"features": np.ones((2, 3))})
    kept = next((root / "cache").glob("*.npz"))

    def build(path: Path) -> None:
        build_sections(read_histories([path.parent]).reports)

    def outlines(path: Path) -> None:
        for image in read_coco(path):
            for outline in image.outlines:
                decode_outline(outline, image.shape)

    return {
        "history.jsonl": Door(root / "history.jsonl", build, _JSON),
        "truth pickle": Door(_written(root / "gnd.pkl", pickle.dumps(truth)), read_ground_truth),
        "truth JSON": Door(
            _written(root / "gnd.json", json.dumps(truth, default=np.ndarray.tolist)),
            read_ground_truth,
            _JSON,
        ),
        "COCO": Door(_written(root / "coco.json", json.dumps(coco)), outlines, _JSON),
        "cached features": Door(
            kept,
            lambda p: FeatureCache(p.parent).arrays({"kind": "a"}, lambda: {"b": np.ones(1)}),
            _NPZ,
        ),
    }


def _archives(folder: Path) -> dict[str, Door]:
    root = folder / "archives"
    root.mkdir()
    with zipfile.ZipFile(root / "photos.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in ("a/1.png", "a/2.png", "b/3.png"):
            packed.writestr(name, _encoded("PNG"))
    with tarfile.open(root / "shard.tar", "w") as shard:
        for name, data in (("1.png", _encoded("PNG")), ("1.cls", b"3"), ("2.png", _encoded("PNG"))):
            about = tarfile.TarInfo(name)
            about.size = len(data)
            shard.addfile(about, io.BytesIO(data))

    def unpack(path: Path) -> None:
        out = path.parent / "unpacked"
        try:
            archive.unpack_photos(path, out, max_bytes=10**7)
        finally:
            shutil.rmtree(out, ignore_errors=True)

    def shards(path: Path) -> None:
        found = open_shards(path)
        for index in range(len(found)):
            found.read(index)

    return {
        "ZIP": Door(root / "photos.zip", unpack),
        "shard": Door(root / "shard.tar", shards),
    }


def main(folder: Path, seed: int, first: int, last: int) -> None:
    """Try the cases of a range; see the module."""
    warnings.simplefilter("ignore")
    doors = list(all_doors(folder).items())
    print(json.dumps({"doors": [name for name, _ in doors]}), flush=True)
    for _, door in doors:  # a whole file goes in, or nothing that follows says much
        door.enter(door.file)
    for number in range(first, last):
        name, door = doors[number % len(doors)]
        rng = random.Random(f"{seed}-{number}")
        whole = door.file.read_bytes()
        how = rng.choice(door.how)
        print(json.dumps({"case": number, "door": name, "how": how.__qualname__}), flush=True)
        _written(door.file, how(whole, rng))
        outcome, message = "read", ""
        try:
            door.enter(door.file)
        except UserError as error:
            outcome, message = "refused", str(error)
            if "\n" in message:
                outcome = "fault"
        except Exception:
            outcome, message = "fault", traceback.format_exc(limit=-4)
        finally:
            _written(door.file, whole)
        print(json.dumps({"case": number, "outcome": outcome, "message": message}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))

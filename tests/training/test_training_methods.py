"""Ways to train beside the recipe's: with labels, from weights, by other optimizers; and what is looked
at on the way."""

import json
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.training_cases import TINY, write_photos
from PIL import Image

import dino
from dino.errors import UserError
from dino.media.photo_folders import open_folder, open_labelled
from dino.system.distributed import World
from dino.system.words import duration
from dino.training.build import build_optimizer, build_schedules, set_drop_path
from dino.training.config import GROUPS, TrainConfig
from dino.training.data import open_photos
from dino.training.loop import fit
from dino.training.methods import build_method
from dino.training.presets import preset_config
from dino.training.runs import checkpoint
from dino.training.runs.exports import read_head
from dino.training.runs.folder import read_run
from dino.training.runs.preflight import checkpoint_bytes, preflight
from dino.training.runs.reporter import open_events, write_events

CPU = torch.device("cpu")
SMALL = replace(TINY, drop_path=0.0, probe_size=32, film_size=32)


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Ten photos of each of two classes, which differ in brightness."""
    return write_photos(tmp_path_factory.mktemp("photos"), 20, brighter=150)


def method_of(config: TrainConfig, **options):
    defaults = {"device": CPU, "world": World(), "num_classes": 2}
    return build_method(config, **{**defaults, **options})


def test_labels_train_the_same_backbone(photos, tmp_path):
    config = replace(
        SMALL, method="supervised", epochs=8, batch_size=10, base_lr=0.02, weight_decay_end=0.04
    )
    run = fit(config, photos, tmp_path / "run", workers=0, say=quiet)
    metrics = read_run(run).metrics
    assert metrics[0]["loss"] == pytest.approx(np.log(2), abs=0.1)
    assert metrics[-1]["loss"] < 0.3  # bright from dark
    assert "teacher_entropy" not in metrics[-1]
    assert dino.load(run / "weights" / "teacher.safetensors").num_heads == 3
    whole = fit(replace(config, max_steps=9), photos, tmp_path / "part", workers=0, say=quiet)
    fit(config, photos, whole, resume=True, workers=0, say=quiet)
    ends = [checkpoint.load_newest(r / "checkpoints")[0] for r in (run, whole)]
    assert not ends[0].teacher
    for name, value in ends[0].student.items():
        assert torch.equal(value, ends[1].student[name]), name


def test_labels_are_asked_for(tmp_path):
    for index in range(4):
        Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / f"{index}.png")
    with pytest.raises(UserError, match="found 0 classes; put the photos"):
        fit(replace(SMALL, method="supervised"), tmp_path, tmp_path / "run", workers=0)


def test_probes_are_written_every_few_epochs(photos, tmp_path):
    config = replace(SMALL, epochs=4, probe_every=2)
    film = (photos / "a" / "00.png", photos / "b" / "01.png")
    run = fit(config, photos, tmp_path / "run", knn=photos, film=film, workers=0, say=quiet)
    probes = read_run(run).probes
    assert [(p["epoch"], p["step"]) for p in probes] == [(0, 0), (2, 10), (4, 20)]
    assert all(0 <= p["knn"] <= 100 for p in probes)
    assert probes[-1]["film"] == "filmstrip/epoch-0004"
    with np.load(run / "filmstrip" / "epoch-0004" / "attention.npz") as maps:
        saved = {name: maps[name] for name in maps.files}
    assert saved["photo-1"].shape == (3, 2, 2)
    backbone = dino.load(run / "weights" / "teacher.safetensors", precision="fp32")
    with Image.open(run / "filmstrip" / "photo-1.png") as picture:
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
    scale = (torch.tensor(v).view(3, 1, 1) for v in (backbone.mean, backbone.std))
    mean, std = scale
    again = backbone.attention(((pixels - mean) / std)[None]).weights[0, 0, 0]
    np.testing.assert_allclose(saved["photo-1"], again, atol=5e-3)  # weights and maps are fp16
    with Image.open(run / "filmstrip" / "epoch-0004" / "photo-1.png") as picture:
        assert picture.size == (3 * 32, 32)


def test_masks_are_measured_on_the_way(photos, tmp_path):
    for index in range(3):
        for place in ("images", "masks"):
            (tmp_path / "masked" / place).mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((40, 40, 3), np.uint8)
        pixels[:20, :20] = 255
        Image.fromarray(pixels).save(tmp_path / "masked" / "images" / f"{index}.png")
        Image.fromarray(pixels[..., 0]).save(tmp_path / "masked" / "masks" / f"{index}.png")
    masks = tmp_path / "masked"
    run = fit(SMALL, photos, tmp_path / "run", masks=masks, workers=0, say=quiet)
    ended = read_run(run)
    assert ended.inputs.masks == str(masks)
    assert all(0 < probe["jaccard"] <= 1 for probe in ended.probes)
    assert ended.probes[0]["knn"] is None


def test_looking_changes_nothing_that_is_trained(photos, tmp_path):
    config = replace(SMALL, drop_path=0.5)
    looked = fit(config, photos, tmp_path / "looked", knn=photos, workers=0, say=quiet)
    blind = fit(config, photos, tmp_path / "blind", workers=0, say=quiet)
    ends = [checkpoint.load_newest(r / "checkpoints")[0] for r in (looked, blind)]
    for name, value in ends[0].student.items():
        assert torch.equal(value, ends[1].student[name]), name


def test_a_labelled_folder_is_split_the_same_way_each_time(photos, tmp_path):
    train, val = open_labelled(photos)
    assert (len(train), len(val)) == (16, 4)
    assert not set(train.paths) & set(val.paths)
    assert sorted(val.labels) == [0, 0, 1, 1]
    assert open_labelled(photos) == (train, val)
    for part in ("train", "val"):
        for name in "ab":
            (tmp_path / part / name).mkdir(parents=True)
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / part / name / "x.png")
    train, val = open_labelled(tmp_path)
    assert train.classes == val.classes == ("a", "b")
    (tmp_path / "val" / "c").mkdir()
    (tmp_path / "val" / "b" / "x.png").rename(tmp_path / "val" / "c" / "x.png")
    with pytest.raises(UserError, match="has c beside the expected"):
        open_labelled(tmp_path)


def test_milestones_stay_beside_the_newest(photos, tmp_path):
    config = replace(SMALL, epochs=4, keep=1, keep_every=2, save_every=3)  # 5 steps an epoch
    run = fit(config, photos, tmp_path / "run", workers=0, say=quiet)
    names = [path.name for path in checkpoint.list_checkpoints(run / "checkpoints")]
    assert names == ["step-00000020.pt", "step-00000010.pt"]


def test_a_head_is_restored_with_its_centre(photos, tmp_path):
    first = fit(SMALL, photos, tmp_path / "first", workers=0, say=quiet)
    saved, _ = checkpoint.load_newest(first / "checkpoints")
    newest = checkpoint.list_checkpoints(first / "checkpoints")[0]
    for source in (first / "weights" / "head.safetensors", newest):
        init = str(first / "weights" / "teacher.safetensors")
        method = method_of(replace(SMALL, init=init, init_head=str(source)))
        state = method.modules["student"].state_dict()
        for name, value in saved.teacher.items():
            if name.startswith("head."):
                assert torch.equal(state[name], value), name
        assert torch.equal(method.modules["loss"].center, saved.loss["center"])
    with pytest.raises(UserError, match="does not fit these settings"):
        method_of(replace(SMALL, init_head=str(source), out_dim=16))
    with pytest.raises(UserError, match="no head can be read"):
        read_head(photos / "a" / "00.png")


def test_parts_stay_as_they_were_when_frozen(photos, tmp_path, small_weights):
    config = replace(SMALL, init=str(small_weights), patch_size=8, train_blocks=1, head_lr=0.01)
    start = method_of(config).modules["student"].state_dict()
    run = fit(config, photos, tmp_path / "run", workers=0, say=quiet)
    end = checkpoint.load_newest(run / "checkpoints")[0].student
    assert torch.equal(
        end["backbone.blocks.0.mlp.fc1.weight"], start["backbone.blocks.0.mlp.fc1.weight"]
    )
    assert torch.equal(end["backbone.pos_embed"], start["backbone.pos_embed"])
    assert not torch.equal(
        end["backbone.blocks.1.mlp.fc1.weight"], start["backbone.blocks.1.mlp.fc1.weight"]
    )


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "sgd", "base_lr": 0.03},
        {"optimizer": "lars", "base_lr": 0.3},
        {"criterion": "mse"},
        {"predictor": True},
        {"momentum_teacher": False},
        pytest.param(
            {"arch": "resnet50", "global_size": 64, "local_size": 32, "patch_size": 32},
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda options: "-".join(f"{k}={v}" for k, v in options.items()),
)
def test_every_variant_trains_and_opens(photos, tmp_path, options):
    config = replace(SMALL, max_steps=2, freeze_last_layer=0, **options)
    run = fit(config, photos, tmp_path / "run", workers=0, say=quiet)
    start = method_of(config).modules["student"].state_dict()
    end = checkpoint.load_newest(run / "checkpoints")[0]
    moved = [
        n for n, v in end.student.items() if v.is_floating_point() and not torch.equal(v, start[n])
    ]
    assert any(n.startswith("backbone.") for n in moved)
    assert any(n.startswith("head.") for n in moved)
    if options == {"momentum_teacher": False}:
        for name, value in end.teacher.items():
            assert torch.equal(value, end.student[name]), name
    assert dino.load(run / "weights" / "teacher.safetensors").embed_dim in (192, 2048)


def test_lars_scales_each_parameters_step_by_its_norm():
    """By hand: step = lr · 0.001 · ‖w‖ / (‖g‖ + wd · ‖w‖) · (g + wd · w), without momentum's past."""
    network = torch.nn.Linear(2, 1, bias=False)
    network.weight.data = torch.tensor([[3.0, 4.0]])
    optimizer = build_optimizer(replace(SMALL, optimizer="lars"), network)
    network.weight.grad = torch.tensor([[0.6, 0.8]])
    for group in optimizer.param_groups:
        group["lr"], group["weight_decay"] = 0.1, 0.2
    optimizer.step()
    w, g = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.6, 0.8]])
    expected = w - 0.1 * 0.001 * 5.0 / (1.0 + 0.2 * 5.0) * (g + 0.2 * w)
    np.testing.assert_allclose(network.weight.detach(), expected, rtol=1e-6)


def test_stochastic_depth_rises_over_the_blocks(small_weights):
    model = dino.weights.load_model(small_weights).model
    set_drop_path(model, 0.3)
    assert isinstance(model.blocks[0].drop_path1, torch.nn.Identity)
    assert model.blocks[1].drop_path2.drop_prob == pytest.approx(0.3)


def test_shards_are_opened_like_folders(photos, tmp_path, monkeypatch):
    from helpers.shard_writing import write_shards

    from dino.media.shards import indexing

    monkeypatch.setenv("DINO_CHECKPOINTS", str(tmp_path / "checkpoints"))
    write_shards(open_folder(photos), tmp_path / "shards", samples_per_shard=7)
    assert len(open_photos(tmp_path / "shards")) == 20
    # The headers were read for the last time.
    monkeypatch.setattr(indexing, "build_index", lambda paths: pytest.fail("indexed anew"))
    run = fit(SMALL, tmp_path / "shards", tmp_path / "run", workers=0, say=quiet)
    assert read_run(run).state == "finished"
    assert json.loads((run / "data.json").read_text())["data"] == str(tmp_path / "shards")


def test_preflight_counts_steps_and_bytes_as_they_come_out(photos, tmp_path):
    config = replace(SMALL, keep=2)
    shown = preflight(config, open_photos(photos), place=tmp_path / "not" / "yet", measure=True)
    assert (shown.num_photos, shown.sizes) == (20, "50×40 px")
    assert (shown.steps_per_epoch, shown.total_steps) == (5, 10)
    assert shown.seconds is not None
    assert shown.seconds > 0
    assert any("20 photos are few" in problem for problem in shown.problems)
    run = fit(config, photos, tmp_path / "run", workers=0, say=quiet)
    newest = checkpoint.list_checkpoints(run / "checkpoints")[0]
    estimate = checkpoint_bytes(method_of(config))
    assert newest.stat().st_size == pytest.approx(estimate, rel=0.05)
    assert shown.disk_bytes == pytest.approx(3 * estimate, rel=0.01)
    assert shown.lines()[1] == "steps    10, 5 an epoch"


def test_preflight_says_what_does_not_fit(photos, tmp_path):
    huge = replace(SMALL, batch_size=20, global_size=1024, out_dim=2_000_000, keep=100_000)
    problems = " ".join(preflight(huge, open_photos(photos), place=tmp_path).problems)
    assert "GB of memory are needed" in problems
    assert "GB of disk are needed" in problems


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(20, "20 s"), (600, "10 min"), (7200, "2.0 h"), (300_000, "3.5 days")],
)
def test_times_read_as_people_say_them(seconds, words):
    assert duration(seconds) == words


def test_every_setting_has_a_group_and_a_help():
    from dataclasses import fields

    for item in fields(TrainConfig):
        assert item.metadata["group"] in GROUPS
        assert item.metadata["help"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"epochs": "ten"}, "epochs is 'ten'; expected int"),
        ({"use_bn": 1}, "use_bn is 1; expected bool"),
        ({"base_lr": True}, "base_lr is True; expected float"),
        ({"global_scale": (0.1, 2.0)}, "shares in"),
        ({"global_scale": (0.1,)}, "two numbers"),
        ({"train_blocks": 0}, "more than 0"),
    ],
)
def test_settings_of_the_wrong_kind_are_named(wrong, says):
    with pytest.raises(UserError, match=says):
        replace(SMALL, **wrong)
    assert replace(SMALL, base_lr=1).base_lr == 1


def test_schedules_reach_the_head_at_its_own_rate():
    config = replace(SMALL, base_lr=0.001, head_lr=0.004)
    optimizer = method_of(config).optimizer
    assert {group["lr_scale"] for group in optimizer.param_groups} == {1.0, 4.0}
    assert build_schedules(config, 20).total == 10


def test_the_small_preset_fits_batch_epochs_warm_up_and_momentum_to_the_photos():
    short = preset_config("small", num_photos=640, epochs=10)
    assert (short.batch_size, short.warmup_epochs) == (64, 1)
    assert short.momentum == pytest.approx(0.9)  # 100 steps: a memory of 10, its least
    long = preset_config("small", num_photos=9469)
    assert long.epochs == 204  # 147 steps an epoch, 30,000 in all
    assert long.momentum == pytest.approx(0.996)
    assert (long.warmup_epochs, long.probe_every) == (10, 10)
    few = preset_config("small", num_photos=40)
    assert (few.batch_size, few.epochs) == (10, 800)
    assert preset_config("small", num_photos=640, momentum=0.5).momentum == 0.5


def test_the_papers_presets_are_not_fitted():
    vanilla = preset_config("vanilla", num_photos=640)
    assert vanilla == replace(TrainConfig(), probe_every=5)
    boosted = preset_config("boosted", num_photos=640)
    assert (boosted.epochs, boosted.teacher_temp, boosted.norm_last_layer) == (300, 0.07, False)
    assert preset_config("supervised", num_photos=640).method == "supervised"


def test_fine_tuning_takes_the_patch_of_the_weights(small_weights):
    config = preset_config("finetune", num_photos=320, init=str(small_weights))
    assert (config.patch_size, config.global_size, config.local_size) == (8, 96, 40)
    assert (config.epochs, config.batch_size) == (60, 32)
    assert config.warmup_epochs == 3  # a twentieth, also of short runs
    assert config.momentum == pytest.approx(0.98)  # 600 steps: a memory of 50
    short = preset_config("finetune", num_photos=9469, init=str(small_weights))
    assert (short.epochs, short.warmup_epochs) == (2, 0.1)


def test_a_config_lists_what_is_not_the_papers():
    assert TrainConfig().changes() == {}
    assert TrainConfig(epochs=3, use_bn=True, warmup_epochs=2).changes() == {
        "use_bn": True,
        "epochs": 3,
        "warmup_epochs": 2,
    }


def test_events_go_to_tensorboard_where_it_is_installed(tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder):
            written.append(folder)

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

        def flush(self):
            written.append("flushed")

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    write_events(open_events(tmp_path), {"step": 7, "loss": 2.5})
    assert written == [str(tmp_path / "tensorboard"), ("loss", 2.5, 7), "flushed"]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert open_events(tmp_path) is None


@pytest.mark.parametrize("wrong", [{"batch_size": "many"}, {"epochs": 0}])
def test_a_preset_says_what_is_wrong_with_a_setting(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        preset_config("small", num_photos=100, **wrong)


def test_the_bundled_weights_open_and_know_their_settings():
    place = Path(__file__).resolve().parents[2] / "checkpoints"
    backbone = dino.load(place / "dino_vitti16_imagenette.safetensors", precision="fp32")
    assert (backbone.patch_size, backbone.embed_dim, backbone.num_heads) == (16, 192, 3)
    assert not backbone.is_random
    configs = [
        TrainConfig.from_json((place / f"dino_vitti16_imagenette-{number}.json").read_text())
        for number in (1, 2, 3)
    ]
    assert [(c.arch, c.epochs, c.global_size) for c in configs] == [
        ("vit_tiny", 30, 64),
        ("vit_tiny", 12, 96),
        ("vit_tiny", 30, 96),
    ]
    with Image.open(place / "filmstrip" / "photo.png") as picture:
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (backbone.mean, backbone.std))
    maps = backbone.attention(((pixels - mean) / std)[None]).weights[0, 0, 0]
    with np.load(place / "filmstrip" / "epoch-0053" / "attention.npz") as saved:
        drawn = torch.from_numpy(saved["photo"]).float()
    correlations = [
        np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in zip(maps, drawn, strict=True)
    ]
    assert min(correlations) > 0.98  # drawn in bfloat16, from weights in float32


def test_the_supervised_twin_comes_second_and_is_another_network():
    from dino.weights.fetching import bundled_files

    place = Path(__file__).resolve().parents[2] / "checkpoints"
    assert [path.stem for path in bundled_files(place)] == [
        "dino_vitti16_imagenette",
        "supervised_vitti16_imagenette",
    ]
    twin, ours = (dino.load(path, precision="fp32") for path in reversed(bundled_files(place)))
    assert (twin.patch_size, twin.embed_dim) == (ours.patch_size, ours.embed_dim)
    assert twin.weights_sha256 != ours.weights_sha256
    config = TrainConfig.from_json((place / "supervised_vitti16_imagenette.json").read_text())
    assert (config.method, config.arch, config.epochs) == ("supervised", "vit_tiny", 20)

"""The linear probe: steps by hand and against torch's SGD, choices that never see val, features."""

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from helpers.backbone_cases import golden_vit, small_vit, wrapped
from PIL import Image

from dino.errors import UserError
from dino.evaluation.linear import linear_crops, linear_frozen
from dino.features.data import CenterCrop, RandomCrop
from dino.features.embedding import (
    PhotoFeatures,
    embed_folder,
    embed_probe_views,
    embed_random_crops,
    probe_features,
)
from dino.features.probe import Probes, ProbeSettings, fit_probes, held_out_rows, score
from dino.media.photo_folders import open_folder

# Rates are per 256 images, and batches here are small.
SHORT = ProbeSettings(rates=(0.1, 3.0), epochs=20, batch_size=16, held_out=0.25)


def clouds(seed: int, *, num: int = 30, distance: float = 6.0, views: int = 1) -> PhotoFeatures:
    """Three classes around the corners of a triangle: `distance` apart, noise of 0.5."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % 3
    corners = distance * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    features = corners[labels] + rng.normal(0, 0.5, (views, num, 3))
    return PhotoFeatures(torch.tensor(features).float(), torch.tensor(labels), (), ())


# Softmax regression ----------------------------------------------------------------------------


def test_two_steps_by_hand():
    """x = 1, label 0, from zero: p = (½, ½), so w = ±½·rate; momentum carries 0.9 of it on."""
    probes = Probes([1.0], num_features=1, num_classes=2)
    probes.weight.zero_()
    x, y = torch.ones(1, 1), torch.tensor([0])
    probes.step(x, y)
    np.testing.assert_allclose(probes.weight[0], [[0.5, -0.5]], atol=1e-7)
    np.testing.assert_allclose(probes.bias[0], [[0.5, -0.5]], atol=1e-7)
    probes.step(x, y, factor=0.5)  # logits (1, −1): the slope is −(1 − σ(2)) = −0.119203
    moved = 0.5 + 0.5 * (0.9 * 0.5 + 0.119203)
    np.testing.assert_allclose(probes.weight[0], [[moved, -moved]], atol=1e-6)


def test_training_equals_torch_sgd_with_cosine_annealing():
    torch.manual_seed(1)
    x, y = torch.randn(40, 7), torch.randint(0, 4, (40,))
    batches = [(x[i : i + 16], y[i : i + 16]) for i in (0, 16, 32)]
    everything = [(a, b, torch.ones(1, len(b), dtype=torch.bool)) for a, b in batches]
    probes = fit_probes(lambda epoch: everything, [0.2], epochs=5, num_classes=4, seed=3)

    layer = torch.nn.Linear(7, 4)
    with torch.no_grad():
        layer.weight.copy_(Probes([0.2], num_features=7, num_classes=4, seed=3).weight[0].T)
        layer.bias.zero_()
    optimizer = torch.optim.SGD(layer.parameters(), 0.2, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5, eta_min=0)
    for _ in range(5):
        for a, b in batches:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(a), b).backward()
            optimizer.step()
        schedule.step()
    np.testing.assert_allclose(probes.weight[0], layer.weight.detach().T, atol=1e-5)
    np.testing.assert_allclose(probes.bias[0, 0], layer.bias.detach(), atol=1e-5)


def test_start_is_the_originals_normal_with_zero_bias():
    probes = Probes([0.1, 0.2], num_features=400, num_classes=50)
    assert float(probes.weight.std()) == pytest.approx(0.01, rel=0.02)
    assert not probes.bias.any()
    assert torch.equal(probes.weight[0], probes.weight[1])


def test_a_probe_learns_from_what_it_takes_only():
    torch.manual_seed(2)
    x, y = torch.randn(10, 5), torch.randint(0, 3, (10,))
    take = torch.stack([torch.arange(10) < 6, torch.arange(10) < 0])
    both = Probes([0.5, 0.5], num_features=5, num_classes=3)
    start = both.weight[1].clone()
    both.step(x, y, take=take)
    alone = Probes([0.5], num_features=5, num_classes=3)
    alone.step(x[:6], y[:6])
    torch.testing.assert_close(both.weight[0], alone.weight[0])
    assert torch.equal(both.weight[1], start)  # nothing to take, nothing learned


def test_rates_together_equal_each_rate_alone():
    train, val = clouds(0, distance=1.0), clouds(1, distance=1.0)
    rates = (0.003, 0.03, 0.3)
    together = linear_frozen(train, val, settings=replace(SHORT, rates=rates))
    for found in together.rates:
        alone = linear_frozen(train, val, settings=replace(SHORT, rates=(found.rate,)))
        assert alone.rates[0].val == found.val
        assert alone.rate == found.rate

    def fit(*rates: float) -> Probes:
        batch = (train.features[0], train.labels, torch.ones(len(rates), 30, dtype=torch.bool))
        return fit_probes(lambda epoch: [batch], rates, epochs=9, num_classes=3)

    batched = fit(*rates)
    for number, rate in enumerate(rates):
        torch.testing.assert_close(batched.weight[number], fit(rate).weight[0])


def test_scores_count_first_and_first_five_and_distrust_what_diverged():
    probes = Probes([1.0, 1.0], num_features=7, num_classes=7)
    probes.weight[:] = torch.eye(7)
    probes.weight[1, 0, 0] = float("nan")
    falling = torch.arange(7.0, 0, -1)[None]  # class 0 first, class 6 last
    x, labels = falling.repeat(4, 1), torch.tensor([0, 4, 5, 9])  # 9 is none of the classes
    sound, diverged = score(probes, x, labels)
    assert sound.accuracy == (25.0, 50.0)
    assert diverged == ((0.0, 0.0), float("inf"))
    sound, _ = score(probes, x[:2], labels[:2])
    weights = np.exp(np.arange(7.0, 0, -1))
    expected = -np.log(weights[[0, 4]] / weights.sum()).mean()
    assert sound.loss == pytest.approx(expected, rel=1e-6)


# Choice of the rate ----------------------------------------------------------------------------


@pytest.mark.parametrize("views", [1, 2])
def test_separable_classes_reach_100_percent(views):
    result = linear_frozen(clouds(0, views=views), clouds(1), settings=SHORT)
    assert result.top1 == result.top5 == 100.0
    assert result.protocol == "frozen features"
    assert (result.num_train, result.num_held_out, result.num_val) == (30, 6, 30)  # ¼ of 10, ×3


def test_val_has_no_part_in_the_choice():
    train, val = clouds(0, distance=0.7), clouds(1, distance=0.7)
    settings = replace(SHORT, rates=(1e-4, 1e-3, 1e-2, 0.1, 1.0))
    first = linear_frozen(train, val, settings=settings)
    second = linear_frozen(train, replace(val, labels=val.labels.roll(1)), settings=settings)
    assert first.rate == second.rate
    held = [rate.held_out_top1 for rate in first.rates]
    assert held == [rate.held_out_top1 for rate in second.rates]
    assert max(held) == next(r.held_out_top1 for r in first.rates if r.rate == first.rate)
    assert first.top1 == next(r.val.top1 for r in first.rates if r.rate == first.rate)


def test_held_out_photos_do_not_teach_the_probe_that_they_judge():
    """Two photos a class with opposite features: what is held out is then always got wrong."""
    features = torch.tensor([[[1.0], [-1.0], [-1.0], [1.0]]])
    train = PhotoFeatures(features, torch.tensor([0, 0, 1, 1]), (), ())
    settings = replace(SHORT, rates=(0.5, 1.0), held_out=0.5, epochs=30)
    for seed in range(4):
        held = held_out_rows(train.labels, replace(settings, seed=seed))
        same_side = float(features[0, held].prod()) > 0
        if same_side:  # the rest lies on one side as well, so nothing can be told
            continue
        result = linear_frozen(train, train, settings=replace(settings, seed=seed))
        assert [rate.held_out_top1 for rate in result.rates] == [0.0, 0.0]


def test_every_class_gives_its_share_to_the_held_out_part():
    labels = torch.tensor([0] * 40 + [1] * 10 + [2] * 3 + [3])
    held = held_out_rows(labels, replace(SHORT, held_out=0.1))
    assert [int(held[labels == c].sum()) for c in range(4)] == [4, 1, 1, 0]
    assert torch.equal(held, held_out_rows(labels, replace(SHORT, held_out=0.1)))
    assert not torch.equal(held, held_out_rows(labels, replace(SHORT, held_out=0.1, seed=1)))
    assert not held_out_rows(labels, replace(SHORT, rates=(0.1,))).any()


def test_rates_grow_with_the_batch():
    """One batch holds all: 60 images at rate r are a step of r · 60 / 256."""
    train = clouds(0, num=60)
    settings = ProbeSettings(rates=(0.64,), epochs=1, batch_size=60)
    by_rule = linear_frozen(train, train, settings=settings)
    probes = Probes([0.64 * 60 / 256], num_features=3, num_classes=3)
    probes.step(train.features[0], train.labels)
    assert by_rule.rates[0].val == score(probes, train.features[0], train.labels)[0].accuracy


# Features --------------------------------------------------------------------------------------


def test_small_networks_give_the_cls_of_their_last_blocks_as_the_original(golden):
    arrays = golden("vit")
    images = torch.from_numpy(arrays["64x64/image"])
    found = probe_features(golden_vit(arrays), images)
    assert found.shape == (2, 3 * 48)  # three blocks are all there are
    np.testing.assert_allclose(found[:, 48:96], arrays["64x64/layer0"][:, 0], atol=1e-5)
    np.testing.assert_allclose(found[:, 96:], arrays["64x64/layer1"][:, 0], atol=1e-5)


def test_deep_networks_give_four_blocks_and_wide_ones_cls_and_mean_patch():
    images = torch.randn(2, 3, 32, 32)
    deep = wrapped(small_vit(depth=6))
    tokens = deep.layer_tokens(images, layers=(2, 3, 4, 5))
    assert torch.equal(probe_features(deep, images), torch.cat([t.cls for t in tokens], dim=1))
    wide = wrapped(small_vit(embed_dim=390))
    last = wide.tokens(images)
    expected = torch.cat([last.cls, last.patches.mean(dim=1)], dim=1)
    assert torch.equal(probe_features(wide, images), expected)


def test_networks_without_attention_give_their_last_layer():
    backbone = wrapped(timm.create_model("resnet10t", num_classes=0))
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(probe_features(backbone, images), backbone.tokens(images).cls)


@pytest.fixture(scope="module")
def coloured(tmp_path_factory):
    """Folder with 8 reddish and 8 bluish noisy photos, and one that cannot be read."""
    root = tmp_path_factory.mktemp("coloured")
    rng = np.random.default_rng(0)
    for name, colour in (("red", (200, 60, 60)), ("blue", (60, 60, 200))):
        (root / name).mkdir()
        for number in range(8):
            noise = rng.normal(0, 25, (40, 56, 3))
            rgb = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(rgb).save(root / name / f"{number}.png")
    (root / "red" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return open_folder(root)


def test_last_part_of_the_features_is_what_k_nn_sees(coloured):
    backbone = wrapped(small_vit())
    views = embed_probe_views(backbone, coloured, CenterCrop(32), workers=0, batch_size=5)
    plain = embed_folder(backbone, coloured, size=32, workers=0)
    torch.testing.assert_close(views.features[0, :, -24:], plain.cls, atol=1e-5, rtol=1e-4)
    assert torch.equal(views.labels, plain.labels)
    assert views.paths == plain.paths
    assert [path.name for path in views.unreadable] == ["broken.png"]


def test_the_second_view_is_the_mirror_image(coloured):
    rgb = np.arange(40 * 56 * 3).astype(np.uint8).reshape(40, 56, 3)
    crop, mirrored = CenterCrop(32, flip=True)(rgb, np.random.default_rng(0))
    np.testing.assert_array_equal(mirrored, crop[:, ::-1])
    views = embed_probe_views(wrapped(small_vit()), coloured, CenterCrop(32, flip=True), workers=0)
    assert views.features.shape == (2, 16, 48)


def test_random_crops_depend_on_seed_epoch_and_photo_only(coloured):
    backbone = wrapped(small_vit())

    def crops(workers: int, epoch: int = 0, batch_size: int = 4) -> torch.Tensor:
        options = {"seed": (7, epoch), "batch_size": batch_size, "workers": workers}
        found = [*embed_random_crops(backbone, coloured, RandomCrop(32), **options)]
        rows = torch.tensor([row for rows, _ in found for row in rows])
        return torch.cat([features for _, features in found])[rows.argsort()]

    first = crops(workers=0)
    assert len(first) == 16
    torch.testing.assert_close(first, crops(workers=2), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(first, crops(workers=0, batch_size=16), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(first, crops(workers=0, epoch=1))


def test_random_crops_separate_two_colours(coloured):
    backbone = wrapped(small_vit())
    val = embed_probe_views(backbone, coloured, CenterCrop(32), workers=0)
    settings = ProbeSettings(rates=(0.1, 1.0), epochs=10, batch_size=8, held_out=0.25)
    seen = []
    result = linear_crops(
        backbone,
        coloured,
        val,
        size=35,  # taken down to 32
        settings=settings,
        workers=0,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert result.top1 == 100.0
    assert result.protocol == "random crops"
    assert (result.num_train, result.num_val) == (16, 16)
    assert [path.name for path in result.unreadable] == ["broken.png"]
    assert seen[-1] == (170, 170)
    assert seen == sorted(seen)


# Bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"rates": ()}, "one or more above 0"),
        ({"rates": (0.1, -1.0)}, "one or more above 0"),
        ({"rates": (float("nan"),)}, "one or more above 0"),
        ({"epochs": 0}, "1 or more of both"),
        ({"batch_size": 0}, "1 or more of both"),
        ({"held_out": 1.0}, "a share between 0 and 1"),
    ],
)
def test_settings_out_of_range_are_named(wrong, says):
    with pytest.raises(UserError, match=says):
        replace(SHORT, **wrong)


def test_what_does_not_fit_together_is_named():
    train, val = clouds(0), clouds(1)
    with pytest.raises(UserError, match="one width"):
        linear_frozen(train, replace(val, features=val.features[..., :2]), settings=SHORT)
    with pytest.raises(UserError, match="not all with a class"):
        linear_frozen(replace(train, labels=train.labels - 1), val, settings=SHORT)
    one_each = replace(train, features=train.features[:, :3], labels=train.labels[:3])
    with pytest.raises(UserError, match="two or more to hold some out"):
        linear_frozen(one_each, val, settings=SHORT)
    with pytest.raises(UserError, match="none of the training photos"):
        fit_probes(lambda epoch: [], [0.1], epochs=1, num_classes=2)

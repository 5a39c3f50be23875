"""Six steps of the whole method against the original implementation: loss, norms, parameters, centre."""

import numpy as np
import pytest
import torch
from helpers.training_cases import golden_state
from timm.models.vision_transformer import VisionTransformer

from dino.errors import UserError
from dino.system.schedules import teacher_temperatures
from dino.training.groups import freeze_blocks, parameter_groups
from dino.training.head import DINOHead
from dino.training.loss import DINOLoss
from dino.training.metrics import measure
from dino.training.network import Network, embed_images
from dino.training.step import (
    NonFiniteLossError,
    StepOptions,
    StepValues,
    can_skip,
    clip_gradients,
    descend,
    skip_unless,
    train_step,
    update_teacher,
)


def golden_network(arrays: dict[str, np.ndarray], part: str) -> Network:
    backbone = VisionTransformer(
        img_size=64, patch_size=8, embed_dim=24, depth=2, num_heads=2, num_classes=0
    )
    head = DINOHead(24, 128, hidden_dim=48, bottleneck_dim=16)
    network = Network(backbone, head)
    network.load_state_dict(golden_state(arrays, f"{part}/"))
    return network


def test_six_steps_equal_the_original(golden):
    arrays = golden("train")
    student, teacher = golden_network(arrays, "init"), golden_network(arrays, "init")
    teacher.requires_grad_(False)
    temps = teacher_temperatures(0.04, 0.07, 2, int(arrays["epochs"]))
    loss = DINOLoss(128, 6, temps)
    optimizer = torch.optim.AdamW(parameter_groups(student))
    per_epoch = int(arrays["iterations_per_epoch"])
    for step in range(6):
        crops = [torch.from_numpy(arrays[f"{step}/crop{i}"]).float() for i in range(6)]
        values = StepValues(
            lr=float(arrays["lr"][step]),
            weight_decay=float(arrays["wd"][step]),
            momentum=float(arrays["momentum"][step]),
            epoch=step // per_epoch,
        )
        result = train_step(
            student,
            teacher,
            loss,
            optimizer,
            crops,
            values=values,
            options=StepOptions(
                clip_grad=float(arrays["clip_grad"]),
                freeze_last_layer=int(arrays["freeze_last_layer"]),
            ),
        )
        np.testing.assert_allclose(float(result.loss), arrays[f"{step}/loss"], atol=1e-4)
        np.testing.assert_allclose(
            result.grad_norms, arrays[f"{step}/grad_norms"], rtol=2e-3, atol=1e-4
        )
    np.testing.assert_allclose(loss.center, arrays["center"], atol=1e-4)
    for part, network in (("student", student), ("teacher", teacher)):
        for name, value in network.state_dict().items():
            expected, found = arrays[f"{part}/{name}"], value.numpy()
            if name.endswith("attn.qkv.bias"):  # the key third has no true gradient
                expected, found = (
                    np.delete(expected, slice(24, 48)),
                    np.delete(found, slice(24, 48)),
                )
            np.testing.assert_allclose(found, expected, atol=1e-4, err_msg=f"{part} {name}")


def small_network(depth: int = 3) -> Network:
    torch.manual_seed(0)
    backbone = VisionTransformer(
        img_size=16, patch_size=8, embed_dim=12, depth=depth, num_heads=2, num_classes=0
    )
    return Network(backbone, DINOHead(12, 8, hidden_dim=8, bottleneck_dim=4))


def test_the_last_block_for_cls_alone_equals_the_whole_forward():
    backbone = small_network().backbone
    for module in backbone.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.5)
            torch.nn.init.normal_(module.bias, std=0.5)
    images = torch.randn(2, 3, 16, 16)
    ours = embed_images(backbone, images)
    whole = backbone.forward_features(images)[:, 0]
    np.testing.assert_allclose(ours.detach(), whole.detach(), atol=1e-5)
    gradients = []
    for features in (ours, whole):
        backbone.zero_grad()
        features.square().sum().backward()
        gradients.append({n: p.grad.clone() for n, p in backbone.named_parameters()})
    for name, gradient in gradients[0].items():
        np.testing.assert_allclose(gradient, gradients[1][name], atol=1e-4, err_msg=name)


def test_every_parameter_is_in_one_group_at_its_layers_rate():
    network = small_network(depth=3)
    groups = parameter_groups(network, layer_decay=0.5, head_scale=5.0)
    rates = {}
    for group in groups:
        for parameter in group["params"]:
            assert group["decayed"] == (parameter.ndim > 1)
            assert group["decayed"] or group["weight_decay"] == 0.0
            rates[id(parameter)] = group["lr_scale"]
    trained = {n: p for n, p in network.named_parameters() if p.requires_grad}
    assert len(rates) == len(trained)
    found = {name: rates[id(p)] for name, p in trained.items()}
    assert found["backbone.norm.weight"] == 1.0
    assert found["backbone.blocks.2.mlp.fc1.weight"] == 1.0
    assert found["backbone.blocks.0.mlp.fc1.weight"] == 0.25
    assert found["backbone.cls_token"] == found["backbone.patch_embed.proj.bias"] == 0.125
    assert found["head.mlp.0.weight"] == found["head.last_layer.weight_v"] == 5.0


def test_only_the_last_blocks_train_when_asked():
    backbone = small_network(depth=3).backbone
    freeze_blocks(backbone, 1)
    trained = {
        n.split(".")[0] + n.split(".")[1] for n, p in backbone.named_parameters() if p.requires_grad
    }
    assert trained == {"blocks2", "normweight", "normbias"}
    with pytest.raises(UserError, match="has 3 blocks"):
        freeze_blocks(backbone, 4)


def test_each_parameter_is_clipped_by_its_own_norm():
    network = torch.nn.ParameterList([torch.zeros(2), torch.zeros(1)])
    network[0].grad, network[1].grad = torch.tensor([3.0, 4.0]), torch.tensor([0.5])
    norms = clip_gradients(network, 1.0)
    np.testing.assert_allclose(norms, [5.0, 0.5])
    np.testing.assert_allclose(network[0].grad, [0.6, 0.8], atol=1e-5)
    np.testing.assert_allclose(network[1].grad, [0.5])


def test_a_fused_optimizer_skips_a_loss_that_is_not_finite():
    """What a GPU does instead of reading the loss; the same kernel option exists on a CPU."""
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=True)
    for loss, moves in ((float("nan"), False), (float("inf"), False), (1.0, True)):
        before = weight.detach().clone()
        weight.grad = torch.full((3,), loss)
        skip_unless(optimizer, torch.isfinite(torch.tensor(loss)))
        optimizer.step()
        assert torch.isfinite(weight).all()
        assert torch.equal(before, weight) != moves


def test_a_broken_batch_leaves_the_centre_alone():
    loss = DINOLoss(1000, 2, [0.04])
    loss.update_center(torch.randn(4, 1000, generator=torch.Generator().manual_seed(0)))
    before = loss.center.clone()
    loss.update_center(torch.full((4, 1000), float("nan")))
    assert torch.equal(loss.center, before)


def test_the_teacher_follows_a_student_that_has_a_predictor():
    student = small_network()
    student.head = DINOHead(12, 8, hidden_dim=8, bottleneck_dim=4, predictor=True)
    teacher = small_network().requires_grad_(False)
    start = teacher.head.mlp[0].weight.clone()
    update_teacher(student, teacher, 0.75)
    expected = 0.75 * start + 0.25 * student.head.mlp[0].weight
    np.testing.assert_allclose(teacher.head.mlp[0].weight, expected.detach(), atol=1e-7)


def test_an_infinite_gradient_of_a_finite_loss_changes_nothing():
    network = small_network()
    optimizer = torch.optim.AdamW(parameter_groups(network), lr=0.1, fused=True)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    weight = network.head.mlp[0].weight
    loss = (weight.sum() * 0.0).sqrt() + 1.0  # 1, and its gradient is 0 · inf
    values = StepValues(lr=0.1, weight_decay=0.0, momentum=0.9, epoch=0)
    assert torch.isfinite(loss)
    with pytest.raises(NonFiniteLossError):
        descend(network, loss, optimizer, values=values, options=StepOptions())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_only_fused_optimizers_are_ordered_to_skip():
    weight = [torch.nn.Parameter(torch.ones(2))]
    assert can_skip(torch.optim.AdamW(weight, fused=True))
    assert can_skip(torch.optim.SGD(weight, lr=0.1, fused=True))
    assert not can_skip(torch.optim.SGD(weight, lr=0.1))


def test_kl_is_of_the_targets_the_loss_saw():
    """The centre moves within the step; entropy by the moved one would not match the loss."""
    student, teacher = small_network(), small_network().requires_grad_(False)
    loss = DINOLoss(8, 2, [0.04], center_momentum=0.0)
    optimizer = torch.optim.AdamW(parameter_groups(student), fused=True)
    crops = [torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16)]
    values = StepValues(lr=0.0, weight_decay=0.0, momentum=1.0, epoch=0)
    with torch.no_grad():
        logits, _ = teacher(crops)
        q = (logits / 0.04).softmax(dim=-1)  # the centre is 0 before the first step
        p = (student(crops)[0] / 0.1).log_softmax(dim=-1)
        crossed = q.unflatten(0, (2, 4)).flip(0).flatten(0, 1)
        expected = (torch.xlogy(crossed, crossed) - crossed * p).sum(dim=-1).mean()
    result = train_step(student, teacher, loss, optimizer, crops, values=values)
    assert measure(result, loss)["kl"] == pytest.approx(float(expected), abs=1e-5)
    assert "kl" not in measure(result, DINOLoss(8, 2, [0.04], criterion="mse"))

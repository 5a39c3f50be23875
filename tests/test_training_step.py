"""Six steps of the whole method against the original implementation: loss, norms, parameters, centre."""

import numpy as np
import torch
from timm.models.vision_transformer import VisionTransformer

from dino.training.head import DINOHead
from dino.training.loss import DINOLoss
from dino.training.network import Network
from dino.training.schedules import teacher_temperatures
from dino.training.step import StepValues, parameter_groups, train_step


def golden_network(arrays: dict[str, np.ndarray], part: str) -> Network:
    backbone = VisionTransformer(
        img_size=64, patch_size=8, embed_dim=24, depth=2, num_heads=2, num_classes=0
    )
    head = DINOHead(24, 128, hidden_dim=48, bottleneck_dim=16)
    network = Network(backbone, head)
    prefix = f"{part}/"
    state = {
        k.removeprefix(prefix): torch.from_numpy(v)
        for k, v in arrays.items()
        if k.startswith(prefix)
    }
    network.load_state_dict(state, strict=True)
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
            student, teacher, loss, optimizer, crops, values=values,
            clip_grad=float(arrays["clip_grad"]),
            freeze_last_layer=int(arrays["freeze_last_layer"]),
        )  # fmt: skip
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

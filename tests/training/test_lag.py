"""The teacher's path against sums written out, and the training engine's own average."""

import numpy as np
import pytest
import torch
from torch import nn

from dino.errors import UserError
from dino.training.step import update_teacher
from dino.training.teaching.lag import example_path, memory_steps, teacher_path


def test_a_path_by_hand():
    assert teacher_path(np.array([0.0, 1.0, 1.0]), momentum=0.5).tolist() == [0, 0.5, 0.75]


def test_no_momentum_copies_and_full_momentum_stays():
    path = example_path(20, seed=1)
    assert teacher_path(path, momentum=0) == pytest.approx(path)
    assert teacher_path(path, momentum=1) == pytest.approx(np.full(20, path[0]))


def test_it_is_the_average_the_training_makes():
    path = example_path(30, seed=0)
    student, teacher = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.constant_(teacher.weight, path[0])
    followed = []
    for value in path:
        nn.init.constant_(student.weight, value)
        update_teacher(student, teacher, 0.9)
        followed.append(float(teacher.weight.detach()))
    assert teacher_path(path, momentum=0.9) == pytest.approx(followed, abs=1e-5)


def test_memory_is_where_the_weights_have_fallen_to_a_third():
    assert memory_steps(0.996) == pytest.approx(250)
    step = np.zeros(400)
    step[0] = 0.0
    step[1:] = 1.0  # the student jumps once
    left = 1 - teacher_path(step, momentum=0.99)[100]
    assert left == pytest.approx(np.exp(-1), abs=0.01)  # 100 steps later, 1/e is left of the old


@pytest.mark.parametrize("momentum", [-0.1, 1.1])
def test_a_momentum_out_of_range_is_named(momentum):
    with pytest.raises(UserError, match="momentum"):
        teacher_path(np.zeros(2), momentum=momentum)
    with pytest.raises(UserError, match="momentum"):
        memory_steps(momentum)


def test_examples_are_by_seed():
    assert torch.equal(*(torch.from_numpy(example_path(9, seed=4)) for _ in range(2)))
    assert not np.array_equal(example_path(9, seed=4), example_path(9, seed=5))

"""Gradients as a stage: memory, and who needs what."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from nets import blobs
from numpy.typing import NDArray

import fastnn as fnn
from fastnn import layers, optimizers
from fastnn.kernels.layout import ALIGNMENT
from fastnn.lowering.gradients.need import Need
from fastnn.models.feeding import feed
from fastnn.models.gradients import without_a_step


def compiled(optimizer: optimizers.Optimizer, **settings: Any) -> fnn.Sequential:
    model = fnn.Sequential([
        layers.Input((7,)), layers.Dense(21, **settings), layers.BatchNormalization(),
        layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def follow_each_other(arrays: list[NDArray[Any]]) -> bool:
    begins = [array.ctypes.data for array in arrays]
    ends = [array.ctypes.data + array.nbytes for array in arrays]
    return begins[0] % ALIGNMENT == 0 and begins[1:] == ends[:-1]


def slots_of(model: fnn.Model) -> dict[str, list[NDArray[Any]]]:
    updates = model._updates()
    by_number = zip(*updates.slots.values(), strict=True)
    found = {f"slot {i}": list(arrays) for i, arrays in enumerate(by_number)}
    return found | {"average": list(updates.averages.of.values())}


def test_gradients_lie_in_one_piece_of_memory_in_the_order_of_weights() -> None:
    model = compiled(optimizers.Adam(clipnorm=1.0))
    x, y = blobs(20, 7, 3)
    with without_a_step(model, feed(model, x, y, None)) as (program, _):
        arrays = [program.gradients[variable.path] for variable in model.trainable_weights]
        assert [a.shape for a in arrays] == [v.storage.shape for v in model.trainable_weights]
        assert follow_each_other(arrays)


def test_so_do_slots_and_averages_and_their_copies() -> None:
    model = compiled(optimizers.Adam(use_ema=True))
    model.fit(*blobs(20, 7, 3), verbose=0)
    twin = copy.deepcopy(model)
    found, copied = slots_of(model), slots_of(twin)
    assert set(found) == {"slot 0", "slot 1", "average"}
    for name, arrays in found.items():
        assert follow_each_other(arrays) and follow_each_other(copied[name])
        for own, other in zip(arrays, copied[name], strict=True):
            np.testing.assert_array_equal(own, other)
            assert own.any() and not np.shares_memory(own, other)


def test_a_slot_that_a_changed_setting_adds_keeps_the_others() -> None:
    model = compiled(optimizers.SGD(0.1, momentum=0.9))
    model.fit(*blobs(20, 7, 3), verbose=0)
    before = slots_of(model)["slot 0"]
    model.optimizer.use_ema = True
    after = slots_of(model)
    assert all(a is b for a, b in zip(before, after["slot 0"], strict=True))
    assert follow_each_other(after["average"])


@pytest.mark.parametrize(
    ("optimizer", "settings", "wanted"),
    [
        (optimizers.Adam(), {}, Need.NOTHING),
        (optimizers.Adam(clipvalue=1.0), {}, Need.NOTHING),
        (optimizers.Adam(), {"kernel_constraint": "non_neg"}, Need.NOTHING),
        (optimizers.Adam(global_clipnorm=1.0), {}, Need.NORM),
        (optimizers.Adam(clipnorm=1.0), {}, Need.WHOLE),
        (optimizers.Adam(adaptive_clip=1.0), {}, Need.WHOLE),
        (optimizers.Adam(use_ema=True), {}, Need.WHOLE),
        (optimizers.Adam(), {"kernel_constraint": "max_norm"}, Need.WHOLE),
        (optimizers.Adam(global_clipnorm=1.0), {"kernel_constraint": "max_norm"}, Need.WHOLE),
        (optimizers.Muon(), {}, Need.WHOLE),
    ],
)
def test_who_needs_what(
    optimizer: optimizers.Optimizer, settings: dict[str, Any], wanted: Need
) -> None:
    model = compiled(optimizer, **settings)
    assert model._updates().need(model.trainable_weights) == wanted

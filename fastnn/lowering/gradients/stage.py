"""The stages of the gradients, in order."""

from __future__ import annotations

from fastnn.lowering.builder import Builder
from fastnn.lowering.exchange import exchange
from fastnn.lowering.gradients import product_norms
from fastnn.lowering.gradients.finish import finish
from fastnn.lowering.gradients.guard import guard
from fastnn.lowering.gradients.need import Need
from fastnn.lowering.gradients.product import WeightProduct
from fastnn.lowering.gradients.reduce import reduce
from fastnn.lowering.gradients.update import update_at_once, update_stored
from fastnn.lowering.observation import Observation


def emit_gradients(builder: Builder, observation: Observation | None) -> None:
    """Add the ops of weight gradients and updates, and what else waits for the guard."""
    updates, gradients = builder.updates, builder.weight_gradients
    assert updates is not None
    at_once: list[WeightProduct] = []
    by_norm: list[WeightProduct] = []
    stored: list[WeightProduct] = []
    for product in gradients.products:
        whole = gradients.made_once(product)
        if whole and product_norms.suffice(builder, product):
            by_norm.append(product)
        elif whole and gradients.need == Need.NOTHING:
            at_once.append(product)
        else:
            stored.append(product)
    squares = reduce(builder, stored)
    exchange(builder)
    norms = product_norms.emit(builder, by_norm)
    guard(builder, finish(builder, squares), norms)
    if observation is not None:
        observation.stored_gradients()
    if not updates.apply:
        return
    for product in at_once:
        product.produce(builder)
    update_at_once(builder, [*at_once, *by_norm], observation)
    update_stored(builder)
    for action in builder.after_guard:
        action()

"""What a change is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastnn.health.anatomy import Product, Unit
from fastnn.health.blueprint import Blueprint
from fastnn.layers import Dense

if TYPE_CHECKING:
    from fastnn.models import Model


def _nothing(blueprint: Blueprint) -> Blueprint:
    return blueprint


@dataclass(frozen=True)
class Change:
    """Something that may cure a model.

    Attributes:
        name: For programs: "initialization", "learning_rate_down", ...
        change: What changes, in words.
        category: Of changes of one category only one makes sense at a time.
        edit: Makes the changed blueprint; the same one if there is nothing left to change.
        fit_arguments: Makes arguments for ``fit``, callbacks among them, anew at each call.
        cause: What it undoes, in words, where that is known beforehand.
    """

    name: str
    change: str
    category: str
    edit: Callable[[Blueprint], Blueprint] = _nothing
    fit_arguments: Callable[[], dict[str, Any]] = dict
    cause: str = ""

    @property
    def changes_steps(self) -> bool:
        """Whether a trial can come out another than without it: not if it only says how long to
        train."""
        return self.edit is not _nothing or "batch_size" in self.fit_arguments()

    def apply(self, model: Model) -> Model:
        """A new compiled model with the change; ``model`` stays as it is.

        Raises:
            ValueError: ``model`` isn't built or compiled, or has a layer that can't be copied.
        """
        return self.edit(Blueprint.of(model)).make()


def combine(first: Change, second: Change) -> Change:
    """Both, one after the other. Of fit's arguments ``second``'s win, but callbacks add up."""

    def fit_arguments() -> dict[str, Any]:
        one, two = first.fit_arguments(), second.fit_arguments()
        callbacks = [*one.get("callbacks", []), *two.get("callbacks", [])]
        return {**one, **two, **({"callbacks": callbacks} if callbacks else {})}

    return Change(
        f"{first.name}+{second.name}",
        f"{first.change}; {second.change}",
        f"{first.category}+{second.category}",
        lambda blueprint: second.edit(first.edit(blueprint)),
        fit_arguments,
    )


def described(layers: Sequence[Unit] | Sequence[Product]) -> str:
    """ "the hidden layer 'dense'", "the convolution 'conv2d'", "the 10 hidden layers"."""
    plain = [each.layer if isinstance(each, Unit) else each for each in layers]
    pictures = not any(isinstance(layer, Dense) for layer in plain)
    if len(plain) > 1:
        return f"the {len(plain)} {'convolutions' if pictures else 'hidden layers'}"
    return f"the {'convolution' if pictures else 'hidden layer'} {plain[0].name!r}"

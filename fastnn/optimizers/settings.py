"""Settings of an optimizer: attributes that are checked whenever they are set."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar

from fastnn._checks import check_choice, check_flag, check_integer, check_real

T = TypeVar("T")


class Shared(TypedDict, total=False):
    """The arguments that every optimizer takes after its own: see ``Optimizer``."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    name: str | None
    adaptive_clip: float | None
    nonfinite: str


class Setting(Generic[T]):
    """An attribute of its value's type, which ``check(owner, name, value)`` returns.

    The value is in the object's ``__dict__``, where Python finds it, since this has no ``__get__``.
    """

    def __init__(self, check: Callable[[str, str, object], T]) -> None:
        self._check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __set__(self, instance: object, value: T) -> None:
        checked = self._check(type(instance).__name__, self._name, value)
        instance.__dict__[self._name] = checked

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: type) -> T: ...


CLIPS = ("clipnorm", "clipvalue", "global_clipnorm", "adaptive_clip")


class Clip(Setting["float | None"]):
    """One of ``CLIPS``: None, or a number > 0 if no other is set."""

    def __init__(self) -> None:
        super().__init__(optional_check(above=0))

    def __set__(self, instance: object, value: float | None) -> None:
        before = vars(instance).get(self._name)
        super().__set__(instance, value)
        given = [f"{c}={vars(instance)[c]:g}" for c in CLIPS if vars(instance).get(c) is not None]
        if len(given) > 1:
            instance.__dict__[self._name] = before
            raise ValueError(
                f"{type(instance).__name__}: at most one of {', '.join(CLIPS)} may be given, got "
                f"{', '.join(given)}"
            )


def real(**limits: float) -> Setting[float]:
    """A finite number within ``limits``, as ``check_real`` takes them."""
    return Setting(lambda owner, name, value: check_real(owner, name, value, **limits))


def optional_real(**limits: float) -> Setting[float | None]:
    """None or such a number."""
    return Setting(optional_check(**limits))


def flag() -> Setting[bool]:
    """True or False."""
    return Setting(check_flag)


def count(at_least: int) -> Setting[int]:
    """An integer."""
    return Setting(lambda owner, name, value: check_integer(owner, name, value, at_least=at_least))


def optional_count(at_least: int) -> Setting[int | None]:
    """None or an integer."""

    def check(owner: str, name: str, value: object) -> int | None:
        return None if value is None else check_integer(owner, name, value, at_least=at_least)

    return Setting(check)


def choice(*choices: str) -> Setting[str]:
    """One of some words."""
    return Setting(lambda owner, name, value: check_choice(owner, name, value, choices))


def optional_check(**limits: float) -> Callable[[str, str, object], float | None]:
    """None, or what ``check_real`` lets pass."""

    def check(owner: str, name: str, value: object) -> float | None:
        return None if value is None else check_real(owner, name, value, **limits)

    return check


def full_signature(own: Callable[..., Any], base: Callable[..., Any]) -> inspect.Signature:
    """What a constructor takes that passes ``*shared, **options`` on to that of ``Optimizer``."""
    Parameter = inspect.Parameter
    parameters = list(inspect.signature(own).parameters.values())[1:]
    open_ended = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters):
        parameters = [p for p in parameters if p.kind not in open_ended]
        shared = inspect.signature(base).parameters
        parameters += [shared[name] for name in Shared.__annotations__]
    return inspect.Signature(sorted(parameters, key=lambda parameter: parameter.kind))

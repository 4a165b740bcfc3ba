"""From a name or a saved configuration to an object.

A configuration is ``{"class_name": ..., "config": {...}}`` of plain JSON values. A class is only
ever looked up in the dict that its own module offers, and in what the caller says beside
(``custom_objects``): nothing is imported or evaluated by name, so that a file can't make the
package run anything else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar


class Configurable(Protocol):
    """What can be described by a configuration."""

    def get_config(self) -> dict[str, Any]: ...

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any: ...


T = TypeVar("T", bound=Configurable)


_custom: ContextVar[Mapping[str, type]] = ContextVar("custom_objects")


@contextmanager
def custom_objects(classes: Mapping[str, type]) -> Iterator[None]:
    """Names inside may mean ``classes`` too, which come before the package's own.

    Raises:
        TypeError: not a dict from names to classes.
    """
    if not isinstance(classes, Mapping) or not all(
        isinstance(name, str) and isinstance(cls, type) for name, cls in classes.items()
    ):
        raise TypeError(f"custom_objects must be a dict of classes by name, got {classes!r:.80}")
    token = _custom.set(classes)
    try:
        yield
    finally:
        _custom.reset(token)


def serialize(obj: Configurable) -> dict[str, Any]:
    """The configuration that describes ``obj``."""
    return {"class_name": type(obj).__name__, "config": obj.get_config()}


def resolve(what: str, base: type[T], classes: Mapping[str, type[T]], identifier: object) -> T:
    """The object that ``identifier`` names, describes or is.

    Args:
        what: what it is, for messages: "layer".
        base: the class of all of them.
        classes: every class that a name or a configuration may mean.
        identifier: a name, a configuration, a class or an object.

    Raises:
        ValueError: the name is unknown, or the configuration is malformed.
        TypeError: ``identifier`` is of another type.
    """
    if isinstance(identifier, base):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, base):
        return identifier()
    if isinstance(identifier, str):
        return _known(what, base, classes, identifier)()
    if isinstance(identifier, dict):
        return _configured(what, base, classes, identifier)
    raise TypeError(
        f"{what} must be a name, a config or a {base.__name__}, got {_shortened(identifier)}"
    )


def _known(what: str, base: type[T], classes: Mapping[str, type[T]], name: object) -> type[T]:
    custom = {key: cls for key, cls in _custom.get({}).items() if issubclass(cls, base)}
    classes = {**classes, **custom}
    if not isinstance(name, str) or name not in classes:
        raise ValueError(f"unknown {what} {_shortened(name)}; known: {', '.join(sorted(classes))}")
    return classes[name]


def _configured(
    what: str, base: type[T], classes: Mapping[str, type[T]], identifier: dict[str, Any]
) -> T:
    if identifier.keys() != {"class_name", "config"} or not isinstance(identifier["config"], dict):
        raise ValueError(
            f"the config of a {what} must have 'class_name' and a dict 'config', got "
            f"{_shortened(identifier)}"
        )
    cls = _known(what, base, classes, identifier["class_name"])
    try:
        return cls.from_config(identifier["config"])  # type: ignore[no-any-return]
    except TypeError as error:
        raise ValueError(f"bad config of {what} {cls.__name__}: {error}") from error


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

"""Which layer of the source goes to which layer of the model.

By name, if all layers find theirs by it; else by the order, if the source has one; else by shapes,
if they leave no choice. Whatever the way, all shapes must fit, nothing may be left over, and no
layer that the user named may get something else than the source's layer of that name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fastnn.importing.source import Module, Source, Tensor
from fastnn.importing.target import Part, Target

Pairs = list[tuple[Target, Module]]

_HINT = "names={'layer': 'its name there', ...} says which is which"


def match(targets: Sequence[Target], source: Source, names: Mapping[str, str]) -> Pairs:
    """Every target with its module.

    Args:
        names: Of modules by those of layers, for some of them.

    Raises:
        ValueError: There is no way, or more than one; the message names the layers that don't fit
            where most do by their names or in their order, else it lists both sides.
    """
    fixed = _fixed(targets, source, names)
    free = [target for target in targets if target.name not in fixed]
    left = [each for each in source.modules if all(each is not other for other in fixed.values())]
    named = _by_name(free, left, source)
    plans = {"by name": [named.get(target.name) for target in free]}
    if source.ordered and len(left) == len(free):
        plans["in their order"] = list(left)
    plans["by their shapes"] = _by_shape(free, left)
    misfits: dict[str, Pairs] = {}
    for way, plan in plans.items():
        pairs = [(target, module) for target, module in zip(free, plan, strict=True) if module]
        whole = len(pairs) == len(free) == len(left)
        if whole and not _contradicts(pairs, named):
            misfits[way] = [pair for pair in pairs if faults(*pair)]
            if not misfits[way]:
                chosen = {target.name: module for target, module in pairs} | fixed
                return [(target, chosen[target.name]) for target in targets]
    way = min(misfits, key=lambda way: len(misfits[way]), default="")
    if way == "by name" or (way and len(misfits[way]) <= max(1, len(free) / 2)):
        wrong = [fault for pair in misfits[way] for fault in faults(*pair)]
        fit = f"{way} {len(free) - len(misfits[way])} of {len(free)} layers fit"
        raise ValueError(
            f"the weights of {source.title} don't fit: {', '.join(wrong)}; {fit}; {_HINT}"
        )
    tried = {**named, **fixed}
    raise ValueError(_explained(targets, source, tried))


def match_some(targets: Sequence[Target], source: Source, names: Mapping[str, str]) -> Pairs:
    """The targets that find a module by name; the others are left out.

    Raises:
        ValueError: None does.
    """
    found = _fixed(targets, source, names)
    free = [target for target in targets if target.name not in found]
    found |= _by_name(free, source.modules, source)
    if not found:
        raise ValueError(_explained(targets, source, found))
    return [(target, found[target.name]) for target in targets if target.name in found]


def faults(target: Target, module: Module) -> list[str]:
    """Why the tensors of a module are not those of a layer: a sentence each."""
    pairs = assigned(target, module)
    found = [
        f"{part.variable.name} {part.shape} of layer {target.name!r} is missing in {module.name!r}"
        if tensor is None
        else f"{tensor.name!r} has shape {tensor.shape}, layer {target.name!r} wants {part.shape}"
        for part, tensor in pairs
        if tensor is None or tensor.shape != part.shape
    ]
    used = {id(tensor) for _, tensor in pairs}
    return found + [
        f"layer {target.name!r} has no use for {tensor.name!r} {tensor.shape}"
        for tensor in module.tensors.values()
        if id(tensor) not in used and tensor.shape != ()  # a count, of Keras's Normalization
    ]


def assigned(target: Target, module: Module) -> list[tuple[Part, Tensor | None]]:
    """Each weight with its tensor: by what they are called, or by number, as in files of Keras."""
    if all(role.isdigit() for role in module.tensors):
        return [(part, module.tensors.get(str(i))) for i, part in enumerate(target.parts)]
    return [
        (part, next((module.tensors[r] for r in part.roles if r in module.tensors), None))
        for part in target.parts
    ]


def check_epsilon(target: Target, module: Module) -> None:
    """ValueError if the source adds something else to variances than the layer does."""
    own = getattr(target.layer, "epsilon", None)
    if module.epsilon is None or own is None:
        return
    if not math.isclose(own, module.epsilon, rel_tol=1e-6):
        raise ValueError(
            f"layer {target.name!r} has epsilon={own}, {module.name!r} has {module.epsilon}: "
            f"make the layer with epsilon={module.epsilon}, or its predictions will differ"
        )


def _fixed(
    targets: Sequence[Target], source: Source, names: Mapping[str, str]
) -> dict[str, Module]:
    """What the user said."""
    known = {target.name for target in targets}
    found = {}
    for name, wanted in names.items():
        if name not in known:
            raise ValueError(
                f"names: the model has no layer {name!r} with weights; it has "
                f"{', '.join(sorted(known))}"
            )
        modules = [module for module in source.modules if wanted == module.name]
        if len(modules) != 1:
            raise ValueError(
                f"names: {source.title} has {len(modules) or 'no'} {wanted!r}; it has "
                f"{', '.join(module.name for module in source.modules)}"
            )
        found[name] = modules[0]
    return found


def _by_name(
    targets: Sequence[Target], modules: Sequence[Module], source: Source
) -> dict[str, Module]:
    """Modules by the names of targets: the whole path, or the end of it, if only one ends so. By
    class and number, where that is what they are called."""
    if source.counted:
        numbered = {module.name: module for module in modules}
        return {t.name: numbered[t.counted] for t in targets if t.counted in numbered}
    found: dict[str, list[Module]] = {}
    for module in modules:
        for ending in _endings(module.name):
            found.setdefault(ending, []).append(module)
    whole = {module.name: module for module in modules}
    return {
        target.name: whole.get(target.name) or found[target.name][0]
        for target in targets
        if target.name in whole or len(found.get(target.name, [])) == 1
    }


def _endings(path: str) -> list[str]:
    parts = path.replace("/", ".").split(".")
    return [".".join(parts[i:]) for i in range(len(parts))]


def _by_shape(targets: Sequence[Target], modules: Sequence[Module]) -> list[Module | None]:
    """The only module that fits each; None where several do. If all but one have theirs, the one
    gets what is left."""
    fitting = [[each for each in modules if not faults(target, each)] for target in targets]
    single = [each[0] if len(each) == 1 else None for each in fitting]
    taken = {id(each) for each in single if each is not None}
    if len(taken) < len(single) - single.count(None):
        return [None] * len(single)
    left = [each for each in modules if id(each) not in taken]
    if single.count(None) == len(left) == 1:
        single[single.index(None)] = left[0]
    return single


def _contradicts(pairs: Pairs, named: Mapping[str, Module]) -> bool:
    return any(
        target.is_named and named.get(target.name, module) is not module for target, module in pairs
    )


def _explained(targets: Sequence[Target], source: Source, tried: Mapping[str, Module]) -> str:
    """What fits by name, and what doesn't."""
    fitting = {t.name: tried[t.name] for t in targets if t.name in tried}
    wrong = [fault for t in targets if t.name in fitting for fault in faults(t, fitting[t.name])]
    lines = [f"the weights of {source.title} can't be told apart or don't fit"]
    lines += _listed("by name fit", [t.name for t in targets if t.name in fitting
                                     and not faults(t, fitting[t.name])])  # fmt: skip
    lines += _listed("by name don't fit", wrong)
    lines += _listed("layers without", [_wanted(t) for t in targets if t.name not in fitting])
    taken = {id(module) for module in fitting.values()}
    spare = [each for each in source.modules if id(each) not in taken]
    lines += _listed(
        "left over", [f"{t.name} {t.shape}" for m in spare for t in m.tensors.values()]
    )
    lines.append(_HINT)
    return "; ".join(lines)


def _listed(what: str, items: list[str]) -> list[str]:
    return [f"{what}: {', '.join(items)}"] if items else []


def _wanted(target: Target) -> str:
    parts = ", ".join(f"{part.variable.name} {part.shape}" for part in target.parts)
    return f"{target.name} ({parts})"

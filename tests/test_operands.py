"""Kernels read operands by the names of the table of ops; they lie where the engine puts them."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from fastnn.lowering.ops import BLOCKS, OPS, OpSpec

ROOT = Path(__file__).parent.parent
KERNELS = ROOT / "fastnn" / "kernels"
MADE = KERNELS / "operands.pxd"

pytestmark = pytest.mark.skipif(
    not (ROOT / "tools" / "operands.py").is_file() or not list(KERNELS.glob("*.pyx")),
    reason="no sources beside this package",
)

LIMITS = {"t": "MAX_TENSORS", "stride": "MAX_TENSORS", "d": "MAX_INTEGERS", "f": "MAX_NUMBERS"}


def generator() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / "operands.py"))


def title(op: str) -> str:
    return op.title().replace("_", "")


def sources() -> dict[str, str]:
    paths = [path for path in KERNELS.iterdir() if path.suffix in (".pyx", ".pxd")]
    return {path.name: path.read_text() for path in paths if path != MADE}


def by_number(text: str) -> list[str]:
    """What reads an operand other than by its name."""
    return re.findall(r"\b(?:operands|op|o)\.(?:t|stride|d|f)\b(?!\.)|\._\w+", text)


def test_no_kernel_reads_an_operand_by_number() -> None:
    assert (
        by_number("x = op.t[0]") and by_number("op.operands.d[first + 1]") and by_number("o.f + 1")
    )
    assert by_number("o.t._rest[0]") and not by_number("o.t.x + o.d.rows * o.stride.x")
    for name, text in sources().items():
        assert not by_number(text), name


def test_kernels_read_the_operands_of_their_own_op() -> None:
    found = set()
    for name, text in sources().items():
        for function in re.split(r"(?m)^(?=cdef )", text):
            for struct in re.findall(r"<const (\w+) \*> &op\.operands", function):
                found.add(struct)
                assert f"cdef const {struct} *o = " in function, name
                kernel = re.match(
                    r"cdef void (\w+)\(const Op \*op, const Step \*step, int i", function
                )
                if kernel is not None:
                    assert struct == title(kernel[1]), name
        assert text.count("&op.operands") == len(re.findall(r"> &op\.operands\n", text)), name
    assert found <= {title(op) for op in OPS}
    assert len(found) > 80


TYPES = {
    "float": "f4", "double": "f8", "int32_t": "i4", "int64_t": "i8", "uint16_t": "u2",
    "uint8_t": "u1", "fnn_summary": "V", "fnn_activation_summary": "V",
}  # fmt: skip


def casts(function: str) -> dict[str, set[str]]:
    """Tensor -> the types that a function of a kernel reads or writes it as."""
    found: dict[str, set[str]] = {}
    for kind, name in re.findall(r"<(?:const )?(\w+) \*> o\.t\.(\w+)\b(?![.\[])", function):
        found.setdefault(name, set()).add(kind)
    return found


def test_kernels_read_tensors_as_what_they_are() -> None:
    ops, seen = {title(op): spec for op, spec in OPS.items()}, 0
    for name, text in sources().items():
        for function in re.split(r"(?m)^(?=cdef )", text):
            for struct in re.findall(r"<const (\w+) \*> &op\.operands", function):
                for tensor, kinds in casts(function).items():
                    declared = ops[struct].tensors[tensor].dtype
                    if declared is not None:
                        assert {TYPES[kind] for kind in kinds} == {declared}, (name, struct, tensor)
                        seen += 1
    assert seen > 250


def structs(text: str) -> dict[str, list[tuple[str, str, int]]]:
    """Struct -> type, name and length of its members."""
    found = {}
    for name, body in re.findall(r"ctypedef struct (\w+):\n((?:    .+\n)+)", text):
        members = re.findall(r"    (\w+) \*?(\w+)(?:\[(\d+)\])?\n", body)
        assert len(members) == body.count("\n")
        found[name] = [(kind, member, int(count or 1)) for kind, member, count in members]
    return found


def leaves(struct: str, known: dict[str, list[tuple[str, str, int]]]) -> list[tuple[str, str]]:
    """Type and name of all that a struct has, in order; those of an array are numbered."""
    found = []
    for kind, member, count in known[struct]:
        if kind in known:
            found += leaves(kind, known)
        else:
            found += [(kind, f"{member}[{k}]" if count > 1 else member) for k in range(count)]
    return found


@pytest.mark.parametrize("op", OPS)
def test_structs_lie_as_operands_do(op: str) -> None:
    text = generator()["source"](OPS, BLOCKS)
    limits = {name: int(n) for name, n in re.findall(r"    (MAX_\w+) = (\d+)\n", text)}
    spec, known = OPS[op], structs(text)
    renamed = {name: inner for block in BLOCKS for name, inner in block.operands.items()}
    expected = {
        "t": tuple(spec.tensors),
        "stride": tuple(spec.tensors),
        "d": spec.integers,
        "f": spec.numbers,
    }
    types = {"t": "void", "stride": "int64_t", "d": "int64_t", "f": "float"}
    assert [member.lstrip("_") for _, member, _ in known[title(op)]] == list(types)
    for struct, member, count in known[title(op)]:
        kind, names = member.lstrip("_"), expected[member.lstrip("_")]
        if member.startswith("_"):
            assert not names and count == limits[LIMITS[kind]] and struct == types[kind]
            continue
        found = leaves(struct, known)
        assert len(found) == limits[LIMITS[kind]]
        assert {leaf[0] for leaf in found} == {types[kind]}
        for name, (_, leaf) in zip(names, found, strict=False):
            number = re.sub(r"s\[(\d+)\]$", r"_\1", leaf)
            assert number in (name, renamed.get(name)), (name, leaf)
        assert all(leaf.startswith("_rest") for _, leaf in found[len(names) :])


@pytest.mark.skipif(not MADE.exists(), reason="nothing was compiled here")
def test_what_is_compiled_was_made_of_the_table_as_it_is() -> None:
    assert generator()["source"](OPS, BLOCKS) == MADE.read_text()


def test_names_that_c_cannot_have() -> None:
    source = generator()["source"]
    assert "    int64_t rows\n" in source({"op": OpSpec({}, ("rows",))}, ())
    for name in ("int", "from", "cdef"):
        with pytest.raises(ValueError, match=f"'{name}' can't be the name of an operand in C"):
            source({"op": OpSpec({}, (name,))}, ())

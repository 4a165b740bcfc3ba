"""Names for what kernels read: fastnn/kernels/operands.pxd, made of the table of ops.

    python tools/operands.py        # as setup.py does before each build

For each op a struct that lies as `Operands` in an `Op` does, so that a kernel says what it reads:

    cdef const ConvForward *o = <const ConvForward *> &op.operands

    o.t.kernel, o.stride.x, o.d.channels, o.f.params

Operands `slot_0`, `slot_1`, ... are an array `slots`; the `BLOCKS` of the table are structs too.
"""

import keyword
import runpy
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "fastnn" / "lowering" / "ops.py"
OPERANDS = ROOT / "fastnn" / "kernels" / "operands.pxd"

KINDS = {"t": "void *", "stride": "int64_t ", "d": "int64_t ", "f": "float "}
ROOM = {"t": "MAX_TENSORS", "stride": "MAX_TENSORS", "d": "MAX_INTEGERS", "f": "MAX_NUMBERS"}
# Of C and Cython; Python's own are asked for.
RESERVED = {
    "auto", "bint", "by", "case", "cdef", "char", "cimport", "const", "cpdef", "ctypedef",
    "default", "do", "double", "enum", "extern", "float", "gil", "goto", "include", "inline",
    "int", "long", "nogil", "register", "restrict", "short", "signed", "sizeof", "static",
    "struct", "switch", "typedef", "union", "unsigned", "void", "volatile",
}  # fmt: skip

# A name, the struct that it is or None, how many operands it stands for.
Field = tuple[str, object, int]


def operands(spec: object) -> dict[str, tuple[str, ...]]:
    """Names of an op's operands, of each kind."""
    tensors = tuple(spec.tensors)
    return {"t": tensors, "stride": tensors, "d": spec.integers, "f": spec.numbers}


def fields(names: tuple[str, ...], blocks: Iterable[object]) -> Iterator[Field]:
    """What a struct of these operands has, in their order: the longest blocks come first."""
    blocks = sorted(blocks, key=lambda block: -len(block.operands))
    while names:
        for block in blocks:
            if names[: len(block.operands)] == tuple(block.operands):
                field: Field = (block.field, block, len(block.operands))
                break
        else:
            stem, length = names[0].removesuffix("_0"), 1
            while names[:length] == tuple(f"{stem}_{k}" for k in range(length)):
                length += 1
            length = max(length - 1, 1)
            field = (names[0] if length == 1 else f"{stem}s", None, length)
        if keyword.iskeyword(field[0]) or field[0] in RESERVED:
            raise ValueError(f"{TABLE.name}: {field[0]!r} can't be the name of an operand in C")
        yield field
        names = names[field[2] :]


def struct(name: str, lines: list[str]) -> str:
    return "\n    ".join([f"ctypedef struct {name}:", *lines]) + "\n"


def members(kind: str, names: tuple[str, ...], blocks: tuple[object, ...]) -> list[str]:
    lines = []
    for field, block, count in fields(names, blocks):
        if block is not None:
            lines.append(f"{block.struct} {field}")
        else:
            lines.append(f"{KINDS[kind]}{field}{f'[{count}]' if count > 1 else ''}")
    return lines


def source(ops: dict[str, object], blocks: tuple[object, ...]) -> str:
    """The text of operands.pxd."""
    most = {ROOM[kind]: max(len(operands(spec)[kind]) for spec in ops.values()) for kind in KINDS}
    of_blocks: dict[str, str] = {}
    of_ops = []
    for name, spec in ops.items():
        title = "".join(part.capitalize() for part in name.split("_"))
        whole = []
        for kind, names in operands(spec).items():
            rest = most[ROOM[kind]] - len(names)
            if not names:
                whole.append(f"{KINDS[kind]}_{kind}[{rest}]")
                continue
            # A stride is asked for by the name of the tensor.
            known = () if kind == "stride" else blocks
            for block in used(names, known):
                inner = tuple(other for other in blocks if other.struct != block.struct)
                text = struct(block.struct, members(kind, tuple(block.operands.values()), inner))
                if of_blocks.setdefault(block.struct, text) != text:
                    raise ValueError(f"{TABLE.name}: blocks {block.struct} are not alike")
            lines = members(kind, names, known) if known else [f"int64_t {n}" for n in names]
            if rest:
                lines.append(f"{KINDS[kind]}_rest[{rest}]")
            of_kind = title + {"t": "T", "stride": "Stride", "d": "D", "f": "F"}[kind]
            of_ops.append(struct(of_kind, lines))
            whole.append(f"{of_kind} {kind}")
        of_ops.append(struct(title, whole))
    limits = struct("", [f"{name} = {number}" for name, number in most.items()])
    return "\n".join(
        [
            "# Made by tools/operands.py of fastnn/lowering/ops.py: change that.\n",
            "from libc.stdint cimport int64_t\n",
            limits.replace("ctypedef struct :", "cdef enum:"),
            *of_blocks.values(),
            *of_ops,
        ]
    )


def used(names: tuple[str, ...], blocks: tuple[object, ...]) -> Iterator[object]:
    """The blocks among these operands, after those inside of them."""
    for _, block, _ in fields(names, blocks):
        if block is not None:
            inner = tuple(other for other in blocks if other.struct != block.struct)
            yield from used(tuple(block.operands.values()), inner)
            yield block


def main() -> None:
    table = runpy.run_path(str(TABLE))
    text = source(table["OPS"], table["BLOCKS"])
    # Left alone where nothing is new, so that nothing is compiled again.
    if not OPERANDS.exists() or OPERANDS.read_text() != text:
        OPERANDS.write_text(text)


if __name__ == "__main__":
    main()

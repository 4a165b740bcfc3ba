"""Record what Keras 3 computes for every case, in ``keras*.npz`` beside this file.

    pip install keras jax
    python tests/reference/make_keras_reference.py            # every case, about ten minutes
    python tests/reference/make_keras_reference.py fit/ loss/ # renew these, keep the others
    python tests/reference/make_keras_reference.py --into keras_optimizers.npz optimizer/lion

Each file keeps its cases when they are renewed; one that is in no file yet goes into the file named
by ``--into``, by default ``keras.npz``.

Each case runs in float32 and in float64 (one process each: JAX decides at import). Recorded are
both, rounded to float32: Keras's float32 results are what a user compares with, and the float64
run is the exact one, from which rounding has carried Keras itself some way off.

A file holds three arrays: ``index``, a JSON text
{"origin": {...}, "cases": {name: {"digest": int, "results": {key: [offset, shape]}}}}, and the
float32 vectors ``float32`` and ``float64`` in which a result starts at its offset.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
PRECISIONS = ("float32", "float64")


def record(precision: str, prefixes: list[str], path: Path) -> None:
    """Run the cases that start with one of ``prefixes`` in this process; write an .npz."""
    import keras

    from reference import execute, select
    from reference.precision import keep_float64

    keras.config.set_floatx(precision)
    if precision == "float64":
        keep_float64()
    origin = {"keras": keras.version(), "backend": keras.backend.backend()}
    arrays: dict[str, Any] = {}
    digests: dict[str, int] = {}
    for name in select(prefixes):
        run = execute(name, keras)
        digests[name] = run.digest
        arrays |= {f"{name}:{key}": values for key, values in run.results.items()}
        keras.utils.clear_session()
        print(precision, name, flush=True)
    np.savez(path, origin=json.dumps(origin), digests=json.dumps(digests), **arrays)


def record_in_subprocess(precision: str, prefixes: list[str], path: Path) -> Any:
    """``record`` in a process whose JAX has this precision; return the open .npz."""
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": str(int(precision == "float64")),
        # Compiling is most of the time; the arithmetic is the same.
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "PYTHONPATH": str(HERE.parent),
    }
    command = [sys.executable, __file__, "--record", precision, str(path), *prefixes]
    subprocess.run(command, check=True, env=environment)
    return np.load(path)


def homes(into: Path) -> dict[Path, list[str]]:
    """Names of the defined cases by the file that each belongs to, in the order of definition."""
    from reference import Reference, select

    paths = sorted({into, *HERE.glob("keras*.npz")})
    held = {name: path for path in paths if path.exists() for name in Reference(path).names}
    cases: dict[Path, list[str]] = {}
    for name in select([]):
        cases.setdefault(held.get(name, into), []).append(name)
    return cases


def main(prefixes: list[str], into: Path) -> None:
    """Record in both precisions and write the files that hold the cases."""
    from reference import Reference, select

    renewed = set(select(prefixes))
    cases: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        runs = [record_in_subprocess(p, prefixes, Path(folder) / f"{p}.npz") for p in PRECISIONS]
        origin = json.loads(str(runs[0]["origin"]))
        digests = json.loads(str(runs[0]["digests"]))
        for name in renewed:
            keys = [key for key in runs[0].files if key.startswith(f"{name}:")]
            results = {key.removeprefix(f"{name}:"): [r[key] for r in runs] for key in keys}
            cases[name] = (digests[name], results)
    origin |= {
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "made_by": "tests/reference/make_keras_reference.py",
    }
    for path, names in homes(into).items():
        if renewed.isdisjoint(names):
            continue
        old = Reference(path) if path.exists() else None
        for name in names:
            if name not in cases and old is not None and name in old.names:
                cases[name] = (old.digest(name), old.results(name))
        write(path, origin, {name: cases[name] for name in names if name in cases})


def write(path: Path, origin: dict[str, str], cases: dict[str, Any]) -> None:
    """Write the file: cases by name, each (digest, {key: (float32, float64)})."""
    index: dict[str, Any] = {}
    vectors: tuple[list, list] = ([], [])
    offset = 0
    for name, (digest, results) in cases.items():
        index[name] = {"digest": digest, "results": {}}
        for key, pair in results.items():
            index[name]["results"][key] = [offset, list(pair[0].shape)]
            offset += pair[0].size
            for vector, values in zip(vectors, pair, strict=True):
                vector.append(np.ravel(values).astype(np.float32))
    text = json.dumps({"origin": origin, "cases": index}, separators=(",", ":"))
    float32, float64 = (np.concatenate(vector) for vector in vectors)
    np.savez_compressed(path, index=text, float32=float32, float64=float64)
    print(f"{path}: {len(index)} cases, {offset} values, {path.stat().st_size} bytes")


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    if sys.argv[1:2] == ["--record"]:
        record(sys.argv[2], sys.argv[4:], Path(sys.argv[3]))
    elif sys.argv[1:2] == ["--into"]:
        main(sys.argv[3:], HERE / sys.argv[2])
    else:
        main(sys.argv[1:], HERE / "keras.npz")

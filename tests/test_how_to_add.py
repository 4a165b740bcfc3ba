"""ARCHITECTURE's "How to add", followed: an activation and an optimizer that nobody wants."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import fastnn

Array = NDArray[np.float64]

ROOT = Path(__file__).parent.parent

ACTIVATION = (
    "ACTIVATION(FNN_CUBIC, cubic, FNN_READS_INPUT, x * x * x + x, 3.0f * z[i] * z[i] + 1.0f)\n"
)

UPDATE = """
UPDATE(FNN_BOUNDED, bounded, FNN_KEEPS_GRADIENTS, {
    const float m = c2 * s0[i] + g, size = 1.0f + fabsf(m);
    s0[i] = m;
    x -= step * m / size;
})
"""

OPTIMIZER = '''
from fastnn.optimizers.base import Optimizer, rows
from fastnn.optimizers.settings import real


class Bounded(Optimizer):
    """m = momentum * m + g; w -= lr * m / (1 + |m|)"""

    momentum = real(at_least=0, at_most=1)
    kernel = "bounded"
    slots = ("momentum",)

    def __init__(self, learning_rate=0.1, momentum=0.5, weight_decay=None, *shared, **options):
        super().__init__(learning_rate, weight_decay, *shared, **options)
        self.momentum = momentum

    def scalars(self, iterations, learning_rate):
        return rows(learning_rate, self._decay(learning_rate), self.momentum)
'''

# setup.py, but only for what depends on the lists, and only for the level of all CPUs.
BUILD = """
import runpy
import sys
import Cython.Build

NAMES = ("fastnn.kernels.levels", "fastnn.kernels.codes")
cythonize = Cython.Build.cythonize

def only_names(extensions, **options):
    return cythonize([each for each in extensions if each.name in NAMES], **options)

Cython.Build.cythonize = only_names
sys.argv = ["setup.py", "-q", "build_ext", "--inplace"]
runpy.run_path("setup.py", run_name="__main__")
"""
ONLY_GENERIC = " ".join(
    f"-Dfnn_kernels_{level}=fnn_kernels_generic" for level in ("avx2", "avx512", "neon")
)

TRAIN = """
import json
import numpy as np
import fastnn as fnn
from fastnn import layers
from fastnn.kernels import codes

model = fnn.Sequential([layers.Input((3,)), layers.Dense(4, activation="cubic"), layers.Dense(2)])
model.compile("bounded", "mean_squared_error")
with open("given.json") as file:
    given = json.load(file)
x, y = (np.array(given[name], np.float32) for name in ("x", "y"))
model.set_weights([np.array(w, np.float32) for w in given["weights"]])
model.fit(x, y, batch_size=6, epochs=5, shuffle=False, verbose=0)
print(json.dumps({
    "weights": [w.tolist() for w in model.get_weights()],
    "activations": codes.ACTIVATIONS,
    "optimizers": codes.OPTIMIZERS,
    "reads_input": sorted(codes.READS_INPUT),
    "keeps_squares": sorted(codes.KEEPS_SQUARES),
}))
"""


def insert(path: Path, before: str, text: str) -> None:
    """Text before what stands in the file once, or at the end for ""."""
    content = path.read_text()
    if before:
        assert content.count(before) == 1, f"{path.name}: {before!r}"
        path.write_text(content.replace(before, text + before))
    else:
        path.write_text(content + text)


def follow(copy: Path) -> set[str]:
    """Do what "How to add" says, but for the twins; returns the files that were touched."""
    insert(copy / "csrc/activations.def", "", ACTIVATION)
    insert(copy / "fastnn/activations.py", '    "softmax",\n    "relu_general",', '    "cubic",\n')
    insert(copy / "fastnn/activations.py", "\n_BY_NAME:", 'cubic = Activation("cubic")\n')

    insert(copy / "csrc/optimizers.def", "", UPDATE)
    (copy / "fastnn/optimizers/bounded.py").write_text(OPTIMIZER)
    package = copy / "fastnn/optimizers/__init__.py"
    line = "from fastnn.optimizers.bounded import Bounded\n"
    insert(package, "from fastnn.optimizers.lion", line)
    insert(package, "SGD, Adagrad, Adam, AdamW, Lion, Muon, Nadam, RMSprop)", "Bounded, ")
    return {
        "csrc/activations.def",
        "fastnn/activations.py",
        "csrc/optimizers.def",
        "fastnn/optimizers/",
        "fastnn/optimizers/__init__.py",
    }


def compiler() -> str | None:
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    return shutil.which(command.split()[0])


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is built, with its sources, in a place of its own."""
    if not all((ROOT / name).exists() for name in ("setup.py", "csrc", "ARCHITECTURE.md")):
        pytest.skip("no sources beside these tests")
    for tool in ("Cython", "setuptools"):
        pytest.importorskip(tool, reason=f"no {tool} to build the kernels")
    if compiler() is None:
        pytest.skip("no C compiler to build the kernels")
    copy = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__", "data.zip", "health", "cli")
    shutil.copytree(Path(fastnn.__file__).parent, copy / "fastnn", ignore=ignored)
    for part in ("csrc", "tools"):
        shutil.copytree(ROOT / part, copy / part)
    shutil.copy(ROOT / "setup.py", copy)
    for pattern in ("*.pyx", "*.pxd"):
        for source in (ROOT / "fastnn").rglob(pattern):
            shutil.copy(source, copy / source.relative_to(ROOT))
    return copy


def run(code: str, copy: Path) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy),
        "CFLAGS": f"{os.environ.get('CFLAGS', '')} {ONLY_GENERIC}",
        "FASTNN_BUILD_MACHINE": "any",
    }
    environment.pop("FASTNN_CPU_LEVEL", None)
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def train(weights: list[Array], x: Array, y: Array, steps: int) -> list[Array]:
    """What TRAIN does, in float64."""
    momenta = [np.zeros_like(w) for w in weights]
    for _ in range(steps):
        w1, b1, w2, b2 = weights
        z = x @ w1 + b1
        hidden = z**3 + z
        dy = 2 * (hidden @ w2 + b2 - y) / y.size
        dz = dy @ w2.T * (3 * z**2 + 1)
        gradients = [x.T @ dz, dz.sum(axis=0), hidden.T @ dy, dy.sum(axis=0)]
        momenta = [0.5 * m + g for m, g in zip(momenta, gradients, strict=True)]
        weights = [w - 0.1 * m / (1 + abs(m)) for w, m in zip(weights, momenta, strict=True)]
    return weights


def test_what_how_to_add_says_is_enough(copy: Path) -> None:
    touched = follow(copy)
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named: set[str] = set()
    for kind in ("An activation", "An optimizer"):
        paragraph = text.split(f"**{kind}.**")[1].split("\n\n")[0]
        named |= {name for name in re.findall(r"`([\w/.]+)`", paragraph) if "/" in name}
    paths = {name for name in named if not name.startswith(("tests/", "lowering/", "optimizers/"))}
    assert paths == touched

    random = np.random.default_rng(0)
    weights = [random.normal(size=shape) * 0.5 for shape in [(3, 4), (4,), (4, 2), (2,)]]
    x, y = random.normal(size=(6, 3)), random.normal(size=(6, 2))
    given = {"weights": [w.tolist() for w in weights], "x": x.tolist(), "y": y.tolist()}
    (copy / "given.json").write_text(json.dumps(given))
    run(BUILD, copy)
    found = json.loads(run(TRAIN, copy))

    # what is there already keeps its number: the rest of the package was not built again
    from fastnn.kernels import codes

    assert found["activations"] == {**codes.ACTIVATIONS, "cubic": len(codes.ACTIVATIONS)}
    assert found["optimizers"] == {**codes.OPTIMIZERS, "bounded": len(codes.OPTIMIZERS)}
    assert found["reads_input"] == sorted({*codes.READS_INPUT, "cubic"})
    assert found["keeps_squares"] == sorted(codes.KEEPS_SQUARES)
    for ours, twins in zip(found["weights"], train(weights, x, y, 5), strict=True):
        np.testing.assert_allclose(ours, twins, rtol=0, atol=3e-6)
    for after, before in zip(found["weights"], weights, strict=True):
        assert np.abs(np.subtract(after, before)).max() > 0.05

"""scikit-learn's own tests of its perceptrons, with fastnn's in their place.

The file is the installed scikit-learn's, whichever that is; the one line that imports the
estimators is replaced.
"""

from __future__ import annotations

import importlib.util
import types
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

IMPORTED = "from sklearn.neural_network import MLPClassifier, MLPRegressor\n"
SWAPPED = "from fastnn.sklearn import MLPClassifier, MLPRegressor\n"

LEFT_OUT = {
    "test_gradient": "calls _loss_grad_lbfgs with scikit-learn's inner arrays; the gradient is "
    "held against finite differences in test_sklearn_mlp.py",
}
"""Tests of scikit-learn's private attributes."""


def swapped() -> types.ModuleType:
    spec = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    assert spec is not None and spec.origin is not None
    source = Path(spec.origin).read_text()
    assert source.count(IMPORTED) == 1
    module = types.ModuleType("sklearn_test_mlp")
    code = compile(source.replace(IMPORTED, SWAPPED), spec.origin, "exec")
    exec(code, module.__dict__)
    return module


OWN = swapped()
TESTS = {name: value for name, value in vars(OWN).items() if name.startswith("test_")}

for _name, _test in TESTS.items():
    if _name in LEFT_OUT:
        _test = pytest.mark.skip(reason=LEFT_OUT[_name])(_test)
    # As there: not converging is a warning, no fault.
    globals()[_name] = pytest.mark.filterwarnings("default")(_test)


@pytest.fixture
def global_random_seed() -> int:
    """scikit-learn's conftest has it."""
    return 42


def test_the_estimators_are_fastnns() -> None:
    assert OWN.MLPClassifier.__module__ == "fastnn.sklearn.mlp_classifier"
    assert OWN.MLPRegressor.__module__ == "fastnn.sklearn.mlp_regressor"
    assert len(TESTS) > 30
    assert LEFT_OUT.keys() <= TESTS.keys()

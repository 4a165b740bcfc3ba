"""diagnose: verdicts on nets with a known fault, what cures them, and that nothing is disturbed."""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastnn as fnn
from fastnn import datasets, initializers, layers, losses, optimizers, utils
from fastnn.health import Report, Thresholds, diagnose, judge, sample
from fastnn.health.judge import final, is_near, lasting, learns, stages
from fastnn.health.report import Progress

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def mnist() -> tuple[Array, Array]:
    (x, y), _ = datasets.mnist.load_data()
    return x[:12000].reshape(-1, 784) / np.float32(255), y[:12000]


def net(
    depth: int = 2,
    activation: str = "relu",
    width: int = 64,
    output: str | None = "softmax",
    optimizer: Any = "adam",
    loss: Any = "sparse_categorical_crossentropy",
    **dense: Any,
) -> fnn.Sequential:
    utils.set_random_seed(3)
    hidden = [layers.Dense(width, activation, **dense) for _ in range(depth)]
    model = fnn.Sequential([layers.Input((784,)), *hidden, layers.Dense(10, output)])
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def normal(deviation: float) -> initializers.Initializer:
    return initializers.RandomNormal(stddev=deviation)


FAULTS: dict[str, tuple[str, Callable[[], fnn.Sequential]]] = {
    "small": ("healthy", net),
    "with noise": (
        "healthy",
        lambda: net(2, "relu", optimizer=optimizers.Adam(1e-3, global_clipnorm=1.0)),
    ),
    "deep sigmoid": ("vanishing", lambda: net(12, "sigmoid")),
    "deep, weights too small": (
        "vanishing",
        lambda: net(8, "tanh", kernel_initializer=normal(0.01), optimizer=optimizers.SGD(0.01)),
    ),
    "deep, weights too large": ("exploding", lambda: net(16, kernel_initializer=normal(1.0))),
    "biases far below 0": (
        "dead",
        lambda: net(3, bias_initializer=initializers.Constant(-100.0)),
    ),
    "weights too large for tanh": (
        "saturated",
        lambda: net(6, "tanh", kernel_initializer=normal(3.0)),
    ),
    "far too large a rate": ("learning_rate", lambda: net(optimizer=optimizers.Adam(3.0))),
    "far too small a rate": ("learning_rate", lambda: net(optimizer=optimizers.SGD(1e-7))),
    "softmax missing": ("loss_mismatch", lambda: net(output=None)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_verdicts(name: str, mnist: tuple[Array, Array]) -> None:
    wanted, make = FAULTS[name]
    report = diagnose(make(), *mnist, remedies=False)
    assert report.verdict == wanted, f"{report.cause}\n{report}"
    assert bool(report.cause) == (wanted != "healthy")


def test_a_net_that_learns_in_spite_of_a_fault(mnist: tuple[Array, Array]) -> None:
    twice = losses.SparseCategoricalCrossentropy(from_logits=True)
    report = diagnose(net(width=128, loss=twice, optimizer=optimizers.Adam(3e-3)), *mnist)
    assert (report.verdict, report.illness) == ("impaired", "loss_mismatch")
    assert report.cause.startswith("it learns in spite of this: ") and "softmax" in report.cause
    assert "It learns in spite of this" in str(report)


@pytest.mark.parametrize("factor", [1000.0, 1e-4])
def test_scale_of_inputs(factor: float, mnist: tuple[Array, Array]) -> None:
    x, y = mnist
    report = diagnose(net(optimizer=optimizers.SGD(0.1)), x * np.float32(factor), y)
    assert report.verdict == "input_scale"
    assert any(r.name == "input_scale" and r.helped for r in report.remedies)


def test_numbers_that_are_not_finite(mnist: tuple[Array, Array]) -> None:
    model = net(kernel_initializer=normal(1e25))
    report = diagnose(model, *mnist, remedies=False)
    assert report.verdict == "nonfinite"


def test_numbers_too_large_for_any_net(mnist: tuple[Array, Array]) -> None:
    x, y = mnist
    report = diagnose(net(), x * np.float32(1e37), y, remedies=False)
    assert report.verdict in ("input_scale", "nonfinite")
    damaged = x.copy()
    damaged[::7, 3] = 1e36
    assert diagnose(net(), damaged, y).verdict != "healthy"


def test_labels_of_the_wrong_kind(mnist: tuple[Array, Array]) -> None:
    x, y = mnist
    report = diagnose(net(), x, utils.to_categorical(y))
    assert report.verdict == "loss_mismatch"
    assert report.untreated.error
    first = report.remedies[0]
    assert first.helped
    first.apply().fit(x[:64], utils.to_categorical(y[:64]), verbose=0)


@pytest.fixture(scope="module")
def vanishing(mnist: tuple[Array, Array]) -> tuple[fnn.Sequential, Report]:
    model = net(12, "sigmoid")
    return model, diagnose(model, *mnist)


def test_remedies_are_ranked_and_measured(vanishing: tuple[fnn.Sequential, Report]) -> None:
    _, report = vanishing
    helped = [remedy for remedy in report.remedies if remedy.helped]
    useless = [remedy for remedy in report.remedies if not remedy.helped]
    assert list(report.remedies) == helped + useless
    assert {"clipping", "learning_rate_down"} <= {remedy.name for remedy in useless}
    learned = [remedy.trial.learned for remedy in helped if remedy.trial]
    # But for the first: of those that make the net healthy it is the smallest.
    assert learned[1:] == sorted(learned[1:], reverse=True)
    assert learned[0] > 0.6 > report.untreated.learned + 0.3
    first = helped[0].trial
    assert first is not None
    assert first.gradient_ratio > 1e4 * report.untreated.gradient_ratio
    assert len(first.losses) == len(report.untreated.losses) == 100


def test_a_remedy_makes_a_model_that_learns(
    vanishing: tuple[fnn.Sequential, Report], mnist: tuple[Array, Array]
) -> None:
    model, report = vanishing
    remedy = report.remedies[0]
    cured = remedy.apply()
    assert cured is not model
    x, y = mnist
    history = cured.fit(x, y, epochs=2, verbose=0, **remedy.fit_arguments)
    assert history.history["accuracy"][-1] > 0.85
    assert diagnose(cured, x, y, remedies=False).verdict == "healthy"


def test_layers_are_named_with_their_figures(vanishing: tuple[fnn.Sequential, Report]) -> None:
    model, report = vanishing
    assert [layer.name for layer in report.layers] == [layer.name for layer in model.layers]
    assert report.layers[0].verdict == "vanishing"
    assert report.layers[0].cause
    assert report.layers[-1].verdict == "healthy"
    norms = [layer.figures["gradient_norm"] for layer in report.layers]
    assert norms[0] < 1e-5 * norms[-1]


def test_nothing_is_disturbed(mnist: tuple[Array, Array]) -> None:
    x, y = mnist
    utils.set_random_seed(5)
    model = fnn.Sequential(
        [
            layers.Input((784,)), layers.Dense(32), layers.BatchNormalization(), layers.ReLU(),
            layers.Dropout(0.3), *(layers.Dense(16, "sigmoid") for _ in range(8)),
            layers.Dense(10, "softmax"),
        ]
    )  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x[:640], y[:640], verbose=0)
    twin = copy.deepcopy(model)
    weights = [w.copy() for w in model.get_weights()]
    state = {name: value.copy() for name, value in model._training_state().items()}
    random = utils.random_state()
    numpys = np.random.get_state()[1].copy()  # noqa: NPY002
    history = model.history

    diagnose(model, x, y)

    assert utils.random_state() == random
    np.testing.assert_array_equal(np.random.get_state()[1], numpys)  # noqa: NPY002
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    for name, value in model._training_state().items():
        np.testing.assert_array_equal(state[name], value)
    assert model.history is history
    model.fit(x[:640], y[:640], verbose=0)
    utils.restore_random_state(random)
    twin.fit(x[:640], y[:640], verbose=0)
    for mine, other in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_the_same_report_each_time(mnist: tuple[Array, Array]) -> None:
    reports = [diagnose(net(12, "sigmoid"), *mnist, steps=20, remedies=False) for _ in range(2)]
    assert reports[0].untreated.losses == reports[1].untreated.losses
    other = diagnose(net(12, "sigmoid"), *mnist, steps=20, remedies=False, seed=1)
    assert other.untreated.losses != reports[0].untreated.losses


# Other kinds of models and data


def test_regression() -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((2000, 8)).astype(np.float32)
    y = np.sin(x[:, :1]) + x[:, 1:2]
    model = fnn.Sequential([layers.Input((8,)), layers.Dense(32, "tanh"), layers.Dense(1)])
    model.compile(optimizers.Adam(1e-2), "mse")
    report = diagnose(model, x, y)
    assert report.verdict == "healthy"
    assert np.isnan(report.untreated.accuracy)
    model.compile(optimizers.SGD(1e-7), "mse")
    report = diagnose(model, x, y)
    assert report.verdict == "learning_rate"
    assert report.remedies[0].helped


def test_binary_classes() -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((2000, 8)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0).astype(np.float32)[:, None]
    model = fnn.Sequential(
        [layers.Input((8,)), layers.Dense(16, "relu"), layers.Dense(1, "sigmoid")]
    )
    model.compile(optimizers.Adam(1e-2), "binary_crossentropy")
    report = diagnose(model, x, y)
    assert report.verdict == "healthy"
    assert report.untreated.accuracy > 0.9


def test_several_inputs_and_outputs() -> None:
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((1000, 4)).astype(np.float32) for _ in range(2))
    one, two = layers.Input((4,), name="one"), layers.Input((4,), name="two")
    h = layers.Dense(32, "relu")(layers.Concatenate()([one, two]))
    model = fnn.Model(
        [one, two], [layers.Dense(1, name="p")(h), layers.Dense(3, "softmax", name="q")(h)]
    )
    model.compile(optimizers.Adam(1e-2), {"p": "mse", "q": "sparse_categorical_crossentropy"})
    targets = {"p": a[:, :1] + b[:, :1], "q": (a[:, 0] > 0).astype(int) + (b[:, 0] > 0)}
    report = diagnose(model, {"one": a, "two": b}, targets)
    assert report.verdict == "healthy"
    assert report.untreated.accuracy > 0.7


def test_an_unbuilt_model_stays_unbuilt(mnist: tuple[Array, Array]) -> None:
    model = fnn.Sequential([layers.Dense(32, "relu"), layers.Dense(10, "softmax")])
    model.compile("adam", losses.SparseCategoricalCrossentropy())
    assert diagnose(model, *mnist, remedies=False).verdict == "healthy"
    assert not model.built


def test_pandas_and_sparse_matrices(mnist: tuple[Array, Array]) -> None:
    import pandas
    import scipy.sparse

    x, y = mnist
    plain = diagnose(net(), x, y, steps=30, remedies=False)
    for given in (pandas.DataFrame(x), scipy.sparse.csr_matrix(x)):
        report = diagnose(net(), given, y, steps=30, remedies=False)
        assert report.untreated.losses == pytest.approx(plain.untreated.losses, rel=1e-5)


@pytest.mark.parametrize(
    ("optimizer", "drawn"), [(optimizers.Adam(0.01), [6400]), (optimizers.SGD(0.01), [6400, 51200])]
)
def test_a_net_in_doubt_gets_rows_that_it_has_not_seen(
    optimizer: Any, drawn: list[int], mnist: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = importlib.import_module("fastnn.health.diagnose")
    asked: list[int] = []

    def draw(*arguments: Any, **settings: Any) -> Any:
        asked.append(arguments[4])
        return sample.draw(*arguments, **settings)

    monkeypatch.setattr(module, "draw", draw)
    monkeypatch.setattr(judge, "_CHEAP", 0)  # else it is seen to the end, clear or not
    report = diagnose(net(optimizer=optimizer), *mnist, steps=50, remedies=False)
    assert asked == drawn, report.progress


def test_few_rows(mnist: tuple[Array, Array]) -> None:
    x, y = mnist
    for rows in (1, 3, 40):
        diagnose(net(), x[:rows], y[:rows], steps=10)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"steps": 0}, ValueError, "steps"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"x": iter([]), "y": None}, ValueError, "no batch"),
        ({"x": np.zeros((0, 784), np.float32), "y": np.zeros(0, int)}, ValueError, "no rows"),
        ({"x": np.zeros((5, 3), np.float32), "y": np.zeros(5, int)}, ValueError, "784"),
        ({"x": np.zeros((50, 784), np.float32), "y": np.zeros(4, int)}, ValueError, "rows"),
    ],
)
def test_bad_arguments(
    arguments: dict[str, Any], error: type[Exception], words: str, mnist: tuple[Array, Array]
) -> None:
    x, y = mnist
    with pytest.raises(error, match=words):
        diagnose(net(), **{"x": x, "y": y, **arguments})


def test_a_model_that_is_not_compiled(mnist: tuple[Array, Array]) -> None:
    model = fnn.Sequential([layers.Input((784,)), layers.Dense(10)])
    with pytest.raises(ValueError, match="compile"):
        diagnose(model, *mnist)


def test_a_report_is_plain_values(vanishing: tuple[fnn.Sequential, Report]) -> None:
    _, report = vanishing
    values = json.loads(report.to_json())
    assert [layer["name"] for layer in values["layers"]] == [each.name for each in report.layers]
    assert values["remedies"][0]["helped"] is True
    assert values["progress"][0]["steps"] == 100


# How long a net is looked at


@pytest.mark.parametrize(
    ("batch_size", "steps"),
    [
        (1, [100, 400, 1600, 3200]),
        (32, [100, 400, 1600, 3200]),
        (40, [100, 400, 1600, 2560]),
        (64, [100, 400, 1600]),
        (128, [100, 400, 800]),
        (256, [100, 400]),
        (512, [100, 400]),
    ],
)
def test_larger_batches_see_no_more_rows_in_the_end(batch_size: int, steps: list[int]) -> None:
    assert list(stages(100, batch_size)) == steps


def test_nets_that_cost_little_are_looked_at_more_often_in_the_end() -> None:
    assert list(stages(100, 32, cheap=True)) == [100, 400, 1600, 2800, 3000, 3200]
    assert list(stages(100, 512, cheap=True)) == [100, 350, 375, 400]


def test_what_counts_of_them_is_the_mean_of_the_last_looks() -> None:
    def seen(*learned: float) -> list[Progress]:
        steps = stages(100, 32, cheap=True)
        return [Progress(n, own, (0.8,)) for n, own in zip(steps, learned, strict=True)]

    def learned(*values: float) -> bool | None:
        return learns(seen(*values), True, Thresholds(), cheap=True)

    assert lasting(seen(0.1, 0.2, 0.5, 0.6, 0.8, 0.7)) == pytest.approx((0.7, 0.8))
    lucky = [
        Progress(n, 0.6, (0.75, 0.8 + 0.2 * (i - 4)))
        for i, n in enumerate(stages(100, 32, cheap=True))
    ]
    assert lasting(lucky) == pytest.approx((0.6, 0.8))  # not 0.85, of the best at each look
    assert learned(0.1, 0.2, 0.5, 0.7, 0.78, 0.7) is True
    assert learned(0.1, 0.2, 0.5, 0.4, 0.8, 0.4) is False  # now and then is not enough
    assert learned(0.1, 0.2, 0.78, 0.68, 0.66, 0.64) is True  # overfits
    assert learned(0.1, 0.2, 0.78, 0.2, 0.2, 0.2) is False  # has lost it
    assert learns(seen(*[0.8] * 6)[:5], False, Thresholds(), cheap=True) is None


@pytest.mark.parametrize("numbers", [True, False])
def test_a_net_near_the_limit_goes_by_the_mean_of_its_folds(numbers: bool) -> None:
    limits, looks = Thresholds(), stages(100, 32, cheap=True)

    def seen(share: float, reference: float = 0.9) -> list[Progress]:
        return [Progress(n, share * reference, (reference,)) for n in looks]

    def verdict(first: float, *others: float) -> bool | None:
        return learns(seen(first), True, limits, True, numbers, [seen(each) for each in others])

    limit = limits.learned_numbers if numbers else limits.learned_classes
    assert verdict(limit - 0.02) is False and verdict(limit - 0.02, limit + 0.03, limit) is True
    assert verdict(limit + 0.02) is True and verdict(limit + 0.02, limit - 0.03, limit) is False
    assert lasting(seen(0.8), seen(1.0, 0.5)) == pytest.approx((0.61, 0.7))
    first, second = ([Progress(n, 0.6, sound) for n in looks] for sound in ((0.9, 0.7), (0.5, 0.8)))
    assert lasting(first, second) == pytest.approx((0.6, 0.75))
    broken = [*seen(1.0)[:3], Progress(3000, 0.0, (0.9,), failed=True)]
    assert learns(seen(0.96), True, limits, True, numbers, [broken]) is False
    for off, near in ((-0.62, False), (-0.58, True), (0.06, True), (0.09, False)):  # 0.97 is sure
        assert is_near([seen(limit + off)], limits, numbers) is near
    for off, near in ((-0.06, False), (-0.04, True), (0.04, True), (0.06, False)):
        four = [seen(limit + off + each) for each in (-0.05, 0.05, 0.02, -0.02)]
        assert is_near(four, limits, numbers) is near
    assert not is_near([seen(0.9, 0.04)], limits)
    assert not is_near([seen(0.9), broken], limits)
    # What it has lost again counts where no allowance is made.
    falling = [Progress(n, 0.9 if n <= 1600 else 0.6, (0.9,)) for n in looks]
    assert lasting(falling) == pytest.approx((0.9, 0.9))
    assert final(falling) == pytest.approx((0.6, 0.9))


def test_only_a_net_near_the_limit_is_seen_on_other_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((1000, 4)).astype(np.float32)
    model = fnn.Sequential([layers.Input((4,)), layers.Dense(32, "relu"), layers.Dense(1)])
    model.compile(optimizers.Adam(1e-2), "mse")
    sure = diagnose(model, x, x[:, :1] * x[:, 1:2], steps=20)
    assert sure.verdict == "healthy" and sure.folds == ()
    module = importlib.import_module("fastnn.health.diagnose")
    monkeypatch.setattr(module, "is_near", lambda folds, limits, numbers: True)
    report = diagnose(model, x, x[:, :1] * x[:, 1:2], steps=20)
    assert report.progress == sure.progress and len(report.folds) == 4
    for fold in report.folds:
        assert [each.steps for each in fold] == [each.steps for each in sure.progress]
        assert {each.learned for each in fold}.isdisjoint(each.learned for each in sure.progress)
        assert {each.reference for each in fold}.isdisjoint(p.reference for p in sure.progress)


def test_what_counts_in_the_end_is_the_last_look() -> None:
    limits = Thresholds(learned=0.9, learned_surely=0.97)
    seen = [Progress(100, 0.4, (1.0,)), Progress(400, 0.85, (0.94,))]
    assert learns(seen, False, limits) is None
    assert learns(seen, True, limits) is True  # 0.904 of what the sound one has
    assert learns([seen[0], Progress(400, 0.84, (0.94,))], True, limits) is False
    assert learns([Progress(100, 0.98, (1.0,))], False, limits) is True
    assert learns([Progress(100, 0.98, (1.0,), failed=True)], False, limits) is False
    assert learns([Progress(100, 0.01, (0.02,))], False, limits) is None
    assert learns([Progress(100, 0.01, (0.02,))], True, limits) is True  # nobody can learn that
    assert learns([Progress(100, 0.08, (0.1,))], True, limits) is True  # less than noise behind


def test_what_still_comes_down_is_seen_to_the_end() -> None:
    # The target lies far from where outputs begin: worse than a constant, for a long while.
    seen = [Progress(100, 0.0, (0.9,), loss=1000.0), Progress(400, 0.0, (0.9,), loss=400.0)]
    assert learns(seen, False, Thresholds()) is None
    assert learns([*seen, Progress(1600, 0.0, (0.9,), loss=390.0)], False, Thresholds()) is False

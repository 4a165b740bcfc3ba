"""Cases: every loss, with its arguments, sample weights and class weights."""

from __future__ import annotations

from typing import Any

from reference.cases_layers import mlp
from reference.protocol import Run, case, rows_for

# name: (loss from its module, output activation, output width, the Run method that makes targets)
LOSSES: dict[str, tuple[Any, str | None, int, str]] = {
    "scc": (lambda m: m.SparseCategoricalCrossentropy(), "softmax", 7, "classes"),
    "scc-logits": (
        lambda m: m.SparseCategoricalCrossentropy(from_logits=True), None, 6, "classes",
    ),
    "scc-unnormalised": (lambda m: m.SparseCategoricalCrossentropy(), "sigmoid", 5, "classes"),
    "scc-string": (lambda m: "sparse_categorical_crossentropy", "softmax", 2, "classes"),
    "cc": (lambda m: m.CategoricalCrossentropy(), "softmax", 4, "one_hot"),
    "cc-logits": (lambda m: m.CategoricalCrossentropy(from_logits=True), None, 9, "one_hot"),
    "cc-smoothing": (
        lambda m: m.CategoricalCrossentropy(label_smoothing=0.1), "softmax", 5, "one_hot",
    ),
    "cc-logits-smoothing": (
        lambda m: m.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2),
        None, 18, "one_hot",
    ),
    "cc-unnormalised": (lambda m: m.CategoricalCrossentropy(), "sigmoid", 3, "one_hot"),
    "cc-soft-targets": (lambda m: m.CategoricalCrossentropy(), "softmax", 5, "proportions"),
    "cc-string": (lambda m: "categorical_crossentropy", "softmax", 3, "one_hot"),
    "bce": (lambda m: m.BinaryCrossentropy(), "sigmoid", 1, "bits"),
    "bce-wide": (lambda m: m.BinaryCrossentropy(), "sigmoid", 6, "bits"),
    "bce-logits": (lambda m: m.BinaryCrossentropy(from_logits=True), None, 5, "bits"),
    "bce-smoothing": (lambda m: m.BinaryCrossentropy(label_smoothing=0.1), "sigmoid", 3, "bits"),
    "bce-logits-smoothing": (
        lambda m: m.BinaryCrossentropy(from_logits=True, label_smoothing=0.3), None, 2, "bits",
    ),
    "bce-string": (lambda m: "binary_crossentropy", "sigmoid", 1, "bits"),
    "mse": (lambda m: m.MeanSquaredError(), None, 3, "reals"),
    "mse-string": (lambda m: "mse", "tanh", 17, "reals"),
    "mae": (lambda m: m.MeanAbsoluteError(), None, 4, "reals"),
    "mae-string": (lambda m: "mae", None, 1, "reals"),
    "huber": (lambda m: m.Huber(), None, 3, "reals"),
    "huber-delta-0.3": (lambda m: m.Huber(delta=0.3), None, 5, "reals"),
    "huber-delta-2": (lambda m: m.Huber(delta=2.0), None, 2, "reals"),
    "huber-string": (lambda m: "huber", None, 1, "reals"),
    "poisson": (lambda m: m.Poisson(), "softplus", 3, "counts"),
    "poisson-string": (lambda m: "poisson", "sigmoid", 1, "counts"),
    "focal": (lambda m: m.CategoricalFocalCrossentropy(), "softmax", 4, "one_hot"),
    "focal-alpha-gamma": (
        lambda m: m.CategoricalFocalCrossentropy(alpha=0.6, gamma=1.0), "softmax", 5, "one_hot",
    ),
    "focal-gamma-0": (
        lambda m: m.CategoricalFocalCrossentropy(alpha=1.0, gamma=0.0), "softmax", 3, "one_hot",
    ),
    "focal-logits": (
        lambda m: m.CategoricalFocalCrossentropy(gamma=1.5, from_logits=True), None, 6, "one_hot",
    ),
    "focal-smoothing": (
        lambda m: m.CategoricalFocalCrossentropy(label_smoothing=0.1), "softmax", 3, "one_hot",
    ),
    "focal-string": (
        lambda m: "categorical_focal_crossentropy", "softmax", 4, "one_hot",
    ),
    "scc-sum": (
        lambda m: m.SparseCategoricalCrossentropy(reduction="sum"), "softmax", 3, "classes",
    ),
    "mse-sum": (lambda m: m.MeanSquaredError(reduction="sum"), None, 2, "reals"),
    "bce-sum": (lambda m: m.BinaryCrossentropy(reduction="sum"), "sigmoid", 2, "bits"),
}  # fmt: skip


def targets(run: Run, kind: str, n: int, width: int) -> Any:
    """Seeded targets of one of Run's kinds, or "proportions": rows that sum to one."""
    if kind == "proportions":
        raw = run.reals(n, width, low=0.1, high=1.0)
        return raw / raw.sum(axis=1, keepdims=True)
    return getattr(run, kind)(n, width)


def loss(api: Any, run: Run, name: str, weighted: bool = False) -> None:
    make, output, width, kind = LOSSES[name]
    n_in, batch = run.pick(6, 10, 19), run.pick(4, 9, 17, 30)
    model = mlp(api, run, [n_in, run.pick(8, 13, 22), width], "tanh", output)
    # A summed loss has gradients "batch" times larger.
    model.compile(
        optimizer=api.optimizers.SGD(0.1 / batch if "sum" in name else 0.2), loss=make(api.losses)
    )
    n = rows_for(batch)
    x, y = run.reals(n, n_in), targets(run, kind, n, width)
    options = {"sample_weight": run.reals(n, low=0, high=2)} if weighted else {}
    run.train(model, x, y, batch, **options)


for _name in LOSSES:
    case(f"loss/{_name}", name=_name)(loss)
for _name in [
    "scc",
    "scc-logits",
    "cc",
    "bce-wide",
    "mse",
    "mae",
    "huber",
    "poisson",
    "focal",
    "mse-sum",
]:
    case(f"sample-weight/{_name}", name=_name, weighted=True)(loss)


def label_shape(api: Any, run: Run, name: str, column: bool) -> None:
    make, output, width, kind = LOSSES[name]
    model = mlp(api, run, [5, 9, width if kind == "classes" else 1], "relu", output)
    model.compile(optimizer=api.optimizers.SGD(0.1), loss=make(api.losses))
    n = rows_for(8)
    y = run.classes(n, width) if kind == "classes" else getattr(run, kind)(n)
    run.train(model, run.reals(n, 5), y[:, None] if column else y, 8)


for _name in ["scc", "scc-logits", "bce", "bce-logits", "mse", "mae", "huber"]:
    for _column in (False, True):
        case(f"label-shape/{_name}-{'n1' if _column else 'n'}", name=_name, column=_column)(
            label_shape
        )


def class_weight(api: Any, run: Run, name: str) -> None:
    make, output, width, kind = LOSSES[name]
    model = mlp(api, run, [7, 12, width], "relu", output)
    model.compile(optimizer=api.optimizers.SGD(0.2), loss=make(api.losses))
    n = rows_for(11)
    weights = {i: 0.4 + 0.5 * i for i in range(max(width, 2))}
    run.train(model, run.reals(n, 7), targets(run, kind, n, width), 11, class_weight=weights)


for _name in ["scc", "scc-logits", "cc", "bce"]:
    case(f"class-weight/{_name}", name=_name)(class_weight)


@case("sample-weight/zeros")
def zero_weights(api: Any, run: Run) -> None:
    model = mlp(api, run, [5, 8, 3], "relu", "softmax")
    model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy")
    n = rows_for(9)
    run.train(model, run.reals(n, 5), run.classes(n, 3), 9, sample_weight=run.bits(n))

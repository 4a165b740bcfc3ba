"""What the estimators around any model share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from fastnn.callbacks import History
from fastnn.models import Model
from fastnn.sklearn.seeding import seeded
from fastnn.sklearn.validation import validate_data

Array = NDArray[Any]

_NESTED = ("model_kwargs", "fit_kwargs")


class ModelEstimator(BaseEstimator):
    """Base of ``SKLearnClassifier``, ``SKLearnRegressor`` and ``SKLearnTransformer``; names and
    arguments are Keras 3's (``keras.wrappers``).

    Entries of ``model_kwargs`` and ``fit_kwargs`` are parameters of their own, by names such as
    ``model_kwargs__units``, so that ``GridSearchCV`` searches them; Keras has no such names.

    Args:
        model: A compiled model, of which each ``fit`` makes a new one with fresh weights; or a
            function ``(X, y, **model_kwargs)`` that returns a compiled model, where X are the
            checked inputs and y the targets: of a classifier one-hot, (N, classes).
        warm_start: ``fit`` goes on with the model that there is. A compiled model given as
            ``model`` is then trained itself.
        model_kwargs: For the function.
        fit_kwargs: For the model's ``fit``: epochs, batch_size, callbacks ... Its ``verbose`` is 0
            if not given.
        random_state: Seed of all that ``fit`` draws, an integer or a ``RandomState``; None draws as
            ``fastnn.utils.set_random_seed`` has settled. Keras has no such argument. Two fits at
            the same time in threads of one process disturb each other's numbers.

    Attributes:
        model_ (fastnn.Model): The trained model.
        history_ (fastnn.callbacks.History): What its ``fit`` returned.
        n_features_in_, feature_names_in_: As in scikit-learn.
    """

    model_: Model
    history_: History

    def __init__(
        self,
        model: Model | Callable[..., Model],
        warm_start: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
        fit_kwargs: Mapping[str, Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.warm_start = warm_start
        self.model_kwargs = model_kwargs
        self.fit_kwargs = fit_kwargs
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """As in scikit-learn; if deep, with the entries of the two dicts."""
        params: dict[str, Any] = super().get_params(deep)
        if deep:
            for name in _NESTED:
                entries = params[name] if isinstance(params[name], Mapping) else {}
                params |= {f"{name}__{key}": value for key, value in entries.items()}
        return params

    def set_params(self, **params: Any) -> Any:
        """As in scikit-learn; ``fit_kwargs__epochs=3`` sets an entry, which need not be there."""
        own = {}
        for key, value in params.items():
            name, _, entry = key.partition("__")
            if entry and name in _NESTED:
                setattr(self, name, {**(getattr(self, name) or {}), entry: value})
            else:
                own[key] = value
        return super().set_params(**own)

    def _validated(self, X: Any, reset: bool) -> Any:
        return validate_data(self, X, reset=reset, **self._inputs)

    # Pictures have more axes than a table.
    _inputs: Mapping[str, Any] = {"allow_nd": True, "accept_sparse": ("csr", "csc")}

    def _train(
        self, X: Any, shown: Any, sample_weight: Any, fit_kwargs: Mapping[str, Any]
    ) -> Model:
        """Make the model and train it.

        Args:
            shown: Targets as the function that makes the model gets them.
        """
        arguments = {"verbose": 0, **(self.fit_kwargs or {}), **fit_kwargs}
        if sample_weight is not None:
            arguments["sample_weight"] = _check_sample_weight(sample_weight, X)
        going_on = self.warm_start and hasattr(self, "model_")
        with seeded(self.random_state):
            model = self.model_ if going_on else self._made(X, shown)
            if not model.built:
                model.build((None, *X.shape[1:]))
            self.history_ = model.fit(X, self._targets_for(model, shown), **arguments)
        self.model_ = model
        return model

    def _targets_for(self, model: Model, shown: Any) -> Any:
        """Targets as the model's loss takes them."""
        return shown

    def _made(self, X: Any, y: Any) -> Model:
        owner = type(self).__name__
        if isinstance(self.model, Model):
            model = self.model if self.warm_start else _afresh(self.model)
        elif callable(self.model):
            model = self.model(X=X, y=y, **(self.model_kwargs or {}))
        else:
            raise TypeError(
                f"{owner}: model must be a model, or a function that makes one, got {self.model!r}"
            )
        if not isinstance(model, Model) or not model.compiled:
            raise ValueError(f"{owner}: model must be compiled, got {model!r}")
        return model

    def _predicted(self, X: Any) -> Array:
        check_is_fitted(self, "model_")
        outputs = self.model_.predict(self._validated(X, reset=False))
        if isinstance(outputs, list):
            raise ValueError(
                f"{type(self).__name__}: the model must have one output, it has {len(outputs)}"
            )
        found: Array = outputs
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = self.random_state is None
        tags.input_tags.sparse = True
        return tags


def _afresh(model: Model) -> Model:
    """The same layers, loss and optimizer; new weights.

    Raises:
        ValueError: It isn't compiled, or a part of it has no configuration.
    """
    config = model._compile_config()
    fresh = type(model).from_config(model.get_config())
    fresh.compile(**config)
    return fresh

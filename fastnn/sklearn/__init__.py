"""scikit-learn's estimators on fastnn's engine: swap the import, and the rest of the code stays.

``MLPClassifier`` and ``MLPRegressor`` take every argument of scikit-learn's own, and more;
``SKLearnClassifier``, ``SKLearnRegressor`` and ``SKLearnTransformer``, named as in Keras 3, make an
estimator of any model. scikit-learn is the extra ``sklearn``.
"""

from fastnn.sklearn import requirement  # noqa: F401  (first: it says what is missing)
from fastnn.sklearn.mlp_classifier import MLPClassifier
from fastnn.sklearn.mlp_regressor import MLPRegressor
from fastnn.sklearn.model_classifier import SKLearnClassifier
from fastnn.sklearn.model_regressor import SKLearnRegressor
from fastnn.sklearn.model_transformer import SKLearnTransformer

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "SKLearnClassifier",
    "SKLearnRegressor",
    "SKLearnTransformer",
]

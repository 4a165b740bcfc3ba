"""Says in a sentence when scikit-learn is missing, or too old."""

OLDEST = (1, 6)
"""The first with ``sklearn.utils.validation.validate_data``."""

try:
    import sklearn
except ModuleNotFoundError as fault:
    raise ModuleNotFoundError(
        "fastnn.sklearn needs scikit-learn: pip install 'fastnn[sklearn]'", name=fault.name
    ) from fault

if tuple(map(int, sklearn.__version__.split(".")[:2])) < OLDEST:
    raise ImportError(
        f"fastnn.sklearn needs scikit-learn {'.'.join(map(str, OLDEST))} or newer, but "
        f"{sklearn.__version__} is installed: pip install --upgrade 'fastnn[sklearn]'"
    )

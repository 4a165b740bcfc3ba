"""Record what Keras 3's metrics, regularizers and constraints give, in ``keras_metrics.json``.

pip install keras tensorflow
python tests/reference/make_keras_metrics.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

# Metrics are float32 on any backend; on this one constraints take a list of axes.
os.environ["KERAS_BACKEND"] = "tensorflow"

from metric_cases import CONSTRAINTS, DATA, REGULARIZERS, data, weight


def metric_results() -> list[dict[str, Any]]:
    """Each metric on its data, without and with weights."""
    from keras import metrics

    results = []
    for name, (_, cases) in DATA.items():
        y_true, y_pred, weights = data(name)
        for class_name, config in cases:
            values = []
            for sample_weight in (None, weights):
                metric = getattr(metrics, class_name)(**config)
                metric.update_state(y_true, y_pred, sample_weight)
                values.append(float(metric.result()))
            results.append(
                {"class_name": class_name, "config": config, "data": name, "values": values}
            )
    return results


def main() -> None:
    """Write the file."""
    import keras
    import numpy as np
    from keras import constraints, regularizers

    recorded = {
        "metrics": metric_results(),
        "regularizers": [
            {
                "class_name": name,
                "config": config,
                "value": float(getattr(regularizers, name)(**config)(keras.ops.array(weight()))),
            }
            for name, config in REGULARIZERS
        ],
        "constraints": [
            {
                "class_name": name,
                "config": config,
                "value": np.asarray(getattr(constraints, name)(**config)(weight())).tolist(),
            }
            for name, config in CONSTRAINTS
        ],
    }
    sections = [
        f'"{section}": [\n' + ",\n".join(json.dumps(each) for each in cases) + "\n]"
        for section, cases in recorded.items()
    ]
    origin = json.dumps({"keras": keras.__version__})
    path = Path(__file__).with_name("keras_metrics.json")
    path.write_text(f'{{"origin": {origin},\n' + ",\n".join(sections) + "\n}\n")


if __name__ == "__main__":
    main()

"""L-BFGS: SciPy's minimizer on the loss and gradient that the engine computes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from fastnn.callbacks.messages import print_message
from fastnn.data.dataset import Dataset
from fastnn.models.gradients import again_and_again
from fastnn.models.model import Model
from fastnn.models.totals import Logs


@dataclass(frozen=True)
class Outcome:
    """Where the minimizer ended.

    Attributes:
        n_iter: Iterations.
        logs: Of the last weights.
        complaint: Why it did not converge; empty if it did.
    """

    n_iter: int
    logs: Logs
    complaint: str


def minimize(
    model: Model, dataset: Dataset, max_iter: int, max_fun: int, tol: float, verbose: bool
) -> Outcome:
    """Train on all rows at once (Byrd et al. 1995, "A limited memory algorithm for bound
    constrained optimization"), from the weights that the model has.

    SciPy's numbers are float64; the net takes them as float32, and computes so.
    """
    weights = model.trainable_weights
    bounds = np.cumsum([0, *(weight.size for weight in weights)])
    done = 0

    def take(point: NDArray[np.float64]) -> None:
        for weight, first, last in zip(weights, bounds[:-1], bounds[1:], strict=True):
            weight.assign(point[first:last].reshape(weight.shape))

    with again_and_again(model, dataset) as compute:

        def loss_and_gradient(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            take(point)
            program, totals = compute()
            parts = [w.unpacked(program.gradients[w.path]).ravel() for w in weights]
            return totals.logs()["loss"], np.concatenate(parts).astype(np.float64)

        def tell(point: NDArray[np.float64]) -> None:
            nonlocal done
            done += 1
            if verbose:
                print_message(f"Iteration {done}, loss = {loss_and_gradient(point)[0]:.8f}")

        first = np.concatenate([w.numpy().ravel() for w in weights]).astype(np.float64)
        found = optimize.minimize(
            loss_and_gradient, first, method="L-BFGS-B", jac=True, callback=tell,
            options={"maxiter": max_iter, "maxfun": max_fun, "gtol": tol},
        )  # fmt: skip
        take(found.x)
        logs = compute()[1].logs()
    complaint = ""
    if found.status != 0:
        complaint = f"lbfgs failed to converge (status={found.status}): {found.message}"
    return Outcome(min(int(found.nit), max_iter), logs, complaint)

"""Data to train on: MNIST, which ships with the package, and files of the usual formats."""

from fastnn.datasets import files, mnist
from fastnn.datasets.files import load

__all__ = ["files", "load", "mnist"]

"""Callbacks: what happens between epochs and batches. They touch a model only from outside."""

from fastnn.callbacks.backup import BackupAndRestore
from fastnn.callbacks.base import Callback, CallbackList
from fastnn.callbacks.checkpoint import ModelCheckpoint
from fastnn.callbacks.csv_logger import CSVLogger
from fastnn.callbacks.early_stopping import EarlyStopping
from fastnn.callbacks.functional import LambdaCallback, TerminateOnNaN
from fastnn.callbacks.gradient_health import GradientHealth, GradientHealthWarning
from fastnn.callbacks.history import History
from fastnn.callbacks.lr import LearningRateScheduler, ReduceLROnPlateau
from fastnn.callbacks.progress import ProgbarLogger
from fastnn.callbacks.tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "GradientHealth",
    "GradientHealthWarning",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
]

"""Tables as people have them: read, and turned into numbers that a network learns from.

``reading`` has pandas read a file (``plain`` does without), ``parsing`` tells what a column holds,
``columns`` and ``label`` are what is learned of each column, and ``form`` is all of that together:
what a saved model keeps.
"""

from fastnn.tables.form import Form
from fastnn.tables.options import Options
from fastnn.tables.reading import SUFFIXES, Table, read

__all__ = ["SUFFIXES", "Form", "Options", "Table", "read"]

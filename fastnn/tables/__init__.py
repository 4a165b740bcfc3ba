"""Tables as people have them: read, and turned into numbers that a network learns from.

``reading`` reads a file, by ``parts`` with pandas, or by ``plain`` without; ``cells`` is how a
column is held, and ``parsing`` tells what it holds. ``columns`` and ``label`` are what is learned
of each column, and ``form`` is all of that together: what a saved model keeps. ``features`` is what
it makes of a table part by part.
"""

from fastnn.tables.form import Form
from fastnn.tables.options import Options
from fastnn.tables.reading import SUFFIXES, Table, read

__all__ = ["SUFFIXES", "Form", "Options", "Table", "read"]

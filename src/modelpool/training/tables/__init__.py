"""Data files into checked tables: CSV, Parquet, Arrow, JSON lines and inline JSON.

Only child processes call this: the web process never parses an uploaded file. Importing it is cheap; pandas and
pyarrow are imported when a file is read.
"""

from modelpool.training.tables.detect import TableFormat
from modelpool.training.tables.profile import ColumnProfile, TableProfile, profile_table
from modelpool.training.tables.read import Table, read_table

__all__ = ["ColumnProfile", "Table", "TableFormat", "TableProfile", "profile_table", "read_table"]

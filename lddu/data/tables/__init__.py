"""Data sets of one's own: tables on disk or in memory, in one form that any language can write."""

from lddu.data.tables.frames import from_frame
from lddu.data.tables.huggingface import from_huggingface
from lddu.data.tables.loading import load_table
from lddu.data.tables.splitting import split
from lddu.data.tables.streaming import stream
from lddu.data.tables.writing import write_table

__all__ = ["from_frame", "from_huggingface", "load_table", "split", "stream", "write_table"]

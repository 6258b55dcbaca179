"""Formats that `export` writes: each file writes one, and reads it back with the format's own reader."""

from rarefy.pipeline.formats._registry import FORMATS, ExportFailed, Format

__all__ = ["FORMATS", "ExportFailed", "Format"]

FORMATS.discover(__name__)

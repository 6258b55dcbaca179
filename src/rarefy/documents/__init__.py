"""Reads JSON and YAML safely, within limits: `read_json` and `read_yaml`."""

from rarefy.documents._json import parse_json, read_json
from rarefy.documents._text import DocumentError, read_text
from rarefy.documents._yaml import parse_yaml, read_yaml

__all__ = ["DocumentError", "parse_json", "parse_yaml", "read_json", "read_text", "read_yaml"]

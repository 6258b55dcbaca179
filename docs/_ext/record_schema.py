"""The directive `record-schema`: a model of `rarefy.records` as a table, so that page and code cannot drift."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import rarefy.records


class RecordSchema(SphinxDirective):
    """One row a field: name, type, meaning."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table of the model named in the argument."""
        model = getattr(rarefy.records, self.arguments[0])
        rows = ["| field | type | meaning |", "| --- | --- | --- |"]
        rows += [f"| `{name}` | `{_type(info)}` | {info.description} |" for name, info in model.model_fields.items()]
        return self.parse_text_to_nodes("\n".join(rows))


def _type(info: Any) -> str:
    hint = info.annotation
    text = hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint)
    text = text.replace("typing.", "").replace("rarefy.records._schema.", "")
    return text.replace("|", "or")


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("record-schema", RecordSchema)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""The directive `record-schema`: a model of `rarefy.records` as a table, so that page and code cannot drift."""

from __future__ import annotations

import typing
from typing import Any

import pydantic
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import rarefy.records
from rarefy.evaluation import METRICS, describe_metric


class RecordSchema(SphinxDirective):
    """One row a field: name, type, meaning."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table of the model named in the argument."""
        return self.parse_text_to_nodes("\n".join(_rows(getattr(rarefy.records, self.arguments[0]))))


class MetricsSchema(SphinxDirective):
    """A table for a model and one for every model inside it, each under its name."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The tables of the model named in the argument."""
        models = _within(getattr(rarefy.records, self.arguments[0]))
        parts = [[f"**{model.__name__}.** {_first(model)}", "", *_rows(model), ""] for model in models]
        return self.parse_text_to_nodes("\n".join(line for part in parts for line in part))


def _rows(model: type[pydantic.BaseModel]) -> list[str]:
    fields = [f"| `{name}` | `{_type(info)}` | {info.description} |" for name, info in model.model_fields.items()]
    return ["| field | type | meaning |", "| --- | --- | --- |", *fields]


def _within(model: type[pydantic.BaseModel]) -> list[type[pydantic.BaseModel]]:
    """The model and those in its fields' types, each once, from the outside in."""
    found: dict[type[pydantic.BaseModel], None] = {}
    queue: list[Any] = [model]
    while queue:
        hint = queue.pop(0)
        if isinstance(hint, type) and issubclass(hint, pydantic.BaseModel) and hint not in found:
            found[hint] = None
            queue += [info.annotation for info in hint.model_fields.values()]
        queue += typing.get_args(hint)
    return list(found)


def _first(model: type) -> str:
    return (model.__doc__ or "").strip().partition("\n")[0]


def _type(info: Any) -> str:
    hint = info.annotation
    text = hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint)
    text = text.replace("typing.", "").replace("rarefy.records._schema.", "").replace("rarefy.records._metrics.", "")
    return text.replace("|", "or")


class MetricsTable(SphinxDirective):
    """Directive `metrics-table`: one row per registered metric."""

    def run(self) -> list[nodes.Node]:
        """Builds the table."""
        return self.parse_text_to_nodes("\n".join(list_metrics()))


def list_metrics() -> list[str]:
    """Lists the registered metrics as the lines of a Markdown table."""
    lines = ["| metric | title | unit | definition |", "| --- | --- | --- | --- |"]
    for name in METRICS.names():
        info = describe_metric(name)
        lines.append(f"| `{name}` | {info.title or name} | {info.unit} | {_first(METRICS.get(name))} |")
    return lines


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("record-schema", RecordSchema)
    app.add_directive("metrics-schema", MetricsSchema)
    app.add_directive("metrics-table", MetricsTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

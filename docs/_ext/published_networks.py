"""The directive `published-networks`: a table of the networks that come with rarefy, made from their records."""

from __future__ import annotations

from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from rarefy import records
from rarefy.pipeline import list_published

_HEADS = ("name", "test accuracy", "of the best validation epoch", "density", "weights kept", "bytes", "epochs")


class PublishedNetworks(SphinxDirective):
    """One row a run."""

    def run(self) -> list[nodes.Node]:
        """The table."""
        return self.parse_text_to_nodes("\n".join(_rows()))


def _rows() -> Iterator[str]:
    yield f"| {' | '.join(_HEADS)} |"
    yield f"|{' --- |' * len(_HEADS)}"
    for name, folder in list_published().items():
        record = records.read(folder)
        if not name.endswith(f"-seed{record.config['seed']}"):
            continue
        accuracy = f"{100 * record.metrics['test']['accuracy']:.2f}%"
        best = f"{100 * record.best_epoch.test['accuracy']:.2f}%" if record.best_epoch else ""
        kept = f"{record.params.kept:,} of {record.params.total:,}"
        size = f"{record.files['model.safetensors']:,}"
        yield f"| `{name}` | {accuracy} | {best} | {record.density:.4g} | {kept} | {size} | {len(record.history)} |"


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive."""
    app.add_directive("published-networks", PublishedNetworks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Cost: what a run keeps, computes, stores and takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rarefy.reports._evaluation import _words as words
from rarefy.reports._evaluation._blocks import Block, Cell, Fold, Section, Sheet, Table
from rarefy.reports._evaluation._runs import Run, having

Line = tuple[str, tuple[str, ...], Callable[[Any], str]]  # what it is, where it stands below cost, how it is said

_LINES: tuple[Line, ...] = (
    ("parameters of the dense net", ("parameters", "all"), words.whole),
    ("prunable weights", ("parameters", "prunable"), words.whole),
    ("prunable weights kept", ("parameters", "kept"), words.whole),
    ("FLOPs of an image, dense", ("flops", "dense"), words.quantity),
    ("FLOPs of an image, kept", ("flops", "kept"), words.quantity),
    ("FLOPs of a training step for an image, dense", ("training_flops", "dense"), words.quantity),
    ("FLOPs of a training step for an image, kept", ("training_flops", "kept"), words.quantity),
    ("model file", ("bytes", "model"), lambda value: words.quantity(value, "B")),
    ("the same, dense", ("bytes", "dense"), lambda value: words.quantity(value, "B")),
    ("threads", ("threads",), words.whole),
)


def cost(runs: Sequence[Run]) -> Section:
    """A row a quantity and a column a run, and FLOPs by layer."""
    have, notes = having(runs, "cost", flags="--cost")
    blocks: list[Block] = [_table(have), *_layers(have)] if have else []
    about = (
        "FLOPs count 2 per multiply-add, of the prunable layers only; kept FLOPs are those of kept weights, whether or "
        "not the engine saves the others. Of training they are those of one image and step, averaged over a topology's "
        "interval. Latency is the median of a forward pass on the machine that evaluated; memory is what such a pass "
        "needs at most."
    )
    return Section("cost", "Cost", about, [*blocks, *notes], _sheets(have))


def _lines(runs: Sequence[Run]) -> list[Line]:
    """The quantities that any run has, with those measured batch by batch."""
    measured: list[Line] = []
    for name, said, ends in (
        ("latency", _latency, "latency of {}"),
        ("peak_memory_bytes", lambda value: words.quantity(value, "B"), "peak memory of {}"),
    ):
        batches = dict.fromkeys(batch for run in runs for batch in run.test("cost", name) or {})
        measured += [(ends.format(_images(batch)), (name, batch), said) for batch in batches]
    return [
        line for line in (*_LINES[:-1], *measured, _LINES[-1]) if any(_value(run, line) is not None for run in runs)
    ]


def _images(batch: str) -> str:
    return "1 image" if batch == "1" else f"{batch} images"


def _latency(value: Any) -> str:
    if value is None:
        return words.NOTHING
    engine = value.get("engine")
    return words.seconds(value.get("seconds")) + (f" ({engine})" if engine else "")


def _value(run: Run, line: Line) -> Any:
    return run.test("cost", *line[1])


def _table(runs: Sequence[Run]) -> Table:
    rows: list[list[Cell]] = [[line[0], *(line[2](_value(run, line)) for run in runs)] for line in _lines(runs)]
    columns: list[Cell] = ["quantity", *(run.head for run in runs)]
    return Table("Cost (FLOPs: 2 per multiply-add)", columns, rows, sheet="cost")


def _layers(runs: Sequence[Run]) -> list[Block]:
    found = [(run, run.test("cost", "flops", "layers") or {}) for run in runs]
    names = dict.fromkeys(name for _, layers in found for name in layers)
    if not names:
        return []
    dense = {name: layers[name].get("dense") for _, layers in found for name in layers}
    rows: list[list[Cell]] = [
        [name, words.quantity(dense[name]), *(words.quantity(layers.get(name, {}).get("kept")) for _, layers in found)]
        for name in names
    ]
    columns: list[Cell] = ["layer", "dense", *(run.head for run in runs)]
    table = Table("FLOPs of an image by layer (2 per multiply-add), kept by each run", columns, rows, sheet="flops")
    return [Fold("FLOPs by layer", [table])]


def _sheets(runs: Sequence[Run]) -> list[Sheet]:
    rows = [[run.name, run.id, ".".join(line[1]), _plain(_value(run, line))] for run in runs for line in _lines(runs)]
    layers = [
        [run.name, run.id, name, found.get("dense"), found.get("kept")]
        for run in runs
        for name, found in (run.test("cost", "flops", "layers") or {}).items()
    ]
    return [
        Sheet("cost", ["name", "id", "quantity", "value"], [row for row in rows if row[-1] is not None]),
        Sheet("flops", ["name", "id", "layer", "dense", "kept"], layers),
    ]


def _plain(value: Any) -> Any:
    return value.get("seconds") if isinstance(value, dict) else value

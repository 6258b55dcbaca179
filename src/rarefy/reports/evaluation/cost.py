"""Cost: what a run keeps, computes, stores and takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rarefy.reports.evaluation._page_runs import PageRun, select_runs
from rarefy.reports.figures import Sheet
from rarefy.reports.pages import (
    NOTHING,
    Block,
    Fold,
    Section,
    Table,
    format_count,
    format_quantity,
    format_seconds,
    make_columns,
)

Line = tuple[str, tuple[str, ...], Callable[[Any], str]]  # its text, its path below cost, the format of its value


def _format_bytes(value: float | None) -> str:
    return format_quantity(value, "B")


_LINES: tuple[Line, ...] = (
    ("parameters of the dense network", ("parameters", "all"), format_count),
    ("prunable weights", ("parameters", "prunable"), format_count),
    ("prunable weights kept", ("parameters", "kept"), format_count),
    ("FLOPs per image, dense", ("flops", "dense"), format_quantity),
    ("FLOPs per image, kept", ("flops", "kept"), format_quantity),
    ("training FLOPs per image and step, dense", ("training_flops", "dense"), format_quantity),
    ("training FLOPs per image and step, kept", ("training_flops", "kept"), format_quantity),
    ("model file", ("bytes", "model"), _format_bytes),
    ("model file, dense", ("bytes", "dense"), _format_bytes),
    ("threads", ("threads",), format_count),
)


def build_section(runs: Sequence[PageRun]) -> Section:
    """Builds the section: one row per quantity and one column per run, and FLOPs by layer."""
    selected, notes = select_runs(runs, "cost", flags="--cost")
    blocks: list[Block] = [_build_table(selected), *_build_layers(selected)] if selected else []
    about = (
        "FLOPs count 2 per multiply-add, of the prunable layers only. Kept FLOPs are those of kept weights, whether or "
        "not the engine skips the others. Training FLOPs are averaged over a topology's update interval. Latency is "
        "the median time of a forward pass on the machine that evaluated; memory is the peak of such a pass."
    )
    return Section("cost", "Cost", about, [*blocks, *notes])


def _list_lines(runs: Sequence[PageRun]) -> list[Line]:
    """Lists the quantities that any run has, with those measured batch by batch."""
    measured: list[Line] = []
    for name, format_, text in (
        ("latency", _format_latency, "latency of {}"),
        ("peak_memory_bytes", _format_bytes, "peak memory of {}"),
    ):
        batches = dict.fromkeys(batch for run in runs for batch in run.test("cost", name) or {})
        measured += [(text.format(f"{batch} image{'s' * (batch != '1')}"), (name, batch), format_) for batch in batches]
    lines = (*_LINES[:-1], *measured, _LINES[-1])
    return [line for line in lines if any(run.test("cost", *line[1]) is not None for run in runs)]


def _format_latency(value: Any) -> str:
    if value is None:
        return NOTHING
    engine = value.get("engine")
    return format_seconds(value.get("seconds")) + (f" ({engine})" if engine else "")


def _build_table(runs: Sequence[PageRun]) -> Table:
    rows = [[text, *(format_(run.test("cost", *path)) for run in runs)] for text, path, format_ in _list_lines(runs)]
    columns = make_columns("quantity", *(run.head for run in runs))
    return Table("", "Cost (FLOPs: 2 per multiply-add)", columns, rows, sheet=_list_quantities(runs))


def _build_layers(runs: Sequence[PageRun]) -> list[Block]:
    by_run = [run.test("cost", "flops", "layers") or {} for run in runs]
    dense = {name: layers[name].get("dense") for layers in by_run for name in layers}
    if not dense:
        return []
    rows = [
        [name, format_quantity(count), *(format_quantity(layers.get(name, {}).get("kept")) for layers in by_run)]
        for name, count in dense.items()
    ]
    columns = make_columns("layer", "dense", *(run.head for run in runs))
    caption = "FLOPs per image by layer (2 per multiply-add), kept by each run"
    return [Fold("FLOPs by layer", [Table("", caption, columns, rows, sheet=_list_layers(runs))])]


def _list_quantities(runs: Sequence[PageRun]) -> Sheet:
    values = [(run, path, run.test("cost", *path)) for run in runs for _, path, _ in _list_lines(runs)]
    rows = [
        [run.name, run.id, ".".join(path), value.get("seconds") if isinstance(value, dict) else value]
        for run, path, value in values
    ]
    return Sheet("cost", ["name", "id", "quantity", "value"], [row for row in rows if row[-1] is not None])


def _list_layers(runs: Sequence[PageRun]) -> Sheet:
    rows = [
        [run.name, run.id, name, flops.get("dense"), flops.get("kept")]
        for run in runs
        for name, flops in (run.test("cost", "flops", "layers") or {}).items()
    ]
    return Sheet("flops", ["name", "id", "layer", "dense", "kept"], rows)

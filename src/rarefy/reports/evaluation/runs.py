"""What was run, and its headline numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rarefy.reports._nested import get_nested
from rarefy.reports._titles import title_data, title_method, title_model
from rarefy.reports.evaluation._page_runs import PageRun, group_runs
from rarefy.reports.figures import Sheet
from rarefy.reports.pages import (
    NOTHING,
    Cell,
    Note,
    Section,
    Table,
    compute_mean,
    format_count,
    format_number,
    format_percent,
    format_share,
    format_with_interval,
    make_columns,
)

Pick = Callable[[PageRun], float | None]
Format = Callable[[float | None], str]

_COLUMNS = ("data", "model", "method", "density", "weights kept", "seed", "epochs", "test accuracy")
_FIELDS = ("name", "id", "data", "model", "allocation", "topology", "density", "total", "kept", "seed", "epochs")


def build_section(runs: Sequence[PageRun]) -> Section:
    """Builds the section: one row per run, and the headline numbers of each group."""
    rows = [[run.head, *_describe_run(run)] for run in runs]
    table = Table("", "What was run", make_columns("run", *_COLUMNS, texts=4), rows, sheet=_list_runs(runs))
    compare = Note("Whether a difference is more than chance:", "rarefy compare RUNS --baseline NAME", "tests it.")
    chance = [compare] if len(group_runs(runs)) > 1 else []
    about = (
        "Accuracies are shares of the test images; square brackets hold the 95% interval (Wilson) due to the number of "
        "images. At a glance: the mean over the runs of a name, with the least and the greatest in round brackets; "
        "the AUROC is averaged over the sources of images."
    )
    return Section("runs", "Runs", about, [table, _build_glance(runs), *chance])


def _get_methods(run: PageRun) -> list[str]:
    return [
        str(get_nested(run.record, "config", kind, "name") or "")
        for kind in ("data", "model", "allocation", "topology")
    ]


def _count_epochs(run: PageRun) -> int | None:
    count = len(run.record.get("history") or ())
    return count or get_nested(run.record, "config", "training", "epochs")


def _describe_run(run: PageRun) -> list[Cell]:
    density, params = run.record.get("density"), run.record.get("params", {})
    kept = f"{format_count(params.get('kept'))} of {format_count(params.get('total'))}"
    accuracy = format_with_interval(run.test("accuracy"), run.test("accuracy_interval"))
    seed, epochs = (format_count(value) for value in (get_nested(run.record, "config", "seed"), _count_epochs(run)))
    data, model, allocation, topology = _get_methods(run)
    method = title_method(allocation, topology or "static") if allocation else NOTHING
    names: list[Cell] = [title_data(data) or NOTHING, title_model(model) or NOTHING, method]
    return [
        *names,
        NOTHING if density is None else format_share(density),
        kept,
        seed.replace(",", ""),
        epochs,
        accuracy,
    ]


def _list_runs(runs: Sequence[PageRun]) -> Sheet:
    rows = []
    for run in runs:
        params, bounds = run.record.get("params", {}), run.test("accuracy_interval") or (None, None)
        counts = [run.record.get("density"), params.get("total"), params.get("kept")]
        numbers = [get_nested(run.record, "config", "seed"), _count_epochs(run), run.test("accuracy"), *bounds]
        rows.append([run.name, run.id, *_get_methods(run), *counts, *numbers])
    return Sheet("runs", [*_FIELDS, "accuracy", "accuracy_low", "accuracy_high"], rows)


def _list_headlines(runs: Sequence[PageRun]) -> list[tuple[str, Pick, Format]]:
    """Lists the headline numbers that any run has: column, how to pick and how to format it."""
    headlines: list[tuple[str, Pick, Format]] = [
        ("accuracy", lambda run: run.test("accuracy"), format_percent),
        ("NLL", lambda run: run.test("loss"), format_number),
        ("ECE", lambda run: run.test("calibration", "before", "ece"), format_percent),
        ("OoD AUROC, maximum softmax", _get_auroc, format_percent),
    ]
    labels = dict.fromkeys(label for run in runs for label in run.test("attacks") or {})
    headlines += [(f"robust: {label}", _pick_robust(label), format_percent) for label in labels]
    headlines += [
        ("mean corruption error", lambda run: run.test("corruptions", "mean_error"), format_percent),
        ("FLOPs kept, of dense", _get_flops_share, format_percent),
    ]
    return [(name, pick, format_) for name, pick, format_ in headlines if any(pick(run) is not None for run in runs)]


def _get_auroc(run: PageRun) -> float | None:
    sources = (run.test("ood") or {}).values()
    values = [get_nested(source, "scores", "max_softmax", "auroc") for source in sources]
    return compute_mean([value for value in values if value is not None])


def _pick_robust(label: str) -> Pick:
    return lambda run: run.test("attacks", label, "robust")


def _get_flops_share(run: PageRun) -> float | None:
    flops = run.test("cost", "flops") or {}
    return flops["kept"] / flops["dense"] if flops.get("dense") and "kept" in flops else None


def _build_glance(runs: Sequence[PageRun]) -> Table:
    groups, headlines = group_runs(runs), _list_headlines(runs)
    rows = [
        [name, *(_format_values([pick(run) for run in members], format_) for members in groups.values())]
        for name, pick, format_ in headlines
    ]
    numbers = [[run.name, run.id, *(pick(run) for _, pick, _ in headlines)] for run in runs]
    sheet = Sheet("glance", ["name", "id", *(name for name, _, _ in headlines)], numbers)
    return Table("", "At a glance", make_columns("", *groups), rows, sheet=sheet)


def _format_values(values: Sequence[float | None], format_: Format) -> str:
    known = [value for value in values if value is not None]
    texts = compute_mean(known), min(known, default=None), max(known, default=None)
    mean, low, high = map(format_, texts)
    return mean if low == high else f"{mean} ({low.removesuffix('%')} … {high.removesuffix('%')})"

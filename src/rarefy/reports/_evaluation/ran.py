"""What was run, and the numbers most people come for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rarefy.reports._evaluation import _words as words
from rarefy.reports._evaluation._blocks import Cell, Note, Section, Sheet, Table
from rarefy.reports._evaluation._runs import Run, dig, grouped

Pick = Callable[[Run], float | None]
Say = Callable[[float | None], str]

_COLUMNS = ("data", "model", "allocation", "topology", "density", "weights kept", "seed", "epochs", "test accuracy")
_FIELDS = ("name", "id", "data", "model", "allocation", "topology", "density", "total", "kept", "seed", "epochs")


def ran(runs: Sequence[Run]) -> Section:
    """A row a run of what it was, and a row a group of its headline numbers."""
    rows = [[run.head, *_described(run)] for run in runs]
    table = Table("What was run", ["run", *_COLUMNS], rows, sheet="runs", words=(1, 2, 3, 4))
    compare = Note("Whether a difference is more than chance:", "rarefy compare RUNS --baseline NAME", "tells.")
    chance = [compare] if len(grouped(runs)) > 1 else []
    sheets = [Sheet("runs", [*_FIELDS, "accuracy", "accuracy_low", "accuracy_high"], [_plain(run) for run in runs])]
    about = (
        "Accuracies are shares of the test images, in square brackets the 95% interval (Wilson) that the number of "
        "images leaves open. At a glance: the mean over the runs of a name, in round brackets the least and the "
        "greatest; the AUROC is averaged over the sources of images."
    )
    return Section("runs", "Runs", about, [table, _glance(runs), *chance], [*sheets, _sheet(runs)])


def _methods(run: Run) -> list[str]:
    return [str(dig(run.record, "config", kind, "name") or "") for kind in ("data", "model", "allocation", "topology")]


def _epochs(run: Run) -> int | None:
    count = len(run.record.get("history") or ())
    return count or dig(run.record, "config", "training", "epochs")


def _described(run: Run) -> list[Cell]:
    density, params = run.record.get("density"), run.record.get("params", {})
    kept = f"{words.whole(params.get('kept'))} of {words.whole(params.get('total'))}"
    accuracy = words.with_interval(run.test("accuracy"), run.test("accuracy_interval"))
    seed, epochs = (words.whole(value) for value in (dig(run.record, "config", "seed"), _epochs(run)))
    methods: list[Cell] = [name or words.NOTHING for name in _methods(run)]
    return [*methods, words.number(density, 3), kept, seed.replace(",", ""), epochs, accuracy]


def _plain(run: Run) -> list[object]:
    params, bounds = run.record.get("params", {}), run.test("accuracy_interval") or (None, None)
    counts = [run.record.get("density"), params.get("total"), params.get("kept")]
    seed = dig(run.record, "config", "seed")
    return [run.name, run.id, *_methods(run), *counts, seed, _epochs(run), run.test("accuracy"), *bounds]


def _headlines(runs: Sequence[Run]) -> list[tuple[str, Pick, Say]]:
    """Column, how to read it and how to say it, of all that any run has."""
    found: list[tuple[str, Pick, Say]] = [
        ("accuracy", lambda run: run.test("accuracy"), words.percent),
        ("NLL", lambda run: run.test("loss"), words.number),
        ("ECE", lambda run: run.test("calibration", "before", "ece"), words.percent),
        ("OoD AUROC, maximum softmax", _auroc, words.percent),
    ]
    labels = dict.fromkeys(label for run in runs for label in run.test("attacks") or {})
    found += [(f"robust: {label}", _robust(label), words.percent) for label in labels]
    found += [
        ("mean corruption error", lambda run: run.test("corruptions", "mean_error"), words.percent),
        ("FLOPs kept, of dense", _flops, words.percent),
    ]
    return [(name, pick, say) for name, pick, say in found if any(pick(run) is not None for run in runs)]


def _auroc(run: Run) -> float | None:
    sources = (run.test("ood") or {}).values()
    values = [dig(source, "scores", "max_softmax", "auroc") for source in sources]
    return words.mean([value for value in values if value is not None])


def _robust(label: str) -> Pick:
    return lambda run: run.test("attacks", label, "robust")


def _flops(run: Run) -> float | None:
    flops = run.test("cost", "flops") or {}
    return flops["kept"] / flops["dense"] if flops.get("dense") and "kept" in flops else None


def _glance(runs: Sequence[Run]) -> Table:
    groups = grouped(runs)
    rows: list[list[Cell]] = [
        [
            name,
            *(
                _over([value for run in members if (value := pick(run)) is not None], say)
                for members in groups.values()
            ),
        ]
        for name, pick, say in _headlines(runs)
    ]
    return Table("At a glance", ["", *groups], rows, sheet="glance")


def _over(values: Sequence[float], say: Say) -> str:
    said, low, high = say(words.mean(values)), say(min(values, default=None)), say(max(values, default=None))
    return said if low == high else f"{said} ({low.removesuffix('%')} … {high.removesuffix('%')})"


def _sheet(runs: Sequence[Run]) -> Sheet:
    headlines = _headlines(runs)
    rows = [[run.name, run.id, *(pick(run) for _, pick, _ in headlines)] for run in runs]
    return Sheet("glance", ["name", "id", *(name for name, _, _ in headlines)], rows)

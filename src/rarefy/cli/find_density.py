"""Find the smallest density whose accuracy is within a margin of dense."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rarefy.cli._flags import add_flags
from rarefy.cli._loading import import_torch
from rarefy.flags import (
    CONFIG_FILE,
    DATA_DIR,
    FLAGS,
    OUT,
    QUIET,
    RETRY,
    RUN_THREADS,
    RUN_WORKERS,
    SET,
    Flag,
)

if TYPE_CHECKING:
    from rich.console import Console

    from rarefy.config import Config
    from rarefy.search import Scale, SearchResult, SearchRuns

EXAMPLES = (
    "rarefy find-density --fix --data digits --model mlp_256_256 --epochs 40 --margin 2\n\n"
    "rarefy find-density --fix --data cifar10 --model cifar_resnet_20_8 --scale short --margin 2 --workers 2\n\n"
    "rarefy find-density --topology rigl --data cifar10 --model cifar_resnet_20 --scale paper --min-density 0.02\n\n"
    "Short runs narrow the search, full runs decide. All are ordinary runs in OUT: the same command "
    "continues an interrupted search, and with more --seeds it adds the missing runs. The flags of `rarefy train` mean "
    "the same here."
)
_SCALES = (
    "smoke (2 epochs, 2 seeds), short (6 epochs, 4 seeds, coarse), paper (160 epochs, 5 seeds); flags override it."
)


OPTIONS = (
    Flag(("--margin",), "", float, "Equivalence margin, in percentage points.", default=0.5),
    Flag(("--seeds",), "", int, "Seeds of the full runs; default: 3.", minimum=2),
    Flag(("--min-density",), "", float, "Smallest density tried."),
    Flag(("--short",), "", float, "Fraction of the epochs that short runs have.", default=0.25),
    Flag(("--scale",), "", str, _SCALES),
    Flag(("--output", "-o"), "", Path, "Page to write.", default=Path("find-density.html")),
    CONFIG_FILE,
    SET,
    RUN_WORKERS,
    RUN_THREADS,
    RETRY,
    OUT,
    DATA_DIR,
    dataclasses.replace(QUIET, help="Print only the answer."),
)


@add_flags([flag for flag in FLAGS if flag.name != "density"], into="flags")
@add_flags(OPTIONS)
def command(
    *,
    flags: dict[str, Any],
    margin: float,
    seeds: int | None,
    min_density: float | None,
    short: float,
    scale: str | None,
    output: Path,
    config: Path | None,
    assignments: list[str] | None,
    workers: int | None,
    threads: int | None,
    retry: int,
    out: Path,
    data_dir: Path,
    quiet: bool,
) -> None:
    """Searches, shows and writes."""
    from rarefy.cli._console import console
    from rarefy.config import build_config

    import_torch()
    screen, error_console = console(), console(error=True)
    chosen = _scale(scale, seeds)
    flags["epochs"] = flags["epochs"] or chosen.epochs
    settings = build_config(
        flags if config else {**flags, "sparse": True},
        file=config,
        assignments=assignments or (),
        notice=lambda text: (
            None if text.startswith("--density") else error_console.print(f"note: {text}")
        ),  # nobody gave it
    )
    places = {"out": out, "data_dir": data_dir, "retry": retry}
    options = {"margin": margin / 100, "short": short, "densities": chosen.build_densities(min_density)}
    options["seeds"] = range(settings.seed, settings.seed + chosen.seeds)
    result, runs = _search(screen, settings, {"workers": workers, "threads": threads}, places, options, quiet=quiet)
    _conclude(screen, result, runs, output, quiet=quiet)


def _scale(name: str | None, seeds: int | None) -> Scale:
    from rarefy.registry import make_unknown_error
    from rarefy.search import SCALES, Scale

    if name is not None and name not in SCALES:
        raise make_unknown_error("scale", name, SCALES)
    scale = Scale("", epochs=None, seeds=3, floor=0.01) if name is None else SCALES[name]
    return dataclasses.replace(scale, seeds=seeds or scale.seeds)


def _search(
    screen: Console,
    config: Config,
    executor: dict[str, Any],
    places: dict[str, Any],
    options: dict[str, Any],
    *,
    quiet: bool,
) -> tuple[SearchResult, SearchRuns]:
    from rarefy.cli._progress import stoppable
    from rarefy.cli._search import SearchProgress
    from rarefy.search import SearchRuns, SweepOptions, search_runs
    from rarefy.sweeps import EXECUTORS
    from rarefy.training import Interrupted

    sweep_options = SweepOptions(EXECUTORS.build("local", **executor), **places)
    with stoppable() as should_stop, SearchProgress(screen) as shown:
        show = {} if quiet else {"show": shown.runs}
        runs = SearchRuns(config, sweep_options, should_stop=should_stop, **show)
        if not quiet:
            _announce(screen, config, options)
            options |= {"notice": shown.step}
        try:
            return search_runs(runs, **options), runs
        except Interrupted as stop:
            screen.print(f"{stop} The same command continues from there.")
            raise typer.Exit(130) from None


def _announce(screen: Console, config: Config, options: dict[str, Any]) -> None:
    densities, seeds = (", ".join(f"{value:g}" for value in options[name]) for name in ("densities", "seeds"))
    screen.print(
        f"{config.model.name} on {config.data.name}, {config.allocation.name}, {config.topology.name}, "
        f"{config.training.epochs} epochs, seeds {seeds}: which of the densities {densities} is within "
        f"{100 * options['margin']:g} points of dense?"
    )


def _conclude(screen: Console, result: SearchResult, runs: SearchRuns, page: Path, *, quiet: bool) -> None:
    from rarefy.cli._search import savings_table
    from rarefy.search import measure_savings, write_page

    screen.print(result.answer)
    for line in () if quiet else result.caveats:
        screen.print(line)
    gains = measure_savings(result, runs, progress=lambda words: None if quiet else screen.print(words))
    if gains and not quiet:
        screen.print(savings_table(gains))
    written = write_page(result, runs, gains, page)
    if not quiet:
        screen.print(f"page: {written[0]}")

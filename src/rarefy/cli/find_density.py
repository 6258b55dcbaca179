"""Find the smallest density whose accuracy is within a margin of dense."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rarefy.cli._flags import with_flags

if TYPE_CHECKING:
    from rich.console import Console

    from rarefy.config import Config
    from rarefy.search import Scale, SearchResult, SearchRuns

EXAMPLES = (
    "rarefy find-density --fix --data digits --model mlp_256_256 --epochs 40 --margin 2\n\n"
    "rarefy find-density --fix --data cifar10 --model cifar_resnet_20_8 --scale short --margin 2 --workers 2\n\n"
    "rarefy find-density --topology rigl --data cifar10 --model cifar_resnet_20 --scale paper --min-density 0.02\n\n"
    "Short runs say where to look, full ones decide. Every run is an ordinary one in OUT: given again, the same "
    "command goes on where it was, and with more --seeds it adds what is missing. All flags of `rarefy train` mean "
    "the same."
)
_SCALES = "smoke (2 epochs, 2 seeds), short (6 epochs, 4 seeds, coarse), paper (160 epochs, 5 seeds); flags go over it."


@functools.partial(with_flags, without=("density",))
def command(
    *,
    flags: dict[str, Any],
    margin: Annotated[float, typer.Option("--margin", help="Points of accuracy that do not matter.")] = 0.5,
    seeds: Annotated[int | None, typer.Option("--seeds", min=2, help="Seeds of full runs; default 3.")] = None,
    min_density: Annotated[float | None, typer.Option("--min-density", help="Smallest density tried.")] = None,
    short: Annotated[float, typer.Option("--short", help="Share of the epochs that short runs have.")] = 0.25,
    scale: Annotated[str | None, typer.Option("--scale", help=_SCALES)] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Page to write.")] = Path("find-density.html"),
    config: Annotated[Path | None, typer.Option("--config", help="YAML file of settings; flags go over it.")] = None,
    assignments: Annotated[list[str] | None, typer.Option("--set", help="Any setting: --set training.lr=0.05")] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Runs at a time.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, max=1024, help="Threads of each run.")] = None,
    retry: Annotated[int, typer.Option("--retry", min=0, help="How often a run that failed is started again.")] = 0,
    out: Annotated[Path, typer.Option("--out", "--save", help="Where runs go: OUT/<id>/.")] = Path("runs"),
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Where data sets are looked for.")] = Path("data"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the answer.")] = False,
) -> None:
    """Searches, shows and writes."""
    from rarefy.cli._console import console
    from rarefy.config import build_config

    screen, beside = console(), console(error=True)
    chosen = _scale(scale, seeds)
    flags["epochs"] = flags["epochs"] or chosen.epochs
    settings = build_config(
        flags if config else {**flags, "sparse": True},
        file=config,
        assignments=assignments or (),
        notice=lambda text: None if text.startswith("--density") else beside.print(f"note: {text}"),  # nobody gave it
    )
    places = {"out": out, "data_dir": data_dir, "retry": retry}
    options = {"margin": margin / 100, "short": short, "densities": chosen.build_densities(min_density)}
    options["seeds"] = range(settings.seed, settings.seed + chosen.seeds)
    found, runs = _search(screen, settings, {"workers": workers, "threads": threads}, places, options, quiet=quiet)
    _conclude(screen, found, runs, output, quiet=quiet)


def _scale(name: str | None, seeds: int | None) -> Scale:
    import dataclasses

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
            screen.print(f"{stop} The same command goes on from there.")
            raise typer.Exit(130) from None


def _announce(screen: Console, config: Config, options: dict[str, Any]) -> None:
    densities, seeds = (", ".join(f"{value:g}" for value in options[name]) for name in ("densities", "seeds"))
    screen.print(
        f"{config.model.name} on {config.data.name}, {config.allocation.name}, {config.topology.name}, "
        f"{config.training.epochs} epochs, seeds {seeds}: which of the densities {densities} is within "
        f"{100 * options['margin']:g} points of dense?"
    )


def _conclude(screen: Console, found: SearchResult, runs: SearchRuns, page: Path, *, quiet: bool) -> None:
    from rarefy.cli._search import saved
    from rarefy.search import measure_savings, write_page

    screen.print(found.answer)
    for line in () if quiet else found.caveats:
        screen.print(line)
    gains = measure_savings(found, runs, progress=lambda words: None if quiet else screen.print(words))
    if gains and not quiet:
        screen.print(saved(gains))
    written = write_page(found, runs, gains, page)
    if not quiet:
        screen.print(f"page: {written[0]}")

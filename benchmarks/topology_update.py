"""What moving masks cost: one update of each topology, and a whole training with an update every 100 steps.

    python benchmarks/topology_update.py [--threads N] [--rounds 9] [--density 0.1] [--topology set rigl ...]

All train cifar_resnet_20 (ERK) with SGD and momentum on the same batch, and take turns in one process. For each:

- *update*: ``optimizer.step()`` when masks move, less ``optimizer.step()`` when they do not;
- *hooks*: ``optimizer.step()`` when they do not, less that of the dense network;
- *whole step*: forward, loss, backward and step, of the dense network, of the sparse one between updates (*plain*), and
  of the sparse one at an update. What a training with an update every 100 steps costs is measured from both:
  ``(99 * plain + update step) / 100`` against the dense step. Target: at most 1.05 times. *By parts* is the same from
  the first two, ``1 + (hooks + update / 100) / dense``, which the noise of a busy machine moves less.

The peer is rigl-torch 0.5.2, driven as its readme says (uniform allocation, the only one it has). It is left out with a
word where it is not installed: ``pip install --no-deps rigl-torch==0.5.2 torchvision`` into a throwaway environment.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import statistics
from collections.abc import Callable

import torch
from masked_step import Step, seconds

from rarefy.topology import TOPOLOGIES

TARGET = 1.05
EVERY = 100  # steps between updates in a real training
MOVING = [name for name in TOPOLOGIES.names() if name != "static"]
INSTALL = "pip install --no-deps rigl-torch==0.5.2 torchvision, best in a throwaway environment"


class Peer(Step):
    """The same step with rigl-torch: its scheduler is called before the optimizer, and takes its place at an update."""

    def __init__(self, density: float, batch: int) -> None:
        super().__init__(batch, None)
        from rigl_torch.RigL import RigLScheduler  # type: ignore[import-not-found]

        self._scheduler = RigLScheduler(
            self.model, self.optimizer, dense_allocation=density, T_end=750_000, delta=2, alpha=0.3
        )

    def take(self) -> None:
        """The scheduler's choice between a step and an update; its hooks on gradients have run by then."""
        if self._scheduler():
            self.optimizer.step()


def sparse_step(name: str, density: float, batch: int) -> Step:
    """A step whose masks move every second time, so that both kinds of step alternate."""
    return Step(batch, density, TOPOLOGIES.build(name, interval=2))


def update_seconds(sparse: Step, rounds: int) -> tuple[float, float]:
    """Seconds of one update alone, and of what a step without one costs more than a dense ``optimizer.step()``."""
    dense = Step(2, None)

    def taken(step: Step) -> float:
        step.backward()
        return seconds(step.take)

    rows = [(taken(dense), taken(sparse), taken(sparse)) for _ in range(rounds + 2)][2:]
    update = statistics.median(moving - plain for _, plain, moving in rows)
    return update, statistics.median(plain - without for without, plain, _ in rows)


def whole_steps(dense: Step, sparse: Step, rounds: int) -> list[tuple[float, ...]]:
    """Rows of seconds: a dense step, a plain sparse step, a sparse step with an update; one row warms up."""
    return [(seconds(dense), seconds(sparse), seconds(sparse)) for _ in range(rounds + 1)][1:]


def amortised(rows: list[tuple[float, ...]]) -> float:
    """Cost of a training with an update every so many steps against a dense one: the median over the rounds."""
    return statistics.median(((EVERY - 1) * plain + update) / EVERY / dense for dense, plain, update in rows)


def line(label: str, dense: Step, make: Callable[[int], Step], batch: int, rounds: int) -> tuple[float, float]:
    """Measures one method and prints its row of the table; returns the amortised ratio, measured and by parts."""
    update, hooks = update_seconds(make(2), 5 * rounds)
    rows = whole_steps(dense, make(batch), rounds)
    without, plain, moving = (statistics.median(column) for column in zip(*rows, strict=True))
    ratio, by_parts = amortised(rows), 1 + (hooks + update / EVERY) / without
    columns = "".join(f"{value * 1e3:10.2f}" for value in (update, hooks, without, plain, moving))
    print(f"{label:<12}{columns}   {ratio:7.3f} {by_parts:9.3f}", flush=True)
    return ratio, by_parts


def has_peer() -> bool:
    """Whether the peer is installed; if not, says how to get it."""
    if importlib.util.find_spec("rigl_torch") is None:
        print(f"rigl-torch  not measured, because it is not installed: {INSTALL}")
        return False
    return True


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    parser.add_argument("--rounds", type=int, default=9, help="turns of the whole steps")
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--topology", nargs="+", default=MOVING, choices=MOVING, metavar="NAME", help=", ".join(MOVING))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"cifar_resnet_20, batch {options.batch}, density {options.density:g}, {options.threads} thread(s), "
        f"medians of {options.rounds} turns, ms"
    )
    heads = "".join(f"{head:>10}" for head in ("update", "hooks", "dense", "plain", "at update"))
    print(f"{'':<12}{heads}   every {EVERY}  by parts")
    dense, ratios = Step(options.batch, None), {}
    for name in options.topology:
        make = functools.partial(sparse_step, name, options.density)
        ratios[name] = line(name, dense, make, options.batch, options.rounds)
    if has_peer():
        line("rigl-torch", dense, functools.partial(Peer, options.density), options.batch, options.rounds)
    for label, values in zip(("measured", "by parts"), zip(*ratios.values(), strict=True), strict=True):
        verdict = "reached" if max(values) <= TARGET else "not reached"
        print(f"target, {label}: at most {TARGET} for each: {verdict} (worst {max(values):.3f})")


if __name__ == "__main__":
    main()

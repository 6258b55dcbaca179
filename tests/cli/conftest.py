"""The command line as a person uses it: arguments in, exit code and text out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rarefy.cli import main

TINY = (
    "--data synthetic --model mlp_8 --epochs 2 --batch-size 16 --device cpu --engine masked --set data.height=4 "
    "--set data.width=4 --set data.classes=3 --set data.train=32 --set data.validation=16 --set data.test=16"
)


@dataclasses.dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """What a user's mistake is told in: one message on stderr, no traceback, nothing hidden."""
        assert self.code == 2, (self.code, self.err)
        assert "Traceback" not in self.err
        assert "Traceback" not in self.out
        assert self.err.startswith("rarefy: ")
        return self.err.removeprefix("rarefy: ").strip()


@pytest.fixture
def rarefy(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs ``rarefy <words> <more>``; `words` are split at spaces."""

    def call(words: str, *more: object) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([*words.split(), *map(str, more)])
        out, err = capsys.readouterr()
        return Done(stop.value.code or 0, out, err)

    return call


@pytest.fixture
def train(rarefy: Callable[..., Done], tmp_path: Path) -> Callable[..., Done]:
    """Runs ``rarefy train`` on little, with runs in ``tmp_path / "runs"``."""
    return lambda words="", *more: rarefy(f"train {TINY} {words}", "--out", tmp_path / "runs", *more)


@pytest.fixture
def steps() -> Iterator[list[int]]:
    """Grows by one entry for every optimizer step."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    taken: list[int] = []
    hook = register_optimizer_step_post_hook(lambda *_: taken.append(1))
    yield taken
    hook.remove()

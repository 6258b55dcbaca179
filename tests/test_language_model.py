"""The example of language models, in this process: what it computes, and the recipe that prunes."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

FILE = Path(__file__).parents[1] / "examples" / "language_model.py"
SMALL = ["--layers", "1", "--heads", "2", "--width", "32", "--context", "16", "--batch", "4", "--steps", "100"]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("language_model", FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("the quick brown fox jumps over the lazy dog. " * 60)
    return path


def test_a_model_that_knows_nothing_needs_the_bits_of_the_alphabet(example) -> None:
    class Uniform(nn.Module):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return torch.zeros(*tokens.shape, 64)

    assert example.compute_bits(Uniform(), torch.arange(64).repeat(20), 16) == pytest.approx(6)


def test_what_is_held_out_is_not_trained_on(example) -> None:
    train, held_out, characters = example.encode("abc" * 30 + "xyzxyzxyzx")
    assert (len(train), len(held_out), characters) == (90, 10, 6)
    assert not set(train.tolist()) & set(held_out.tolist())


def test_no_paragraph_of_the_reference_comes_twice(example) -> None:
    paragraphs = example.read_reference().split("\n\n")
    assert len(paragraphs) == len(set(paragraphs)) > 1000


@pytest.mark.parametrize(
    "words",
    [[], ["--density", "0.0625", "--scaling", "supar"], ["--density", "0.25", "--topology", "set", "--engine", "cpu"],
     ["--density", "0.25", "--recipe", "circuits", "--lr", "0.02"]],
)  # fmt: skip
def test_every_recipe_learns_at_the_density_that_was_asked_for(example, text, words) -> None:
    options = example.parse_options([*SMALL, "--lr", "0.01", *words])
    tokens, held_out, characters = example.encode(text.read_text())
    with torch.random.fork_rng():
        model, sparsity = example.train(options, tokens, characters, seed=0)
    kept = {
        name: int(module.weight.count_nonzero())
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }
    total = 32 * 32 * 12
    assert sum(kept.values()) == sparsity.kept == round(options.density * total)
    assert example.compute_bits(model, held_out, 16) < 0.9 * math.log2(characters)


def test_circuits_keep_the_largest_weights_and_four_in_every_row(example) -> None:
    options = example.parse_options([*SMALL, "--recipe", "circuits", "--density", "0.01"])
    torch.manual_seed(0)
    model = example.LanguageModel(10, layers=1, heads=2, width=32, context=16)
    recipe = example.Circuits(model, options, seed=0)
    before = model.blocks[0].up.weight.detach().clone()
    recipe.optimizer.param_groups[0]["lr"] = 0.0
    recipe.after_step(99)
    after = model.blocks[0].up.weight
    assert after.count_nonzero(dim=1).tolist() == [4] * 128, "1% would be 41 weights, four in each of 128 rows are 512"
    by_hand = torch.stack([row * (row.abs() >= row.abs().sort(descending=True).values[3]) for row in before])
    assert torch.equal(after.detach(), by_hand)


def test_circuits_anneal_density_and_rate_together(example) -> None:
    options = example.parse_options([*SMALL, "--steps", "1000", "--recipe", "circuits", "--density", "0.25"])
    recipe = example.Circuits(example.LanguageModel(10, layers=1, heads=2, width=32, context=16), options, seed=0)
    densities = [recipe.compute_density(step) for step in (0, 10, 255, 500, 999)]
    assert densities == pytest.approx([1, 1, 0.625, 0.25, 0.25])
    assert recipe.compute_rate(255) == pytest.approx(0.745 * math.sqrt(0.25 / 0.625))
    assert recipe.compute_rate(500) == pytest.approx(0.5)


def test_circuits_gradients_have_the_size_1(example) -> None:
    options = example.parse_options([*SMALL, "--recipe", "circuits"])
    model = example.LanguageModel(10, layers=1, heads=2, width=32, context=16)
    recipe = example.Circuits(model, options, seed=0)
    model(torch.zeros(2, 16, dtype=torch.int64)).square().sum().backward()
    recipe.before_step()
    gradients = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    assert float(gradients.square().mean().sqrt()) == pytest.approx(1, rel=1e-4)


def test_the_program_prints_the_interval_over_seeds(example, text, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["language_model.py", *SMALL, "--text", str(text), "--steps", "2", "--seeds", "2"])
    with torch.random.fork_rng():
        example.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["seed", "seed", "held"]
    assert "95% interval" in lines[-1]

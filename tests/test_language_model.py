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


def prune(example, words: list[str]) -> tuple[nn.Module, nn.Module]:
    """Builds a network and prunes a copy of it by one step of the recipe, at the final density; returns both."""
    options = example.parse_options([*SMALL, "--recipe", "circuits", *words])
    torch.manual_seed(0)
    before, model = (example.LanguageModel(10, layers=1, heads=2, width=32, context=16) for _ in range(2))
    model.load_state_dict(before.state_dict())
    recipe = example.Circuits(model, options, seed=0)
    recipe.optimizer.param_groups[0]["lr"] = 0.5
    recipe.after_step(99)
    return before.blocks[0], model.blocks[0]


def test_circuits_keep_the_largest_weights_and_four_of_every_neuron(example) -> None:
    """1% of `up` would be 41 weights; four of each of its 128 neurons are 512. `down` has them as columns."""
    before, after = prune(example, ["--density", "0.01"])
    for name, by_neuron in {"up": lambda weight: weight, "down": lambda weight: weight.T}.items():
        rows, kept = (by_neuron(getattr(block, name).weight.detach()) for block in (before, after))
        assert kept.count_nonzero(dim=1).tolist() == [4] * 128
        by_hand = torch.stack([row * (row.abs() >= row.abs().sort(descending=True).values[3]) for row in rows])
        assert torch.equal(kept, by_hand * (1 - 0.1 * 0.5))


def test_circuits_without_a_least_number_keep_the_largest_of_all(example) -> None:
    before, after = prune(example, ["--density", "0.001", "--least", "0"])
    weight, kept = before.qkv.weight.detach(), after.qkv.weight.detach()
    largest = weight.flatten().abs().sort(descending=True).values[2]
    assert torch.equal(kept, weight * (weight.abs() >= largest) * (1 - 0.1 * 0.5)), "0.1% of 3,072 are 3"


def test_circuits_shrink_embeddings_and_no_norms(example) -> None:
    options = example.parse_options([*SMALL, "--recipe", "circuits", "--density", "0.5"])
    model = example.LanguageModel(10, layers=1, heads=2, width=32, context=16)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recipe = example.Circuits(model, options, seed=0)
    recipe.optimizer.param_groups[0]["lr"] = 0.5
    recipe.after_step(0)
    assert torch.equal(model.tokens.weight, before["tokens.weight"] * (1 - 0.1 * 0.5))
    assert torch.equal(model.norm.weight, before["norm.weight"])


def test_circuits_anneal_density_and_rate_together(example) -> None:
    options = example.parse_options([*SMALL, "--steps", "1000", "--recipe", "circuits", "--density", "0.25"])
    recipe = example.Circuits(example.LanguageModel(10, layers=1, heads=2, width=32, context=16), options, seed=0)
    densities = [recipe.compute_density(step) for step in (0, 10, 255, 500, 999)]
    assert densities == pytest.approx([1, 1, 0.625, 0.25, 0.25])
    # The rate falls from 1 at step 10 to 0 at step 1,000.
    assert recipe.compute_rate(255) == pytest.approx(745 / 990 * math.sqrt(0.25 / 0.625))
    assert recipe.compute_rate(505) == pytest.approx(0.5)
    assert recipe.compute_rate(4) == pytest.approx(0.5 * math.sqrt(0.25))


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

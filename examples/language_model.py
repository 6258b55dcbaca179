"""A small GPT on characters, in plain PyTorch: dense, sparse from the first step, or pruned to circuits.

    python examples/language_model.py                                             # dense: two to four minutes
    python examples/language_model.py --density 0.0625 --scaling supar            # a sixteenth of the weights
    python examples/language_model.py --density 0.0625 --scaling supar --topology set --engine cpu --seeds 3
    python examples/language_model.py --density 0.015625 --recipe circuits --lr 0.01

Without --text FILE it reads the language reference that every Python carries (module pydoc_data; its words depend on
the version of Python). The token table is the output layer as well and stays dense; so do positions, norms and biases.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from pydoc_data import topics

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import rarefy
from rarefy.statistics import summarize
from rarefy.topology import TOPOLOGIES


class Block(nn.Module):
    """Attention and a network of two layers, each behind a norm and added to the stream."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)])
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[batch, context, width]`` to the same shape."""
        query, key, value = self.qkv(self.norms[0](x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norms[1](x))))


class LanguageModel(nn.Module):
    """Predicts the next character at every position: ``[batch, context]`` to ``[batch, context, characters]``."""

    def __init__(self, characters: int, *, layers: int, heads: int, width: int, context: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(characters, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width, bias=False)
        for name, weight in self.named_parameters():
            if weight.ndim > 1:  # GPT-2's: less where the layer writes to the stream
                nn.init.normal_(
                    weight, std=0.02 / math.sqrt(2 * layers) if name.endswith(("out.weight", "down.weight")) else 0.02
                )

    def forward(self, tokens: Tensor) -> Tensor:
        """Computes the logits."""
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        return F.linear(self.norm(self.blocks(x)), self.tokens.weight)


class FromTheStart:
    """Trains a network that is sparse from the first step, or dense, as nanoGPT trains: AdamW and a cosine."""

    def __init__(self, model: LanguageModel, options: argparse.Namespace, seed: int) -> None:
        self.model, self.steps, self.warmup = model, options.steps, max(1, options.steps // 20)
        moves = {} if options.topology == "static" else {"interval": max(1, options.steps // 20)}
        self.sparsity = rarefy.sparsify(
            model,
            density=options.density,
            allocation="dense" if options.density == 1 else options.allocation,
            topology=TOPOLOGIES.build(options.topology, **moves),
            scaling=options.scaling,
            seed=seed,
        )
        inputs = torch.zeros(options.batch, options.context, dtype=torch.int64)
        rarefy.use_engine(model, self.sparsity, options.engine, inputs=inputs)
        groups = self.sparsity.param_groups(lr=options.lr, weight_decay=0.1, decays_vectors=False)
        self.optimizer: torch.optim.Optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99))
        self.sparsity.attach(self.optimizer, steps=options.steps)

    def compute_rate(self, step: int) -> float:
        """Computes the factor of the rate: warm-up, then a cosine from 1 to 0.1."""
        done = max(0.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return min(1.0, (step + 1) / self.warmup) * (0.55 + 0.45 * math.cos(math.pi * done))

    def before_step(self) -> None:
        """Clips the gradient of the kept weights."""
        self.sparsity.mask_gradients_()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)

    def after_step(self, step: int) -> None:
        """Does nothing: the masks are kept by hooks of the optimizer."""

    def finish(self) -> rarefy.Sparsity:
        """Puts ordinary layers back into the model, and returns which weights are kept."""
        rarefy.use_dense(self.model, self.sparsity)
        return self.sparsity


class Circuits:
    """Prunes a dense network while it trains: each matrix keeps its largest weights after every step, ever fewer.

    The density falls from 1 (at 1% of the steps) to the final one (at 50%). Every neuron keeps at least four weights:
    the inputs of attention channels and of neurons behind `qkv` and `up`, the outputs of those before `out` and `down`.
    That is density 4 / width, so that below it `--least` has to be smaller. What the authors' networks have besides
    (sparse activations, a table of pairs, sparse embeddings and biases) is left out.

    References:
        Gao et al., 2025, "Weight-sparse transformers have interpretable circuits", and the authors' training script.
    """

    def __init__(self, model: LanguageModel, options: argparse.Namespace, seed: int) -> None:
        self.model, self.density, self.steps = model, options.density, options.steps
        self.least = options.least
        self.matrices = [  # a weight, and the dimension along which a neuron has its weights
            (module.weight, 0 if name.endswith(("out", "down")) else 1)
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear)
        ]
        self.optimizer: torch.optim.Optimizer = torch.optim.Adam(
            model.parameters(), lr=options.lr, betas=(0.9, 0.95), eps=0.1
        )

    def compute_density(self, step: int) -> float:
        """Computes the density before a step."""
        return 1 + min(1.0, max(0.0, (step / self.steps - 0.01) / 0.49)) * (self.density - 1)

    def compute_rate(self, step: int) -> float:
        """Computes the factor of the rate: 1% warm-up, linear to 0, and less while more weights are kept."""
        warmup = 0.01 * self.steps
        factor = min((step + 1) / warmup, (self.steps - step) / (self.steps - warmup), 1.0)
        return factor * math.sqrt(self.density / self.compute_density(step))

    @torch.no_grad()
    def before_step(self) -> None:
        """Divides the whole gradient by its root mean square."""
        gradients = [parameter.grad for parameter in self.model.parameters()]
        size = torch.cat([gradient.flatten() for gradient in gradients]).square().mean().sqrt()
        for gradient in gradients:
            gradient /= size + 1e-5

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Prunes, and shrinks what is left."""
        rate = self.optimizer.param_groups[0]["lr"]
        for weight, dim in self.matrices:
            kept = max(round(self.compute_density(step + 1) * weight.numel()), self.least * weight.shape[1 - dim])
            sizes = weight.abs()
            sizes.scatter_(dim, sizes.topk(self.least, dim).indices, math.inf)
            smallest = sizes.flatten().kthvalue(weight.numel() - kept + 1).values
            weight *= sizes >= smallest
        for weight in self.model.parameters():
            if weight.ndim > 1:
                weight *= 1 - 0.1 * rate

    def finish(self) -> rarefy.Sparsity:
        """Returns which weights are kept."""
        return rarefy.sparsify(self.model, from_weights=True)


def read_reference() -> str:
    """Reads Python's language reference, each paragraph once: many of its topics contain others."""
    paragraphs = "\n\n".join(text for _, text in sorted(topics.topics.items())).split("\n\n")
    return "\n\n".join(dict.fromkeys(paragraphs))


def encode(text: str) -> tuple[Tensor, Tensor, int]:
    """Encodes a text: nine tenths to train, the last tenth to validate, and the number of characters."""
    alphabet = {character: number for number, character in enumerate(sorted(set(text)))}
    numbers = torch.tensor([alphabet[character] for character in text])
    return *numbers.split([len(numbers) * 9 // 10, len(numbers) - len(numbers) * 9 // 10]), len(alphabet)


@torch.no_grad()
def compute_bits(model: nn.Module, tokens: Tensor, context: int) -> float:
    """Computes bits per character over a whole text, in windows of the context."""
    windows = tokens[: (len(tokens) - 1) // context * context + 1]
    inputs, targets = windows[:-1].view(-1, context), windows[1:].view(-1, context)
    losses = [
        F.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum")
        for x, y in zip(inputs.split(64), targets.split(64), strict=True)
    ]
    return float(sum(losses)) / targets.numel() / math.log(2)


def train(
    options: argparse.Namespace, text: Tensor, characters: int, seed: int
) -> tuple[LanguageModel, rarefy.Sparsity]:
    """Trains a network; returns it and which of its weights are kept."""
    torch.manual_seed(seed)
    size = {name: getattr(options, name) for name in ("layers", "heads", "width", "context")}
    model = LanguageModel(characters, **size)
    recipe = Circuits(model, options, seed) if options.recipe == "circuits" else FromTheStart(model, options, seed)
    schedule = torch.optim.lr_scheduler.LambdaLR(recipe.optimizer, recipe.compute_rate)
    for step in range(options.steps):
        starts = torch.randint(len(text) - options.context, (options.batch, 1))
        windows = text[starts + torch.arange(options.context + 1)]
        recipe.optimizer.zero_grad()
        F.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten()).backward()
        recipe.before_step()
        recipe.optimizer.step()
        recipe.after_step(step)
        schedule.step()
    return model, recipe.finish()


def parse_options(words: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, help="text file; default: Python's language reference")
    for name, default in {
        "layers": 4,
        "heads": 4,
        "width": 128,
        "context": 64,
        "batch": 12,
        "steps": 2000,
        "seeds": 1,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument(
        "--least", type=int, default=4, help="weights that a neuron keeps at least, of the recipe circuits"
    )
    parser.add_argument("--density", type=float, default=1.0)
    parser.add_argument(
        "--recipe", choices=["start", "circuits"], default="start", help="sparse from the start, or pruned"
    )
    for name, default in {"allocation": "uniform", "scaling": "none", "topology": "static", "engine": "masked"}.items():
        parser.add_argument(f"--{name}", default=default, help="of the recipe start")
    return parser.parse_args(words)


def main() -> None:
    """Trains with every seed, and prints bits per character with their interval."""
    options = parse_options()
    text, held_out, characters = encode(options.text.read_text(encoding="utf-8") if options.text else read_reference())
    print(f"{len(text):,} characters to train on, {len(held_out):,} held out, {characters} different ones")
    bits = []
    for seed in range(options.seeds):
        started = time.perf_counter()
        model, sparsity = train(options, text, characters, seed)
        bits.append(compute_bits(model, held_out, options.context))
        kept = f"{sparsity.kept:,} of {sparsity.total:,} weights kept"
        print(
            f"seed {seed}: {bits[-1]:.3f} bits a character, {kept}, {time.perf_counter() - started:.0f} s", flush=True
        )
    found = summarize(bits)
    ends = "" if found.interval is None else f" (95% interval {found.interval[0]:.3f} to {found.interval[1]:.3f})"
    print(f"held out: {found.mean:.3f} bits a character{ends}, {found.mean * math.log(2):.3f} nats")


if __name__ == "__main__":
    main()

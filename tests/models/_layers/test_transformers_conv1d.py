from __future__ import annotations

import dataclasses
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

import rarefy
from rarefy.models import LAYERS, LayerType, prunable
from rarefy.registry import Registry

# What transformers 4 and 5 define: a weight [in, out], found under this name.
Conv1D = type("Conv1D", (nn.Module,), {"__module__": "transformers.pytorch_utils", "__qualname__": "Conv1D"})


def conv1d(outputs: int, inputs: int) -> nn.Module:
    layer = Conv1D()
    layer.weight = nn.Parameter(torch.randn(inputs, outputs))
    layer.bias = nn.Parameter(torch.zeros(outputs))
    return layer


class GPT2(nn.Module):
    """The layers of a block of GPT-2, and its head, which shares the table of the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.wte = nn.Embedding(50, 8)
        self.c_attn, self.c_proj = conv1d(24, 8), conv1d(8, 8)
        self.lm_head = nn.Linear(8, 50, bias=False)
        self.lm_head.weight = self.wte.weight


def test_gpt2_is_pruned_in_its_blocks() -> None:
    assert {name: tuple(w.shape) for name, w in prunable(GPT2()).items()} == {
        "c_attn.weight": (8, 24),
        "c_proj.weight": (8, 8),
    }
    sparsity = rarefy.sparsify(GPT2(), density=0.25)
    assert (sparsity.total, sparsity.kept) == (256, 64)


def test_another_class_of_that_name_is_not_meant() -> None:
    assert prunable(type("Conv1D", (nn.Module,), {})()) == {}


class Kernel(nn.Module):
    """A layer of a type that nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 4))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ self.kernel


def test_a_type_that_is_registered_is_pruned(monkeypatch: pytest.MonkeyPatch) -> None:
    types: Registry[LayerType] = LAYERS
    monkeypatch.setattr(types, "_methods", dict(types._methods))
    assert prunable(Kernel()) == {}

    @rarefy.LAYERS.register("kernel")
    @dataclasses.dataclass(frozen=True)
    class KernelLayer:
        is_embedding: ClassVar[bool] = False

        def __call__(self, module: nn.Module) -> list[str]:
            return ["kernel"] if isinstance(module, Kernel) else []

    assert list(prunable(nn.Sequential(Kernel()))) == ["0.kernel"]

"""torch.compile leaves marked functions and all they call alone, and nothing pays for torch's compiler before."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx

from rarefy.engines._cpu.fusion._eager import keep_eager


def inner(numbers: Tensor) -> Tensor:
    return numbers.sin() + float(torch.compiler.is_compiling())


def wrapped(numbers: Tensor) -> Tensor:
    return inner(numbers) * 2


def compiled_functions(marked: Callable[[Tensor], Tensor]) -> tuple[Tensor, list[str]]:
    """What a compiled caller of a function gives, and the names of what was compiled."""
    torch._dynamo.reset()
    seen: list[str] = []

    def backend(graph: fx.GraphModule, examples: list[Any]) -> Any:
        seen.extend(str(node.target) for node in graph.graph.nodes if node.op.startswith("call"))
        return graph

    def caller(numbers: Tensor) -> Tensor:
        return marked(numbers.cos()).tanh()

    return torch.compile(caller, backend=backend)(torch.ones(3)), seen


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # while torch imports its compiler
def test_a_marked_function_is_left_alone_as_torchs_own_mark_leaves_it() -> None:
    ours, theirs = (
        compiled_functions(mark(lambda numbers: wrapped(numbers))) for mark in (keep_eager, torch.compiler.disable)
    )
    assert ours[1] == theirs[1]
    assert not any("sin" in name for name in ours[1])
    assert torch.equal(ours[0], theirs[0])
    free = compiled_functions(wrapped)
    assert any("sin" in name for name in free[1]), "unmarked, it would be compiled"


@pytest.mark.kernels
def test_importing_leaves_numba_alone_and_predicting_torchs_compiler() -> None:
    code = (
        "import sys, torch, rarefy.engines\n"
        "from torch import nn\n"
        "from rarefy.engines._cpu import SparseLinear\n"
        "assert 'numba' not in sys.modules\n"
        "layer = SparseLinear.from_dense(nn.Linear(8, 4), torch.rand(4, 8) < 0.5)\n"
        "with torch.no_grad(): layer(torch.ones(16, 8))\n"
        "assert 'numba' in sys.modules\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""What the engines use of torch beyond its public interface works; a failure names the torch that changed it."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode

from rarefy.engines import _torch_internals as internals

CHANGED = f"torch {torch.__version__} changed it: see src/rarefy/engines/_torch_internals.py"


class Wrapper(Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        raise AssertionError("not without_torch_function")

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError("a shape is not computed")


class Square(torch.autograd.Function):
    passes: ClassVar[list[int]] = []

    @staticmethod
    def forward(ctx, inputs):
        ctx.save_for_backward(inputs)
        return inputs**2

    @staticmethod
    def backward(ctx, gradient):
        Square.passes.append(internals.get_backward_pass())
        return 2 * ctx.saved_tensors[0] * gradient


def hook(*arguments: object) -> None:
    """Does nothing."""


def test_a_wrapper_has_a_shape_and_needs_no_memory() -> None:
    wrapper = internals.make_wrapper(Wrapper, (10**6, 10**6), dtype=torch.float32)
    with internals.without_torch_function():
        assert wrapper.shape == (10**6, 10**6), CHANGED
        assert wrapper.dtype == torch.float32, CHANGED


def test_a_function_applied_without_transforms_is_differentiated() -> None:
    inputs = torch.tensor([3.0], requires_grad=True)
    internals.apply_function(Square)(inputs).backward()
    assert inputs.grad == 6, CHANGED


def test_each_backward_pass_has_a_number_and_outside_there_is_none() -> None:
    Square.passes.clear()
    inputs = torch.tensor([3.0], requires_grad=True)
    for _ in range(2):
        (Square.apply(inputs) + Square.apply(2 * inputs)).backward()
    first, again, second, last = Square.passes
    assert first == again != second == last, CHANGED
    assert internals.get_backward_pass() == -1, CHANGED


@pytest.mark.parametrize(
    "state",
    [
        lambda check: torch.func.vmap(lambda tensor: (check(), tensor)[1])(torch.ones(2)),
        lambda check: torch.jit.trace(lambda tensor: (check(), tensor + 1)[1], torch.ones(2), check_trace=False),
        lambda check: check_within(torch.autocast("cpu", dtype=torch.bfloat16), check),
        lambda check: check_within(torch.autograd.graph.save_on_cpu(), check),
        lambda check: check_within(FlopCounterMode(display=False), check),
        lambda check: check_within(forward_ad.dual_level(), check),
    ],
    ids=["transform", "trace", "autocast", "saved-tensor hooks", "mode", "forward mode"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_torchs_own_functions_are_needed_in_each_state(state) -> None:
    seen: list[bool] = []
    assert not internals.needs_torch_functions(), CHANGED
    state(lambda: seen.append(internals.needs_torch_functions()))
    assert seen, "the state was entered"
    assert all(seen), CHANGED
    assert not internals.needs_torch_functions(), CHANGED


def check_within(context, check) -> None:
    with context:
        check()


@pytest.mark.parametrize(
    "name",
    [
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
    ],
)
def test_hooks_are_noticed(name: str) -> None:
    module = nn.Linear(2, 2)
    assert not internals.has_hooks(module), CHANGED
    handle = getattr(module, name)(hook)
    assert internals.has_hooks(module), CHANGED
    assert internals.has_forward_hooks(module) == ("forward" in name), CHANGED
    handle.remove()
    assert not internals.has_hooks(module), CHANGED


def test_own_hooks_are_removed_and_others_stay() -> None:
    module, calls = nn.Linear(2, 2), []
    module.register_forward_hook(lambda *arguments: calls.append("other"))
    module.register_forward_pre_hook(hook)
    module.register_forward_hook(hook, always_call=True)
    internals.remove_hooks(module, (hook,))
    assert not module._forward_pre_hooks, CHANGED
    assert not module._forward_hooks_always_called, CHANGED
    module(torch.ones(1, 2))
    assert calls == ["other"], CHANGED

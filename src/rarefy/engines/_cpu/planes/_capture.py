"""Captures a network's forward as a list of torch's operations, on tensors that have shapes and no values."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from rarefy.dispatch_modes import EagerMode, call_without_values
from rarefy.engines._generators import read_generators
from rarefy.engines._torch_internals import has_forward_hooks, tree_leaves, tree_map_only
from rarefy.errors import RarefyError

_RANDOM = ("rand", "normal", "bernoulli", "dropout", "multinomial", "uniform", "exponential")


class CaptureError(RarefyError, RuntimeError):
    """A network cannot be captured, or has an operation without a kernel. The message says which."""


@dataclasses.dataclass(frozen=True)
class Ref:
    """A tensor that depends on the inputs.

    Args:
        index: Its number.
        shape: Its shape at the batch size of the capture.
    """

    index: int
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Call:
    """An operation.

    Args:
        name: Its name in torch, such as ``convolution``.
        arguments: `Ref` for tensors that depend on the inputs, tensors for constants, and plain values.
        outputs: What it returns; None for what is no tensor.
    """

    name: str
    arguments: tuple[Any, ...]
    outputs: tuple[Ref | None, ...]


def capture(model: nn.Module, inputs: Tensor, batch: int) -> tuple[Ref, list[Call], Ref]:
    """Runs a copy of a model without values, and records every operation that depends on the inputs.

    Args:
        model: The model, in evaluation mode.
        inputs: Inputs; their shape and dtype count.
        batch: The batch size to record.

    Returns:
        The inputs, the operations in their order, and the output.

    Raises:
        CaptureError: If the forward looks at values, draws random numbers, has hooks, or returns other than one tensor.
    """
    for name, module in model.named_modules():
        if has_forward_hooks(module):
            raise CaptureError(f"the module {name!r} has forward hooks")
    recorder = _Recorder()
    twin = _copy_to_meta(model, recorder)
    start = torch.empty((batch, *inputs.shape[1:]), dtype=inputs.dtype, device="meta")
    first = recorder.add(start)
    before = read_generators()
    try:
        with torch.no_grad(), recorder:
            output = twin(start)
    except CaptureError:
        raise
    except Exception as error:  # a forward may do anything, so it may fail in any way
        raise CaptureError(f"its forward does not run without values ({type(error).__name__}: {error})") from error
    if read_generators() != before:
        raise CaptureError("its forward draws random numbers in Python")
    if not isinstance(output, Tensor) or id(output) not in recorder.refs:
        raise CaptureError("its forward returns something else than one tensor that depends on the inputs")
    return first, recorder.calls, recorder.refs[id(output)]


def _copy_to_meta(model: nn.Module, recorder: _Recorder) -> nn.Module:
    """Copies a model but for its parameters and buffers, which have no values; the recorder knows them."""
    copies: dict[int, Any] = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        empty = torch.empty_like(tensor, device="meta")
        copies[id(tensor)] = nn.Parameter(empty, False) if isinstance(tensor, nn.Parameter) else empty
        recorder.constants[id(copies[id(tensor)])] = tensor.detach()
        recorder.alive.append(copies[id(tensor)])
    return copy.deepcopy(model, copies)


class _Recorder(EagerMode):
    """Records the operations that depend on the inputs; computes those that depend on constants alone."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.refs: dict[int, Ref] = {}
        self.constants: dict[int, Tensor] = {}
        self.alive: list[Any] = []  # an id belongs to one object as long as that lives

    def add(self, tensor: Tensor) -> Ref:
        ref = Ref(len(self.alive), tuple(tensor.shape))
        self.refs[id(tensor)] = ref
        self.alive.append(tensor)
        return ref

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.__name__.split(".")[0]
        if any(word in name for word in _RANDOM):
            raise CaptureError(f"its forward draws random numbers ({name})")
        arguments = _order_arguments(func, args, kwargs)
        if func._schema.is_mutable:
            self._check_views(args[0])
        result = call_without_values(func, args, kwargs)
        leaves = [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, Tensor)]
        if not any(id(leaf) in self.refs for leaf in leaves):
            self._compute_constant(func, args, kwargs, result)
            return result
        recorded = tree_map_only(Tensor, self._look_up, arguments)
        outputs = result if isinstance(result, (tuple, list)) else (result,)
        refs = tuple(self.add(output) if isinstance(output, Tensor) else None for output in outputs)
        self.calls.append(Call(name, recorded, refs))
        return result

    def _look_up(self, tensor: Tensor) -> Ref | Tensor:
        if id(tensor) in self.refs:
            return self.refs[id(tensor)]
        if id(tensor) in self.constants:
            return self.constants[id(tensor)]
        raise CaptureError("its forward uses a tensor of unknown values")

    def _check_views(self, written: Tensor) -> None:
        """Refuses to write into a tensor whose memory another tensor shares."""
        storage = written.untyped_storage()._cdata
        tensors = (tensor for tensor in self.alive if isinstance(tensor, Tensor) and tensor is not written)
        if any(tensor.untyped_storage()._cdata == storage for tensor in tensors):
            raise CaptureError("its forward writes into a tensor that has views")

    def _compute_constant(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Computes an operation on constants with their values."""
        self.alive.append(result)
        if not isinstance(result, Tensor):
            return
        if not result.is_meta:
            self.constants[id(result)] = result
            return
        real_args, real_kwargs = tree_map_only(Tensor, self._look_up, (tuple(args), kwargs))
        leaves = [leaf for leaf in tree_leaves((real_args, real_kwargs)) if isinstance(leaf, Tensor)]
        if leaves and not func._schema.is_mutable:
            self.constants[id(result)] = func(*real_args, **real_kwargs)


def _order_arguments(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """Returns all arguments in the order of the operation's schema, with its defaults."""
    given = dict(enumerate(args))
    return tuple(
        given[i] if i in given else kwargs.get(argument.name, argument.default_value)
        for i, argument in enumerate(func._schema.arguments)
    )

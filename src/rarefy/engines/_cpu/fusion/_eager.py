"""Excludes functions from torch.compile, without the seconds that the import of torch's compiler takes."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar, cast

import torch

T = TypeVar("T", bound=Callable[..., Any])


def keep_eager(function: T) -> T:
    """Excludes a function and all that it calls from torch.compile, as `torch.compiler.disable` does.

    `torch.compiler.disable` imports torch's compiler (about two seconds), even if nothing is compiled. Instead, this
    marks the function's code in the place that torch reads before it compiles. Versions of torch that have no such mark
    get `torch.compiler.disable`.

    Args:
        function: A Python function.

    Returns:
        The function, marked.

    Example:
        >>> keep_eager(lambda number: number + 1)(1)
        2
    """
    try:
        frames: Any = torch._C._dynamo.eval_frame
        skip = frames._FrameAction.SKIP
        frames.set_code_exec_strategy(cast(FunctionType, function).__code__, frames._FrameExecStrategy(skip, skip))
    except (AttributeError, TypeError):
        return cast(T, torch.compiler.disable(function))  # type: ignore[no-untyped-call]
    cast(Any, function)._torchdynamo_disable = True  # torch reads it when it compiles a caller
    return function

"""Keeps torch.compile out of functions, without the seconds that importing torch's compiler takes."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar, cast

import torch

T = TypeVar("T", bound=Callable[..., Any])


def keep_eager(function: T) -> T:
    """Keeps torch.compile out of a function and all that it calls, as `torch.compiler.disable` does.

    `torch.compiler.disable` imports torch's compiler (about two seconds), whether anything is compiled or not. The
    function's code is marked instead, where torch's own hook looks before it compiles; where a version of torch has no
    such mark, `torch.compiler.disable` it is.

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
    cast(Any, function)._torchdynamo_disable = True  # what torch's compiler looks at when a caller is compiled
    return function

"""Names of earlier releases, which warn and call the functions that replaced them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from rarefy.engines._plan import Plan
from rarefy.engines._use_engine import use_dense, use_engine
from rarefy.sparsity import Sparsity


def install(
    model: nn.Module,
    sparsity: Sparsity,
    engine: str | Callable[[nn.Module, Sparsity, Any], Plan],
    sample: Any = None,
    *,
    plan_file: Path | None = None,
    change_layout: bool = False,
) -> Plan:
    """Calls `use_engine`. Deprecated: this name goes with the next release.

    Example:
        >>> import pytest, rarefy
        >>> model = nn.Sequential(nn.Linear(8, 4))
        >>> with pytest.warns(DeprecationWarning):
        ...     install(model, rarefy.sparsify(model, density=0.5), "masked").layers
        {'0.weight': 'dense'}
    """
    _warn("install(model, sparsity, engine, inputs)", "use_engine(model, sparsity, engine, inputs=inputs)")
    return use_engine(model, sparsity, engine, inputs=sample, plan_file=plan_file, change_layout=change_layout)


def remove(model: nn.Module, sparsity: Sparsity) -> None:
    """Calls `use_dense`. Deprecated: this name goes with the next release.

    Example:
        >>> import pytest, rarefy
        >>> model = nn.Sequential(nn.Linear(8, 4))
        >>> with pytest.warns(DeprecationWarning):
        ...     remove(model, rarefy.sparsify(model, density=0.5))
    """
    _warn("remove(model, sparsity)", "use_dense(model, sparsity)")
    use_dense(model, sparsity)


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is deprecated: call {new}.", DeprecationWarning, stacklevel=3)

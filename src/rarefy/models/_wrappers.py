"""Names of parameters that do not depend on wrappers of the model."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.optim.swa_utils import AveragedModel

_BY_TYPE = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)  # hold the model as `module`
# The names under which torch.compile, FSDP and activation checkpointing hold it; checked by class, since a user's
# module may have a submodule of that name.
_BY_NAME = {
    "OptimizedModule": "_orig_mod",
    "FullyShardedDataParallel": "_fsdp_wrapped_module",
    "CheckpointWrapper": "_checkpoint_wrapped_module",
    "OffloadWrapper": "_checkpoint_wrapped_module",
}


def unwrap(module: nn.Module) -> nn.Module:
    """Returns the module inside all wrappers; a module without wrappers is returned unchanged.

    Example:
        >>> unwrap(nn.DataParallel(nn.Linear(2, 3)))
        Linear(in_features=2, out_features=3, bias=True)
    """
    inner = _get_wrapped(module)
    return module if inner is None else unwrap(inner[1])


def walk_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Walks through modules, depth first, each once and without wrappers, with the prefix of their parameters' names.

    Example:
        >>> [prefix for prefix, _ in walk_modules(nn.DataParallel(nn.Sequential(nn.ReLU())))]
        ['', '0.']
    """
    return _walk(model, "", set())


def _walk(module: nn.Module, prefix: str, seen: set[int]) -> Iterator[tuple[str, nn.Module]]:
    module = unwrap(module)
    if id(module) not in seen:
        seen.add(id(module))
        yield prefix, module
        for name, child in module.named_children():
            yield from _walk(child, f"{prefix}{name}.", seen)


def unwrap_name(model: nn.Module, name: str) -> str | None:
    """Removes the prefixes of wrappers from a name of ``model.state_dict()``; None for a wrapper's own entry.

    Args:
        model: The model with that state.
        name: ``"_orig_mod.fc.weight"``.

    Example:
        >>> unwrap_name(nn.DataParallel(nn.Sequential(nn.Linear(2, 3))), "module.0.weight")
        '0.weight'
    """
    plain: list[str] = []
    module: nn.Module | None = model
    for part in name.split("."):
        while module is not None and (inner := _get_wrapped(module)) is not None:
            attribute, module = inner
            if part == attribute:
                break
            if part not in module._modules and part not in module.state_dict(keep_vars=True):
                return None
        else:
            plain.append(part)
            module = None if module is None else module._modules.get(part)
    return ".".join(plain)


def _get_wrapped(module: nn.Module) -> tuple[str, nn.Module] | None:
    """Returns the attribute and the module that a wrapper wraps; None if the module is not a wrapper."""
    if isinstance(module, _BY_TYPE):
        return "module", module.module
    for cls in type(module).__mro__:
        attribute = _BY_NAME.get(cls.__name__)
        inner = module._modules.get(attribute) if attribute and cls.__module__.startswith("torch.") else None
        if attribute and inner is not None:
            return attribute, inner
    return None

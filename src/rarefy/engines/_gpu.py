"""What a GPU's 2:4 kernels ask for: of the machine, of the model, of each layer."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rarefy.engines import _semi_structured
from rarefy.engines._semi_structured import DTYPES, SIDE, dtype_of
from rarefy.engines._swap import EngineError
from rarefy.masks import sample, semi_structured
from rarefy.sparsity import Sparsity
from rarefy.topology import TOPOLOGIES

_CAPABILITY = (8, 0)  # NVIDIA's Ampere, the first with sparse tensor cores
_TRIAL = 64


def require(sparsity: Sparsity) -> None:
    """Raises EngineError, with what is missing and what to do, where layers cannot compute with 2:4 kernels."""
    weights = list(sparsity.weights().values())
    dtype, device = dtype_of(weights[0]), weights[0].device
    why = next(filter(None, (missing(weight.device) for weight in weights)), "")
    why = why or _unsuited(sparsity, dtype) or _fault(device, dtype)
    if why:
        raise EngineError(f"The engine 'nm' cannot be had here: {why}")


def missing(device: torch.device) -> str:
    """What a device lacks; empty if nothing."""
    if device.type != "cuda":
        return f"the model is on {device}, and 2:4 kernels need a GPU. Use the engine 'masked', or 'cpu'."
    found = torch.cuda.get_device_capability(device)
    if found < _CAPABILITY:
        have, need = (".".join(map(str, capability)) for capability in (found, _CAPABILITY))
        name = torch.cuda.get_device_name(device)
        return f"{name} has compute capability {have}; sparse tensor cores come with {need}. Use the engine 'masked'."
    if not torch.backends.cusparselt.is_available():
        return f"torch {torch.__version__} was built without cuSPARSELt. Use the engine 'masked', or a build with it."
    return ""


def _unsuited(sparsity: Sparsity, dtype: torch.dtype) -> str:
    if sparsity.topology != TOPOLOGIES.build("static"):
        return f"{sparsity.topology!r} moves masks out of the pattern. Use topology='static' (--fix)."
    if dtype not in DTYPES:
        return (
            f"the model computes in {str(dtype).removeprefix('torch.')}, and 2:4 kernels in half precision. Use "
            "--precision bf16; in your own loop install the engine, as you train, under torch.autocast."
        )
    found = reasons(sparsity)
    if not all(found.values()):
        return ""
    name, why = next(iter(found.items()))
    return f"no layer has what it takes: {name} {why}. Ask for masks by pattern='2:4' (--pattern 2:4)."


def reasons(sparsity: Sparsity) -> dict[str, str]:
    """Layer name to the reason why it has to compute densely; empty where it has not."""
    owners = sparsity.owners()
    return {name: _shape(owners[name]) or _mask(mask) for name, mask in sparsity.masks.items()}


def _shape(layer: nn.Module) -> str:
    if type(layer) not in (nn.Linear, nn.Conv2d):
        return f"is a {type(layer).__name__}, which has no 2:4 form"
    if isinstance(layer, nn.Conv2d) and not _is_product(layer):
        return "is no 1x1 convolution without groups and padding: torch has 2:4 products of matrices only"
    assert isinstance(layer, (nn.Linear, nn.Conv2d))
    outputs, inputs = layer.weight.shape[:2]
    if outputs % SIDE or inputs % SIDE:
        return f"has {inputs} inputs and {outputs} outputs; kernels want multiples of {SIDE}"
    return ""


def _is_product(layer: nn.Conv2d) -> bool:
    return set(layer.kernel_size) == {1} and layer.groups == 1 and layer.padding in ((0, 0), "valid", "same")


def _mask(mask: Tensor) -> str:
    return "" if semi_structured(mask) else "has a mask that is not 2:4 in rows and columns"


def _fault(device: torch.device, dtype: torch.dtype) -> str:
    """What is wrong with a product of whole numbers, which any order of sums gives exactly; empty if nothing."""
    mask = sample({"": _TRIAL**2 // 2}, {"": (_TRIAL, _TRIAL)}, 0, pattern="2:4")[""]
    weight, inputs = mask.to(device, dtype), (torch.arange(_TRIAL**2) % 7 - 3.0).view(_TRIAL, _TRIAL).to(device, dtype)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is a prototype: it is tried here, before anything relies on it
            found = linear(inputs, _semi_structured.pack(weight))
    except Exception as error:  # a prototype may fail in any way
        return f"torch {torch.__version__} fails at it ({type(error).__name__}: {error}). Use the engine 'masked'."
    same = torch.equal(found, linear(inputs, weight))
    return "" if same else f"torch {torch.__version__} gives wrong 2:4 products here. Use the engine 'masked'."

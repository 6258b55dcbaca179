"""Checks what 2:4 kernels need: of the machine, of the model, of each layer."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from rarefy.engines import _semi_structured
from rarefy.engines._semi_structured import DTYPES, SIDE, get_product_dtype
from rarefy.engines._swap import EngineError
from rarefy.masks import draw_masks, is_semi_structured
from rarefy.sparsity import Sparsity
from rarefy.topology import TOPOLOGIES

_CAPABILITY = (8, 0)  # NVIDIA's Ampere, the first with sparse tensor cores
_TRIAL = 64


def require_gpu_support(sparsity: Sparsity) -> None:
    """Raises EngineError where layers cannot compute with 2:4 kernels, with what is missing and what to do."""
    weights = list(sparsity.weights().values())
    dtype, device = get_product_dtype(weights[0]), weights[0].device
    reason = next(filter(None, (get_missing_hardware(weight.device) for weight in weights)), "")
    reason = reason or _check_model(sparsity, dtype) or _try_product(device, dtype)
    if reason:
        raise EngineError(f"The engine 'nm' does not work here: {reason}")


def get_missing_hardware(device: torch.device) -> str:
    """Returns what a device lacks for 2:4 kernels; empty if nothing."""
    if device.type != "cuda":
        return f"the model is on {device}, and 2:4 kernels need a GPU. Use the engine 'masked', or 'cpu'."
    capability = torch.cuda.get_device_capability(device)
    if capability < _CAPABILITY:
        have, need = (".".join(map(str, numbers)) for numbers in (capability, _CAPABILITY))
        name = torch.cuda.get_device_name(device)
        return f"{name} has compute capability {have}; sparse tensor cores come with {need}. Use the engine 'masked'."
    if not torch.backends.cusparselt.is_available():
        return f"torch {torch.__version__} was built without cuSPARSELt. Use the engine 'masked', or a build with it."
    return ""


def _check_model(sparsity: Sparsity, dtype: torch.dtype) -> str:
    """Returns why a model cannot compute with 2:4 kernels; empty if it can."""
    if sparsity.topology != TOPOLOGIES.build("static"):
        return f"{sparsity.topology!r} moves masks out of the pattern. Use topology='static' (--fix)."
    if dtype not in DTYPES:
        return (
            f"the model computes in {str(dtype).removeprefix('torch.')}, and 2:4 kernels in half precision. Use "
            "--precision bf16; in your own loop call use_engine, as you train, under torch.autocast."
        )
    reasons = get_dense_reasons(sparsity)
    if not all(reasons.values()):
        return ""
    name, reason = next(iter(reasons.items()))
    return f"no layer supports 2:4 products: {name} {reason}. Ask for masks by pattern='2:4' (--pattern 2:4)."


def get_dense_reasons(sparsity: Sparsity) -> dict[str, str]:
    """Returns, for each layer name, why the layer has to compute densely; empty where it does not."""
    owners = sparsity.masked_model.modules()
    return {name: _get_layer_reason(owners[name]) or _get_mask_reason(mask) for name, mask in sparsity.masks.items()}


def _get_layer_reason(layer: nn.Module) -> str:
    if type(layer) not in (nn.Linear, nn.Conv2d):
        return f"is a {type(layer).__name__}, which has no 2:4 form"
    if isinstance(layer, nn.Conv2d) and not _is_matrix_product(layer):
        return "is not a 1x1 convolution without groups and padding: torch has 2:4 products of matrices only"
    assert isinstance(layer, (nn.Linear, nn.Conv2d))
    outputs, inputs = layer.weight.shape[:2]
    if outputs % SIDE or inputs % SIDE:
        return f"has {inputs} inputs and {outputs} outputs; kernels need multiples of {SIDE}"
    return ""


def _is_matrix_product(layer: nn.Conv2d) -> bool:
    return set(layer.kernel_size) == {1} and layer.groups == 1 and layer.padding in ((0, 0), "valid", "same")


def _get_mask_reason(mask: Tensor) -> str:
    return "" if is_semi_structured(mask) else "has a mask that is not 2:4 in rows and columns"


def _try_product(device: torch.device, dtype: torch.dtype) -> str:
    """Returns what is wrong with a product of whole numbers, which is exact in any order of sums; empty if nothing."""
    mask = draw_masks({"": _TRIAL**2 // 2}, {"": (_TRIAL, _TRIAL)}, 0, pattern="2:4")[""]
    weight, inputs = mask.to(device, dtype), (torch.arange(_TRIAL**2) % 7 - 3.0).view(_TRIAL, _TRIAL).to(device, dtype)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns that it is a prototype: that is why it is tried
            result = linear(inputs, _semi_structured.pack(weight))
    except Exception as error:  # a prototype may fail in any way
        return f"torch {torch.__version__} fails here ({type(error).__name__}: {error}). Use the engine 'masked'."
    is_exact = torch.equal(result, linear(inputs, weight))
    return "" if is_exact else f"torch {torch.__version__} gives wrong 2:4 products here. Use the engine 'masked'."

"""Published networks, as their packages define them, give under the engine `cpu` what they give under `masked`."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rarefy.engines import use_engine
from rarefy.sparsity import Sparsity, sparsify

pytestmark = [pytest.mark.kernels, pytest.mark.filterwarnings("ignore")]  # other packages' warnings are not ours

QUICK = {"torchvision/squeezenet1_1", "timm/repvgg_a0", "transformers/Llama"}
TORCHVISION: dict[str, dict[str, Any]] = {
    "alexnet": {"size": 64}, "vgg11": {"size": 32}, "vgg11_bn": {"size": 32}, "resnet18": {}, "resnet50": {},
    "resnext50_32x4d": {}, "wide_resnet50_2": {"size": 32}, "densenet121": {}, "squeezenet1_1": {},
    "mobilenet_v2": {}, "mobilenet_v3_small": {}, "efficientnet_b0": {}, "convnext_tiny": {}, "swin_t": {},
    "googlenet": {"aux_logits": False, "init_weights": False}, "shufflenet_v2_x1_0": {}, "regnet_y_400mf": {},
    "inception_v3": {"size": 96, "aux_logits": False, "init_weights": False}, "mnasnet1_0": {},
    "vit_b_32": {"image_size": 64, "num_layers": 2, "builder": "VisionTransformer"},
}  # fmt: skip
TIMM: dict[str, dict[str, Any]] = {
    "repvgg_a0": {}, "resnet18d": {}, "resnet26t": {}, "seresnet18": {}, "ecaresnet26t": {}, "res2net50_26w_4s": {},
    "vit_tiny_patch16_224": {"img_size": 64, "depth": 3}, "mixer_s32_224": {"img_size": 64},
    "convnext_atto": {}, "ghostnet_100": {}, "mobilenetv3_small_050": {}, "efficientnet_lite0": {}, "dla34": {},
    "hrnet_w18_small": {}, "cspresnet50": {}, "tf_efficientnetv2_b0": {}, "regnetx_002": {}, "mobileone_s0": {},
    "selecsls42": {},
    "poolformer_s12": {}, "edgenext_xx_small": {}, "hardcorenas_a": {}, "vovnet39a": {}, "xception41": {},
}  # fmt: skip
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "ViT": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
            "image_size": 32, "patch_size": 8},
    "Bert": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
             "vocab_size": 40},
    "T5": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 2, "vocab_size": 40},
    "Llama": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
              "vocab_size": 40},
}  # fmt: skip
NAMES = [
    *[f"torchvision/{name}" for name in TORCHVISION], *[f"timm/{name}" for name in TIMM],
    *[f"transformers/{name}" for name in TRANSFORMERS], "torch/TransformerEncoder",
]  # fmt: skip
CASES = [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in NAMES]


class Tokens(nn.Module):
    """An encoder of the images' pixels."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 2, 64, dropout=0.0, batch_first=True)
        self.embed, self.encoder, self.head = nn.Linear(3, 32), nn.TransformerEncoder(layer, 2), nn.Linear(32, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(images.flatten(2).transpose(1, 2)[:, :20])).mean(1))


def build_network(name: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network with random weights of its own, the same at every call, and its inputs by name."""
    package, _, kind = name.partition("/")
    generator = torch.Generator().manual_seed(5)
    images = functools.partial(torch.randn, 2, 3, generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if package == "torch":
            return Tokens(), {"images": images(8, 8)}
        library = pytest.importorskip(package, reason=f"needs the package {package}")
        if package == "timm":
            options = TIMM[kind]
            return library.create_model(kind, num_classes=5, **options), {"x": images(64, 64)}
        if package == "torchvision":
            options = dict(TORCHVISION[kind])
            size = options.pop("size", 64)
            if options.pop("builder", ""):
                vit = library.models.VisionTransformer(64, 32, 2, 2, 64, 128, num_classes=5)
                return vit, {"x": images(64, 64)}
            return library.models.get_model(kind, num_classes=5, **options), {"x": images(size, size)}
        return build_transformer(library, kind), transformer_inputs(kind, generator)


def build_transformer(library: Any, kind: str) -> nn.Module:
    config = getattr(library, f"{kind}Config")(**TRANSFORMERS[kind])
    model: nn.Module = getattr(library, f"{kind}Model")(config)
    return model


def transformer_inputs(kind: str, generator: torch.Generator) -> dict[str, Tensor]:
    if kind == "ViT":
        return {"pixel_values": torch.randn(2, 3, 32, 32, generator=generator)}
    tokens = torch.randint(0, 40, (2, 9), generator=generator)
    return {"input_ids": tokens} | ({"decoder_input_ids": tokens.flip(1)} if kind == "T5" else {})


def compute(name: str, engine: str, kind: torch.dtype, nudge: float = 0.0) -> dict[str, Tensor]:
    """Outputs, gradients and statistics of a pass in training and one in evaluation, and a prediction."""
    model, inputs = build_network(name)
    inputs = {key: one * (1 + nudge * weights(one)) if one.is_floating_point() else one for key, one in inputs.items()}
    model, sparsity = prepare(model, engine, kind)
    inputs = {key: one.to(kind).requires_grad_() if one.is_floating_point() else one for key, one in inputs.items()}
    found = {}
    for training in (True, False):
        model.train(training).zero_grad()
        outputs = tensors(model(**inputs))
        sum((one * weights(one)).sum() for one in outputs.values()).backward()
        found |= {f"{training} {key}": one for key, one in (outputs | gradients(model, sparsity)).items()}
    with torch.no_grad():
        found |= {f"predicted {key}": one for key, one in tensors(model(**inputs)).items()}
    found |= {key: one.grad for key, one in inputs.items() if one.grad is not None}
    found |= {key: one for key, one in model.named_buffers() if one.is_floating_point() and "running" in key}
    return {key: one.detach().double() for key, one in found.items()}


def prepare(model: nn.Module, engine: str, kind: torch.dtype) -> tuple[nn.Module, Sparsity]:
    """A tenth of the weights kept, the engine installed, and no randomness left."""
    for module in model.modules():
        for option in ("p", "drop_prob", "attn_drop", "dropout"):
            if isinstance(getattr(module, option, None), float):
                setattr(module, option, 0.0)
    sparsity = sparsify(model, density=0.1, allocation="uniform", seed=3)
    plan = use_engine(model.to(kind), sparsity, engine)
    assert bool(plan.sparse) == (engine == "cpu")
    return model, sparsity


def tensors(outputs: Any) -> dict[str, Tensor]:
    """The floating-point tensors of a model's outputs, by name."""
    if isinstance(outputs, Tensor):
        return {"outputs": outputs}
    found = outputs.items() if isinstance(outputs, dict) else enumerate(outputs)
    return {f"outputs {key}": one for key, one in found if isinstance(one, Tensor) and one.is_floating_point()}


def weights(outputs: Tensor) -> Tensor:
    """Different weights for all outputs, so that no gradient cancels out."""
    return torch.linspace(-1, 2, outputs.numel(), dtype=outputs.dtype).view(outputs.shape)


def gradients(model: nn.Module, sparsity: Sparsity) -> dict[str, Tensor]:
    """Gradients by the name of the dense parameter; of masked weights, those of the kept ones."""
    found, owners = {}, sparsity.masked_model.modules()
    for key, mask in sparsity.masks.items():
        compact = key in sparsity.masked_model.sparse_layers()
        found[key] = owners[key].values.grad if compact else model.get_parameter(key).grad[mask]
    layers = {f"{key.removesuffix('weight')}values" for key in sparsity.masks} | set(sparsity.masks)
    found |= {key: one.grad for key, one in model.named_parameters() if key not in layers and one.grad is not None}
    return {f"gradient of {key}": one.clone() for key, one in found.items()}


@pytest.mark.parametrize("name", CASES)
def test_a_network_gives_what_it_gives_with_masks(name: str) -> None:
    """Within rounding, which batch norm of few numbers amplifies: inputs that are 1e-6 off move gradients by 5%."""
    found, wanted = compute(name, "cpu", torch.float32), compute(name, "masked", torch.float32)
    exact = compute(name, "masked", torch.float64)
    nudged = [compute(name, "masked", torch.float64, nudge) for nudge in (1e-6, -1e-6)]
    assert found.keys() == wanted.keys() == exact.keys()
    floor = 1e-6 * max(float(one.norm()) for one in exact.values())
    for key, one in exact.items():
        rounding = max(float((other[key] - one).norm()) for other in (wanted, *nudged))
        share = 0.05 if key.startswith("True gradient") else 1e-4
        assert found[key].shape == one.shape
        assert float((found[key] - one).norm()) <= share * float(one.norm()) + floor + 10 * rounding, key

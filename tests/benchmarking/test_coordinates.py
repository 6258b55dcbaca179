"""The coordinate check: what the derivation of each scaling says, measured on networks of three kinds."""

from __future__ import annotations

import statistics

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rarefy import models
from rarefy.benchmarking import LayerCoordinates, Trial, build_coordinate_figure, check_scaling, fit_slopes
from rarefy.errors import InvalidInput

IMAGES = F.interpolate(torch.randn(24, 3, 2, 2, generator=torch.Generator().manual_seed(0)), size=8, mode="bilinear")
LABELS = torch.arange(24) % 10
TOKENS = torch.randint(40, (8, 16), generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = self.qkv(self.norms[0](x)).unflatten(-1, (3, -1, 32)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*heads.unbind(), is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norms[1](x))))


class Transformer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(40, width)
        self.block = Block(width)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 40, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.block(self.embedding(tokens)))).flatten(0, 1)


def build_transformer(width: int | None, seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Transformer(width or 256)


def build_by_name(name: str):
    def build(width: int | None, seed: int) -> nn.Module:
        model = models.parse(name) if width is None else models.change_width(models.parse(name), width)
        return models.build(model, size=(8, 8), generator=torch.Generator().manual_seed(seed))

    return build


def trial(network: str, optimizer: str, lr: float) -> tuple:
    if network == "transformer":
        batch = (TOKENS, TOKENS.roll(-1, 1).flatten())
        return build_transformer, Trial(*batch, optimizer, lr, steps=3, seeds=1, exclude=("head",))
    dense = {"mlp_512_512_512": ("fc4",), "cifar_resnet_8_32": ("conv1", "fc"), "cifar_resnet_20_32": ("conv1", "fc")}
    return build_by_name(network), Trial(IMAGES, LABELS, optimizer, lr, steps=3, seeds=1, exclude=dense[network])


CASES = [("mlp_512_512_512", "adam", 1e-3), ("mlp_512_512_512", "sgd", 0.02), ("cifar_resnet_8_32", "adam", 1e-3),
         ("transformer", "adam", 1e-3), ("transformer", "sgd", 0.1)]  # fmt: skip
SLOW = [("cifar_resnet_20_32", "adam", 1e-3), ("cifar_resnet_20_32", "sgd", 0.02)]


@pytest.mark.parametrize(
    ("network", "optimizer", "lr"), [*CASES, *(pytest.param(*s, marks=pytest.mark.slow) for s in SLOW)]
)
def test_supar_is_flat_and_no_scaling_falls(network, optimizer, lr) -> None:
    found = check_scaling(*trial(network, optimizer, lr), densities=(1, 1 / 4, 1 / 16))
    slopes = {name: [s for s in fit_slopes(found) if s.scaling == name] for name in ("none", "supar")}
    assert all(abs(slope.size) < 0.1 for slope in slopes["supar"])
    assert all(abs(slope.change) < 0.3 for slope in slopes["supar"])
    assert abs(statistics.median(slope.change for slope in slopes["supar"])) < 0.25
    assert all(slope.size > 0.4 for slope in slopes["none"])
    # Behind batch norms SGD's relative changes are flat by themselves, and absolute ones fall with the outputs.
    assert all(slope.change > (0.2 if "resnet" in network and optimizer == "sgd" else 0.5) for slope in slopes["none"])


def test_fan_in_is_half_of_it() -> None:
    """Outputs are flat; Adam's steps of 1 / density as few weights still shrink their changes."""
    build, own = trial(*CASES[0])
    slopes = fit_slopes(check_scaling(build, own, scalings=["fan_in"], densities=(1, 1 / 4, 1 / 16)))
    assert all(abs(slope.size) < 0.05 and slope.change > 0.4 for slope in slopes)


@pytest.mark.parametrize(("optimizer", "lr"), [("adam", 1e-3), ("sgd", 0.02)])
def test_mup_is_flat_over_widths_and_no_scaling_is_not(optimizer, lr) -> None:
    own = Trial(IMAGES, LABELS, optimizer, lr, steps=3, seeds=2)
    found = check_scaling(
        build_by_name("mlp_64_64_64"), own, scalings=["none", "mup"], densities=[1], widths=[64, 256, 1024]
    )
    slopes = {(slope.scaling, slope.layer): slope.change for slope in fit_slopes(found, by="width")}
    assert max(abs(slopes["mup", f"fc{number}"]) for number in (1, 2, 3, 4)) < 0.25
    assert max(abs(slopes["none", f"fc{number}"]) for number in (1, 2, 3, 4)) > 0.4


def test_numbers_are_those_of_a_network_one_can_do_by_hand() -> None:
    """One weight of 1 and one input of 2: outputs of 2; a step of SGD with gradient 2 at rate 0.25 takes 1 off."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    own = Trial(torch.full((3, 1), 2.0), torch.zeros(3), "sgd", 0.25, steps=1, seeds=1, loss=lambda out, _: out.mean())
    [entry] = check_scaling(lambda width, seed: layer, own, scalings=["none"], densities=[1.0])
    assert (entry.size, entry.changes, entry.change) == (2.0, (1.0,), 1.0)


def test_a_check_without_anything_to_compare_is_refused() -> None:
    build, own = trial(*CASES[0])
    with pytest.raises(InvalidInput):
        check_scaling(build, own, densities=[])
    with pytest.raises(InvalidInput):
        fit_slopes([LayerCoordinates("none", 1.0, None, "fc1", 1.0, (1.0,))])


def test_the_figure_shows_medians_and_ranges_over_layers() -> None:
    changes = {(1.0, "a"): 2.0, (1.0, "b"): 4.0, (1.0, "c"): 1.0, (0.25, "a"): 1.0, (0.25, "b"): 4.0, (0.25, "c"): 0.1}
    found = [LayerCoordinates("none", d, None, layer, 1.0, (change,)) for (d, layer), change in changes.items()]
    [series] = build_coordinate_figure(found).series
    assert (series.label, series.x, series.y) == ("none", (1.0, 0.25), (1.0, 0.5))
    assert (series.low, series.high) == ((1.0, 0.1), (1.0, 1.0))

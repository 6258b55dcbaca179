from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.optim.swa_utils import AveragedModel

from rarefy.models import prunable


def shapes(model: nn.Module, *, embeddings: bool = False) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in prunable(model, embeddings=embeddings).items()}


class Net(nn.Module):
    """A user's network whose submodule is called ``module``."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
        self._orig_mod = nn.Linear(3, 4, bias=False)


NET = {"module.0.weight": (3, 2), "_orig_mod.weight": (4, 3)}


class Tied(nn.Module):
    """A language model's head that shares the table of its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = nn.Embedding(10, 4)
        self.body = nn.Linear(4, 4)
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.inputs.weight


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Linear(3, 4), {"weight": (4, 3)}),
        (nn.Bilinear(2, 3, 4), {"weight": (4, 2, 3)}),
        (nn.Conv1d(2, 4, 3), {"weight": (4, 2, 3)}),
        (nn.Conv2d(4, 8, 3, groups=2), {"weight": (8, 2, 3, 3)}),
        (nn.Conv2d(8, 8, 3, groups=8), {"weight": (8, 1, 3, 3)}),
        (nn.Conv3d(2, 4, 3), {"weight": (4, 2, 3, 3, 3)}),
        (nn.ConvTranspose1d(2, 4, 3), {"weight": (2, 4, 3)}),
        (nn.ConvTranspose2d(4, 8, 3, groups=2), {"weight": (4, 4, 3, 3)}),
        (nn.ConvTranspose3d(2, 4, 3), {"weight": (2, 4, 3, 3, 3)}),
        (nn.GRUCell(3, 2), {"weight_ih": (6, 3), "weight_hh": (6, 2)}),
        (nn.RNN(3, 2), {"weight_ih_l0": (2, 3), "weight_hh_l0": (2, 2)}),
        (nn.LSTM(3, 4, proj_size=2), {"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 2), "weight_hr_l0": (2, 4)}),
        (nn.MultiheadAttention(4, 2), {"in_proj_weight": (12, 4), "out_proj.weight": (4, 4)}),
        (
            nn.MultiheadAttention(4, 2, kdim=3, vdim=2, add_bias_kv=True),
            {"q_proj_weight": (4, 4), "k_proj_weight": (4, 3), "v_proj_weight": (4, 2), "out_proj.weight": (4, 4)},
        ),
        (nn.Sequential(nn.BatchNorm2d(3), nn.GroupNorm(1, 3), nn.LayerNorm((3, 3)), nn.RMSNorm(3), nn.PReLU(3)), {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_kind_of_layer(layer: nn.Module, expected: dict[str, tuple[int, ...]]) -> None:
    assert shapes(layer) == expected
    assert list(expected) == [name for name, _ in layer.named_parameters() if name in expected]


def test_a_transformer_layer() -> None:
    assert shapes(nn.TransformerEncoderLayer(4, 2, dim_feedforward=8)) == {
        "self_attn.in_proj_weight": (12, 4),
        "self_attn.out_proj.weight": (4, 4),
        "linear1.weight": (8, 4),
        "linear2.weight": (4, 8),
    }


def test_a_deep_two_way_recurrent_layer_has_all_its_matrices() -> None:
    layer = nn.LSTM(3, 2, num_layers=2, bidirectional=True)
    assert list(prunable(layer)) == [name for name, weight in layer.named_parameters() if weight.ndim == 2]


def test_embeddings_only_on_request() -> None:
    model = nn.Sequential(nn.Embedding(5, 3), nn.EmbeddingBag(6, 3), nn.Linear(3, 2))
    assert shapes(model) == {"2.weight": (2, 3)}
    assert shapes(model, embeddings=True) == {"0.weight": (5, 3), "1.weight": (6, 3), "2.weight": (2, 3)}


def test_a_head_tied_to_an_embedding_is_an_embedding() -> None:
    assert shapes(Tied()) == {"body.weight": (4, 4)}
    assert shapes(Tied(), embeddings=True) == {"inputs.weight": (10, 4), "body.weight": (4, 4)}


def test_tied_weights_are_there_once() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    assert shapes(nn.Sequential(first, second)) == {"0.weight": (3, 3)}
    assert shapes(nn.Sequential(first, nn.ReLU(), first)) == {"0.weight": (3, 3)}


def test_frozen_weights_are_there() -> None:
    assert shapes(nn.Linear(3, 4).requires_grad_(False)) == {"weight": (4, 3)}


def compiled(model: nn.Module) -> nn.Module:
    wrapped = torch.compile(model, backend="eager")  # the default backend warns while it is imported
    assert isinstance(wrapped, nn.Module)
    return wrapped


@pytest.mark.parametrize("wrap", [nn.Sequential, nn.DataParallel, AveragedModel, compiled])
def test_a_users_own_names_stay(wrap: Callable[[nn.Module], nn.Module]) -> None:
    prefix = "0." if wrap is nn.Sequential else ""
    assert shapes(wrap(Net())) == {f"{prefix}{name}": shape for name, shape in NET.items()}


def test_wrappers_inside_and_on_top_of_each_other() -> None:
    assert shapes(compiled(nn.DataParallel(Net()))) == NET
    model = Net()
    model.module[0] = compiled(model.module[0])
    assert shapes(nn.DataParallel(model)) == NET


def test_distributed_data_parallel(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gloo warns about host names
        torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
        try:
            assert shapes(nn.parallel.DistributedDataParallel(Net())) == NET
        finally:
            torch.distributed.destroy_process_group()


@pytest.mark.parametrize("lazy", [nn.LazyLinear(3), nn.LazyConv2d(3, 3)])
def test_a_lazy_weight_says_what_to_do(lazy: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"'0.weight' is lazy.*Call the model once"):
        prunable(nn.Sequential(lazy))


def old_weight_norm(layer: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and still in use
        return nn.utils.weight_norm(layer)


@pytest.mark.parametrize(
    "parametrise",
    [
        parametrizations.weight_norm,
        parametrizations.orthogonal,
        old_weight_norm,
        lambda layer: prune.random_unstructured(layer, "weight", 0.5),
    ],
)
def test_a_computed_weight_is_named(parametrise: Callable[[nn.Module], nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"'1.weight' is not a parameter but computed.*Take that off first"):
        prunable(nn.Sequential(nn.Linear(2, 2), parametrise(nn.Linear(3, 3))))


def test_a_model_without_layers_has_none() -> None:
    assert prunable(nn.ReLU()) == {}

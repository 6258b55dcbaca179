"""Masks: the only writer of zeros, and counts of themselves."""

from __future__ import annotations

import collections
import copy
import hashlib
import pickle
import struct
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rarefy.masks import Masks, draw_masks

SHAPE = (4, 3, 2, 2)
MASKED = draw_masks({"conv": 11}, {"conv": SHAPE}, 17)
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


def fresh() -> Masks:
    return draw_masks({"conv": 11}, {"conv": SHAPE}, 17)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_pruned_weights_become_exact_zeros(dtype: torch.dtype, memory_format: torch.memory_format) -> None:
    odd = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0, -1.5])
    values = odd.repeat(10)[:48].view(SHAPE).to(dtype)
    weight = nn.Parameter(values.clone(memory_format=memory_format))
    masks = fresh()
    for _ in range(2):  # the second time from the cache
        with torch.no_grad():
            weight.copy_(values)
        masks.apply_({"conv": weight})
        pruned = weight.detach()[~masks["conv"]]
        assert bool((pruned == 0).all()) and not bool(torch.signbit(pruned).any())
        torch.testing.assert_close(
            weight.detach()[masks["conv"]], values[masks["conv"]], rtol=0, atol=0, equal_nan=True
        )
    assert weight.stride() == values.clone(memory_format=memory_format).stride()


def test_a_step_reads_no_mask_again_and_keeps_a_byte_a_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    masks, weight = fresh(), torch.ones(SHAPE).to(memory_format=torch.channels_last)
    masks.apply_({"conv": weight})
    (kept,) = masks._kept["conv"].values()
    assert kept is not None
    assert (kept.stride(), kept.dtype) == (weight.stride(), torch.bool)  # laid out as the weight is
    monkeypatch.setattr(Masks, "_lay_out", None)
    called = operations(lambda: masks.apply_({"conv": weight}))
    assert (called["aten::_foreach_mul_"], called["aten::masked_fill_"]) == (1, 0)


def test_layers_of_a_dtype_are_one_multiply() -> None:
    shapes = {"a": (3, 2), "b": (4, 5), "c": (6,), "d": (2, 2)}
    masks = draw_masks({"a": 2, "b": 3, "c": 1, "d": 4}, shapes, 17)
    weights = {name: torch.ones(shape) for name, shape in shapes.items()} | {"c": torch.ones(6, dtype=torch.float16)}
    masks.apply_(weights)
    called = operations(lambda: masks.apply_(weights))
    assert called["aten::_foreach_mul_"] == 2  # float32 and float16; "d" keeps all
    assert {name: int(weight.sum()) for name, weight in weights.items()} == {"a": 2, "b": 3, "c": 1, "d": 4}


def operations(act: Callable[[], None]) -> collections.Counter[str]:
    """How often torch was asked for what."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        act()
    return collections.Counter({e.key: e.count for e in profile.key_averages() if e.key.startswith("aten::")})


def test_a_layer_that_keeps_everything_costs_nothing() -> None:
    masks, weight = Masks({"fc": torch.ones(3, dtype=torch.bool)}), torch.ones(3)
    masks.apply_({"fc": weight})
    assert weight._version == 0
    masks.replace("fc", torch.tensor([True, False, True]))
    masks.apply_({"fc": weight})
    assert weight.tolist() == [1, 0, 1]


def test_apply_takes_some_layers_and_refuses_others() -> None:
    masks = draw_masks({"a.weight": 1, "b.weight": 1}, {"a.weight": (2,), "b.weight": (3,)}, 0)
    a, b = torch.ones(2), torch.ones(3)
    masks.apply_({"b.weight": b})
    assert int(a.sum()) == 2 and int(b.sum()) == 1
    with pytest.raises(
        ValueError, match=r"no mask for 'a.wieght'. Did you mean 'a.weight'\? Masked layers: a.weight, b"
    ):
        masks.apply_({"a.wieght": a})
    with pytest.raises(ValueError, match=r"'b.weight' has shape \(2,\), but its mask has \(3,\)"):
        masks.apply_({"b.weight": a})
    assert int(a.sum()) == 2


def test_same_strides_do_not_hide_another_shape() -> None:
    masks = Masks({"a": torch.tensor([[True, False]] * 3)})
    masks.apply_({"a": torch.ones(3, 2)})
    with pytest.raises(ValueError, match="'a' has shape"):
        masks.apply_({"a": torch.ones(4, 2)})


def test_gradients_flow_and_autograd_does_not_see_the_write() -> None:
    weight = nn.Parameter(torch.ones(SHAPE))
    fresh().apply_({"conv": weight})
    assert weight.is_leaf and weight.requires_grad
    (grad,) = torch.autograd.grad(weight.sum(), weight)
    assert bool((grad == 1).all())


def test_replace_moves_the_mask_and_what_is_written() -> None:
    masks, weight = fresh(), torch.ones(SHAPE)
    masks.apply_({"conv": weight})
    mask = ~masks["conv"]
    before = masks.checksum()
    masks.replace("conv", mask)
    mask.zero_()  # a copy was taken
    weight = torch.ones(SHAPE)
    masks.apply_({"conv": weight})
    assert torch.equal(weight.bool(), masks["conv"]) and torch.equal(masks["conv"], ~MASKED["conv"])
    assert masks.counts() == {"conv": 37} and masks.seed is None and masks.checksum() != before


@pytest.mark.parametrize(
    ("name", "mask", "message"),
    [
        ("conv", torch.ones(SHAPE), "must be a bool tensor .* not torch.float32"),
        ("conv", torch.ones(4, 3, dtype=torch.bool), r"has shape \(4, 3\), but its mask has \(4, 3, 2, 2\)"),
        ("covn", torch.ones(SHAPE, dtype=torch.bool), "Did you mean 'conv'"),
    ],
)
def test_replace_refuses(name: str, mask: Tensor, message: str) -> None:
    masks = fresh()
    with pytest.raises(ValueError, match=message):
        masks.replace(name, mask)
    assert masks == MASKED and masks.seed == 17


def test_only_bool_tensors_are_masks() -> None:
    with pytest.raises(ValueError, match=r"'a' must be a bool tensor .* not list"):
        Masks({"a": [True]})  # type: ignore[dict-item]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda masks: pickle.loads(pickle.dumps(masks))])
def test_copies_are_complete_and_independent(copied: Callable[[Masks], Masks]) -> None:
    masks = fresh()
    masks.apply_({"conv": torch.ones(SHAPE)})
    other = copied(masks)
    assert other == masks and other.seed == 17
    other.replace("conv", ~masks["conv"])
    weight = torch.ones(SHAPE)
    masks.apply_({"conv": weight})
    assert masks == MASKED and masks.seed == 17 and torch.equal(weight.bool(), MASKED["conv"])
    other.apply_({"conv": weight})
    assert not weight.any()


def test_the_meta_device_is_refused() -> None:
    masks = fresh()
    for act in (lambda: masks.to("meta"), lambda: masks.apply_({"conv": torch.empty(SHAPE, device="meta")})):
        with pytest.raises(ValueError, match="'conv' cannot go to the device 'meta'"):
            act()
    assert masks == MASKED


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_masks_follow_their_weights() -> None:
    masks, weight = fresh(), torch.ones(SHAPE, device="cuda")
    masks.apply_({"conv": weight})
    assert masks["conv"].is_cuda and torch.equal(weight.bool(), masks["conv"]) and masks == MASKED
    masks.apply_({"conv": torch.ones(SHAPE)})
    assert len(masks._pruned["conv"]) == 2 and masks.to("cpu")["conv"].device.type == "cpu"


def test_the_checksum_by_hand() -> None:
    masks = Masks({"b": torch.tensor([True] * 9), "a": torch.tensor([[True, False], [False, True]])})
    text = b"rarefy/masks/1"
    text += struct.pack("<Q", 1) + b"a" + struct.pack("<QQQ", 2, 2, 2) + bytes([0b1001])
    text += struct.pack("<Q", 1) + b"b" + struct.pack("<QQ", 1, 9) + bytes([0xFF, 1])
    assert masks.checksum() == hashlib.blake2b(text, digest_size=16).hexdigest()


def test_the_checksum_sees_names_shapes_and_bits() -> None:
    mask = torch.tensor([True, False, False, True])
    kinds = [Masks({"a": mask}), Masks({"b": mask}), Masks({"a": mask.view(2, 2)}), Masks({"a": ~mask}), Masks({})]
    assert len({masks.checksum() for masks in kinds}) == len(kinds)
    assert Masks({"a": mask}) == Masks({"a": mask.clone()}) != Masks({"b": mask})
    lasting = Masks({"conv": MASKED["conv"].to(memory_format=torch.channels_last)})
    assert lasting == MASKED and lasting["conv"].is_contiguous()


def test_no_layers() -> None:
    masks = Masks({})
    assert (masks.kept, masks.total, masks.density, len(masks)) == (0, 0, 1.0, 0)
    masks.apply_({})


def test_is_a_mapping() -> None:
    assert "conv" in MASKED and "fc" not in MASKED and MASKED.get("fc") is None and list(MASKED.keys()) == ["conv"]
    assert repr(MASKED) == "Masks(1 layers, 11 of 48 weights kept, seed=17)"
    with pytest.raises(KeyError):
        MASKED["fc"]
    with pytest.raises(TypeError):
        hash(MASKED)

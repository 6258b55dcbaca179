"""What is written can be read, is proved when it is read, and is as small as promised."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from rarefy.masks import MaskMismatch, Masks, compress, draw_masks, expand, pack_masks, unpack_masks

SHAPES = {"conv": (4, 3, 2, 2), "fc": (5, 3)}
COUNTS = {"conv": 11, "fc": 4}
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]

layers = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple),
    max_size=3,
)


def drawn() -> Masks:
    return draw_masks(COUNTS, SHAPES, 17)


def moved() -> Masks:
    masks = drawn()
    masks.replace("fc", ~masks["fc"])
    return masks


def edited(metadata: dict[str, str], **changes: Any) -> dict[str, str]:
    return {"rarefy.masks": json.dumps({**json.loads(metadata["rarefy.masks"]), **changes})}


def with_count(metadata: dict[str, str], name: str, kept: int) -> dict[str, str]:
    described = json.loads(metadata["rarefy.masks"])["layers"]
    return edited(metadata, layers=[{**layer, "kept": kept} if layer["name"] == name else layer for layer in described])


@settings(deadline=None, max_examples=60)
@given(shapes=layers, density=st.floats(0, 1), seed=st.integers(), move=st.booleans())
def test_round_trip(shapes: dict[str, tuple[int, ...]], density: float, seed: int, move: bool) -> None:
    masks = draw_masks({name: round(density * math.prod(shape)) for name, shape in shapes.items()}, shapes, seed)
    for name in list(masks) if move else []:
        masks.replace(name, masks[name].roll(1))
    tensors, metadata = pack_masks(masks)
    again = unpack_masks(tensors, metadata)
    assert again == masks and again.seed == masks.seed and again.shapes == shapes and list(again) == list(masks)
    assert (tensors == {}) == (masks.seed is not None or not shapes)


@pytest.mark.parametrize("pattern", ["out2", "in2", "kernel"])
def test_drawn_groups_cost_nothing_and_name_their_pattern(pattern: str) -> None:
    masks = draw_masks(COUNTS, SHAPES, 17, pattern=pattern)
    tensors, metadata = pack_masks(masks)
    again = unpack_masks(tensors, metadata)
    assert tensors == {} and again == masks and (again.seed, again.pattern) == (17, pattern)
    description = json.loads(metadata["rarefy.masks"])
    assert (description["version"], description["pattern"]) == (2, pattern)
    for damaged in ({"pattern": "out3"}, {"pattern": "2:4"}, {"pattern": "no"}, {"pattern": None}, {"version": 1}):
        with pytest.raises(MaskMismatch):
            unpack_masks({}, edited(metadata, **damaged))


def move_groups() -> Masks:
    """Masks that keep the first groups instead of those that were drawn."""
    masks = draw_masks({"conv": 11, "fc": 4}, {"conv": (4, 3, 2, 2), "fc": (5, 3)}, 17, pattern="out2")
    conv = torch.zeros(2, 2, 12, dtype=torch.bool)
    conv[0, :, :5], conv[1, 0, 11] = True, True
    fc = torch.tensor([[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 1]]).bool()
    masks.replace("conv", conv.view(4, 3, 2, 2))
    masks.replace("fc", fc)
    return masks


def test_moved_groups_are_one_bit_a_group() -> None:
    masks = move_groups()
    tensors, metadata = pack_masks(masks)
    assert tensors["rarefy.masks/conv"].tolist() == [0b00011111, 0, 0b10000000]
    assert tensors["rarefy.masks/fc"].tolist() == [0b10000001, 0b1]
    layers = json.loads(metadata["rarefy.masks"])["layers"]
    assert layers == [
        {"name": "conv", "shape": [4, 3, 2, 2], "kept": 11, "partial": 23},
        {"name": "fc", "shape": [5, 3], "kept": 4},
    ]
    again = unpack_masks(tensors, metadata)
    assert again == masks and (again.seed, again.pattern) == (None, "out2")


def test_damaged_groups_are_seen() -> None:
    tensors, metadata = pack_masks(move_groups())
    conv, fc = json.loads(metadata["rarefy.masks"])["layers"]
    for change in ({"partial": 22}, {"partial": 0}, {"partial": 24}, {"partial": -1}, {"kept": 12}, {"kept": 10}):
        with pytest.raises(MaskMismatch):
            unpack_masks(tensors, edited(metadata, layers=[{**conv, **change}, fc]))
    with pytest.raises(MaskMismatch, match="do not add up to the 5 weights"):
        unpack_masks(tensors, with_count(metadata, "fc", 5))
    with pytest.raises(MaskMismatch, match="needs 3 bytes"):
        unpack_masks({**tensors, "rarefy.masks/conv": torch.zeros(6, dtype=torch.uint8)}, metadata)


def test_groups_that_were_broken_are_one_bit_a_weight() -> None:
    masks = move_groups()
    masks.replace("fc", masks["fc"].roll(1, 0))
    tensors, metadata = pack_masks(masks)
    assert json.loads(metadata["rarefy.masks"])["version"] == 1 and tensors["rarefy.masks/conv"].numel() == 6
    again = unpack_masks(tensors, metadata)
    assert again == masks and again.pattern == "unstructured"


@settings(deadline=None, max_examples=60)
@given(shapes=layers, density=st.floats(0, 1), pattern=st.sampled_from(["out2", "in3", "kernel"]))
def test_a_round_trip_of_groups(shapes: dict[str, tuple[int, ...]], density: float, pattern: str) -> None:
    counts = {name: round(density * math.prod(shape)) for name, shape in shapes.items()}
    masks = draw_masks(counts, shapes, 5, pattern=pattern)
    for name, other in draw_masks(counts, shapes, 6, pattern=pattern).items():
        masks.replace(name, other)
    again = unpack_masks(*pack_masks(masks))
    assert again == masks and again.pattern == pattern and (again.seed is None) == bool(shapes)


def test_connected_masks_cost_nothing_and_name_the_groups_of_convolutions() -> None:
    shapes = {"conv": (8, 2, 3, 3), "fc": (5, 8)}
    masks = draw_masks({"conv": 9, "fc": 8}, shapes, 17, connect={"conv": 4})
    tensors, metadata = pack_masks(masks)
    again = unpack_masks(tensors, metadata)
    assert tensors == {} and again == masks and (again.seed, again.connect) == (17, {"conv": 4, "fc": 1})
    assert masks != draw_masks({"conv": 9, "fc": 8}, shapes, 17)
    description = json.loads(metadata["rarefy.masks"])
    assert description["version"] == 3
    assert description["layers"][0] == {"name": "conv", "shape": [8, 2, 3, 3], "kept": 9, "groups": 4}
    for groups in (0, 3, -1, 1.5, "4", 8):
        layers = [description["layers"][0] | {"groups": groups}, description["layers"][1]]
        with pytest.raises(MaskMismatch):
            unpack_masks({}, edited(metadata, layers=layers))
    with pytest.raises(MaskMismatch):
        unpack_masks({}, with_count(metadata, "conv", 7))
    masks.replace("fc", masks["fc"].roll(1))
    assert json.loads(pack_masks(masks)[1]["rarefy.masks"])["version"] == 1


def test_masks_without_groups_are_of_version_1() -> None:
    for masks in (drawn(), draw_masks({"fc": 8}, {"fc": (4, 4)}, 1, pattern="2:4")):
        assert json.loads(pack_masks(masks)[1]["rarefy.masks"]).keys() == {"version", "seed", "checksum", "layers"}


def test_a_file_holds_them(tmp_path: Path) -> None:
    for masks in (drawn(), moved()):
        tensors, metadata = pack_masks(masks)
        safetensors.torch.save_file({"bias": torch.ones(2), **tensors}, tmp_path / "m", metadata)
        with safe_open(tmp_path / "m", "pt") as file:
            read = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            assert unpack_masks(read, file.metadata()) == masks


def test_drawn_masks_cost_nothing_and_moved_ones_one_bit_a_weight() -> None:
    assert pack_masks(drawn())[0] == {}
    sizes = {name: (bits.dtype, bits.numel()) for name, bits in pack_masks(moved())[0].items()}
    assert sizes == {"rarefy.masks/conv": (torch.uint8, 6), "rarefy.masks/fc": (torch.uint8, 2)}


def test_a_wrong_count_names_the_layer_and_both_numbers() -> None:
    tensors, metadata = pack_masks(moved())
    with pytest.raises(MaskMismatch, match="'fc' should keep 4 weights, but its mask keeps 11"):
        unpack_masks(tensors, with_count(metadata, "fc", 4))
    with pytest.raises(MaskMismatch, match="'fc' is said to keep 16 weights, but has 15"):
        unpack_masks({}, with_count(pack_masks(drawn())[1], "fc", 16))


def test_what_is_drawn_again_is_proved_by_the_checksum() -> None:
    _, metadata = pack_masks(drawn())
    for changed in (edited(metadata, seed="18"), with_count(metadata, "fc", 5), edited(metadata, checksum="00")):
        with pytest.raises(MaskMismatch, match=r"checksum is .* but the file says"):
            unpack_masks({}, changed)


def test_bits_that_moved_at_the_same_count_are_seen() -> None:
    tensors, metadata = pack_masks(moved())
    tensors["rarefy.masks/fc"] = pack_masks(Masks({"fc": moved()["fc"].roll(1)}))[0]["rarefy.masks/fc"]
    with pytest.raises(MaskMismatch, match="checksum"):
        unpack_masks(tensors, metadata)


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        (None, "bits of the mask of 'fc' are missing"),
        (torch.zeros(3, dtype=torch.uint8), r"'fc' \(5, 3\) needs 2 bytes .* torch.uint8 \(3,\)"),
        (torch.zeros(2), r"needs 2 bytes \(torch.uint8\), not torch.float32"),
    ],
)
def test_bits_that_do_not_fit(bits: torch.Tensor | None, message: str) -> None:
    tensors, metadata = pack_masks(moved())
    del tensors["rarefy.masks/fc"]
    with pytest.raises(MaskMismatch, match=message):
        unpack_masks(tensors if bits is None else {**tensors, "rarefy.masks/fc": bits}, metadata)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "no 'rarefy.masks', only nothing"),
        ({"format": "pt"}, r"only \['format'\]"),
        ({"rarefy.masks": "{"}, "cannot be read as JSON"),
        ({"rarefy.masks": "[]"}, "version None; this rarefy reads versions 1 to 3"),
        (
            edited(pack_masks(drawn())[1], version=4),
            "version 4; .*versions 1 to 3.*update this one",
        ),
        ({"rarefy.masks": '{"version": 1}'}, "damaged: KeyError at 'layers'"),
        (edited(pack_masks(drawn())[1], seed="x"), "damaged: ValueError"),
        (
            edited(pack_masks(drawn())[1], layers=[{"name": "a", "shape": [-1, -2], "kept": 1}]),
            r"'a' has shape \(-1",
        ),
    ],
)
def test_descriptions_that_cannot_be_read(metadata: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unpack_masks({}, metadata)


@settings(deadline=None, max_examples=60)
@given(shapes=layers, density=st.floats(0, 1), seed=st.integers(0, 99), dtype=st.sampled_from(DTYPES))
def test_expand_undoes_compress(
    shapes: dict[str, tuple[int, ...]], density: float, seed: int, dtype: torch.dtype
) -> None:
    masks = draw_masks({name: round(density * math.prod(shape)) for name, shape in shapes.items()}, shapes, seed)
    generator = torch.Generator().manual_seed(seed)
    weights = {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}
    values = compress(weights, masks)
    dense = expand(values, masks)
    masks.apply_(weights)
    for name, weight in weights.items():
        assert values[name].shape == (masks.counts()[name],) and values[name].dtype == dtype
        assert torch.equal(dense[name], weight) and torch.equal(torch.signbit(dense[name]), torch.signbit(weight))


def test_values_are_in_row_major_order_whatever_the_layout() -> None:
    masks, weight = drawn(), torch.arange(48.0).view(SHAPES["conv"])
    flat = masks["conv"].flatten().nonzero().flatten()
    for laid in (weight, weight.to(memory_format=torch.channels_last), torch.nn.Parameter(weight)):
        values = compress({"conv": laid}, masks)["conv"]
        assert values.tolist() == flat.tolist() and not values.requires_grad


def test_values_that_do_not_fit() -> None:
    for values in (torch.ones(10), torch.ones(11, 1), torch.ones(12)):
        with pytest.raises(MaskMismatch, match="'conv' keeps 11 weights, but the values have shape"):
            expand({"conv": values}, drawn())
    with pytest.raises(ValueError, match=r"no mask for 'cnv'\. Did you mean 'conv'"):
        expand({"cnv": torch.ones(11)}, drawn())
    with pytest.raises(ValueError, match=r"'conv' has shape \(4, 12\)"):
        compress({"conv": torch.ones(4, 12)}, drawn())


def test_the_specifications_example_is_a_file_of_ours() -> None:
    text = (Path(__file__).parents[2] / "docs" / "masks.md").read_text(encoding="utf-8")
    example = text.split("```json\n")[1].split("```")[0]
    masks = unpack_masks({}, {"rarefy.masks": example})
    assert masks["fc.weight"].flatten().nonzero().flatten().tolist() == [1, 4, 7]
    assert json.loads(pack_masks(masks)[1]["rarefy.masks"]) == json.loads(example)

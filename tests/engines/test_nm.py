"""The nm engine. Without a GPU torch's own packing, which is plain tensor code, stands in for the sparse kernels."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.sparse import SparseSemiStructuredTensorCUSPARSELT
from torch.sparse._semi_structured_conversions import (
    sparse_semi_structured_from_dense_cutlass,
    sparse_semi_structured_to_dense_cutlass,
)

from rarefy.engines import EngineError, _gpu, _semi_structured, make_dense_copy, use_dense, use_engine
from rarefy.sparsity import Sparsity, sparsify

IMAGES = torch.randn(6, 32, 3, 3, generator=torch.Generator().manual_seed(1))
PRODUCTS = ("shortcut.weight", "hidden.weight")
NEEDS = "needs a GPU of compute capability 8.0 or newer, and torch with cuSPARSELt"
ABLE = torch.cuda.is_available() and not _gpu.get_missing_hardware(torch.device("cuda"))
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not ABLE, reason=NEEDS)])]


class Small(nn.Module):
    """A 3x3 convolution, a 1x1 one with a stride, and linear layers, the last with outputs that fit no kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(32, 32, 3, padding=1)
        self.shortcut = nn.Conv2d(32, 64, 1, stride=2, bias=False)
        self.hidden = nn.Linear(256, 32)
        self.head = nn.Linear(32, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.relu(self.hidden(self.shortcut(self.conv(images)).flatten(1))))


def small(device: str = "cpu", **options: Any) -> tuple[Small, Sparsity]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = Small().to(device)
    return model, sparsify(model, **{"density": 0.5, "allocation": "uniform", "pattern": "2:4", **options})


def round_trip(weight: Tensor) -> Tensor:
    """What is left of a matrix after torch packed it: all of it, if it is 2:4."""
    return sparse_semi_structured_to_dense_cutlass(*sparse_semi_structured_from_dense_cutlass(weight.contiguous()))


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """A CPU that passes for a capable GPU; the shapes of what was packed."""
    shapes: list[tuple[int, ...]] = []

    def pack(weight: Tensor) -> Tensor:
        shapes.append(tuple(weight.shape))
        return round_trip(weight)

    monkeypatch.setattr(_gpu, "get_missing_hardware", lambda device: "")
    monkeypatch.setattr(_semi_structured, "pack", pack)
    return shapes


@pytest.fixture
def device(request: pytest.FixtureRequest) -> str:
    """A GPU, or a CPU that passes for one."""
    if request.param == "cpu":
        request.getfixturevalue("packed")
    return request.param


@pytest.fixture
def half() -> Iterator[None]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield


# --- the product ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
def test_its_gradients_are_those_of_differences(monkeypatch, bias):
    monkeypatch.setattr(_semi_structured, "pack", lambda weight: weight)
    generator = torch.Generator().manual_seed(0)
    inputs, weight, offset = (
        torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()
        for shape in ((5, 4), (3, 4), (3,))
    )

    def product(inputs: Tensor, weight: Tensor, *bias: Tensor) -> Tensor:
        return _semi_structured.Product.apply(inputs, weight, bias[0] if bias else None, weight.detach())

    assert torch.autograd.gradcheck(product, (inputs, weight, offset) if bias else (inputs, weight))


def test_both_passes_use_packed_weights_and_frozen_inputs_none_for_the_second(packed, half):
    model, sparsity = small()
    use_engine(model, sparsity, "nm")
    packed.clear()
    outputs = model(IMAGES)
    assert packed == [(64, 32), (32, 256)]
    outputs.sum().backward()
    assert packed[2:] == [(256, 32), (32, 64)], "the transposed weights, last layer first"
    model.conv.requires_grad_(False)
    packed.clear()
    model(IMAGES).sum().backward()
    assert packed[2:] == [(256, 32)], "nobody asks for the gradient of the shortcut's inputs"


@pytest.mark.parametrize("device", DEVICES, indirect=True)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_outputs_and_gradients_are_those_of_the_masked_engine(device, dtype, order):
    found = []
    for engine in ("masked", "nm"):
        model, sparsity = small(device)
        model.to(memory_format=order)
        images = IMAGES.clone().to(device, memory_format=order).requires_grad_()
        with torch.autocast(device, dtype=dtype):
            plan = use_engine(model, sparsity, engine, inputs=images)
            outputs = model(images)
            loss = outputs.float().square().sum()
        loss.backward()
        found.append([outputs, images.grad, *(parameter.grad for parameter in model.parameters())])
    assert plan.semi_structured == PRODUCTS
    for masked, ours in zip(*found, strict=True):
        assert ours.dtype == masked.dtype
        assert float((ours - masked).detach().norm() / masked.detach().norm()) < 0.02


@pytest.mark.gpu
@pytest.mark.skipif(not ABLE, reason=NEEDS)
@pytest.mark.parametrize("rows", [1, 7, 8, 130])
def test_any_number_of_rows_in_any_memory_order(rows):
    """Gradients too: that of a sum has strides of 0."""
    layer = nn.Sequential(nn.Linear(64, 32)).to("cuda", torch.float16)
    sparsity = sparsify(layer, density=0.5, allocation="uniform", pattern="2:4")
    plain = copy.deepcopy(layer)
    use_engine(layer, sparsity, "nm")
    inputs = torch.randn(rows, 3, 128, device="cuda", dtype=torch.float16)[..., ::2]
    for given in (inputs, inputs.transpose(0, 1)):
        found = []
        for one in (layer, plain):
            leaf = given.detach().requires_grad_()
            outputs = one(leaf)
            found.append((outputs, *torch.autograd.grad(outputs.sum(), leaf)))
        for ours, dense in zip(*found, strict=True):
            torch.testing.assert_close(ours, dense, rtol=1e-2, atol=1e-2)


def test_float32_beside_autocast_computes_densely(packed):
    model, sparsity = small()
    plain = copy.deepcopy(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        use_engine(model, sparsity, "nm")
    packed.clear()
    torch.testing.assert_close(model(IMAGES), plain(IMAGES))
    assert packed == []


# --- the layers -------------------------------------------------------------------------------------------------------


def test_parameters_hooks_and_state_are_the_dense_layer_s_own(packed, half):
    model, sparsity = small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)  # made before: nothing is exchanged
    parameters, keys, called = list(model.parameters()), list(model.state_dict()), []
    model.hidden.register_forward_hook(lambda *_: called.append(True))
    use_engine(model, sparsity, "nm")
    sparsity.attach(optimizer)
    model(IMAGES)
    assert called
    assert [type(layer).__name__ for layer in model.children()] == [
        "Conv2d",
        "SemiStructuredConv2d",
        "SemiStructuredLinear",
        "Linear",
    ]
    assert all(one is other for one, other in zip(model.parameters(), parameters, strict=True))
    assert list(model.state_dict()) == keys
    twin = make_dense_copy(model)
    use_dense(model, sparsity)
    for plain in (twin, model):
        assert [type(layer) for layer in plain.children()] == [nn.Conv2d, nn.Conv2d, nn.Linear, nn.Linear]
        assert "_kept" not in vars(plain.hidden)


@pytest.mark.parametrize("device", DEVICES, indirect=True)
def test_it_trains_as_the_masked_engine_does_and_pruned_weights_stay_zero(device):
    losses = []
    for engine in ("masked", "nm"):
        model, sparsity = small(device)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=0.01)
        labels, found = torch.arange(6, device=device) % 4, []
        with torch.autocast(device, dtype=torch.bfloat16):
            use_engine(model, sparsity, engine)
        sparsity.attach(optimizer)
        for _ in range(12):
            optimizer.zero_grad()
            with torch.autocast(device, dtype=torch.bfloat16):
                loss = nn.functional.cross_entropy(model(IMAGES.to(device)), labels)
            loss.backward()
            optimizer.step()
            found.append(float(loss.detach()))
        assert sum(int(weight.count_nonzero()) for weight in sparsity.weights().values()) == sparsity.kept
        assert found[-1] < 0.8 * found[0]
        losses.append(found)
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


@pytest.mark.parametrize("change", ["step", "fused step", "load", "data"])
def test_predictions_share_a_packed_weight_until_it_changes(packed, half, change):
    model, sparsity = small()
    use_engine(model, sparsity, "nm")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, fused=change == "fused step")

    def predict() -> int:
        before = len(packed)
        with torch.no_grad():
            model.eval()(IMAGES)
        return len(packed) - before

    assert (predict(), predict()) == (2, 0)
    if change == "load":
        model.load_state_dict(copy.deepcopy(model.state_dict()))
    elif change == "data":
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()
    else:
        model(IMAGES).sum().backward()  # in evaluation mode, as frozen norms are trained
        optimizer.step()
    assert (predict(), predict()) == (2, 0)


def test_predictions_in_another_precision_pack_anew(packed):
    layer = nn.Sequential(nn.Linear(32, 32, dtype=torch.bfloat16))
    use_engine(layer, sparsify(layer, density=0.5, allocation="uniform", pattern="2:4"), "nm")
    packed.clear()
    with torch.no_grad():
        for dtype in (torch.bfloat16, torch.bfloat16, torch.float16):
            assert layer(torch.ones(1, 32, dtype=dtype)).dtype == dtype
    assert len(packed) == 2


# --- what it asks for -------------------------------------------------------------------------------------------------


def test_the_plan_says_why_layers_stay_dense(packed, half):
    model, sparsity = small()
    plan = use_engine(model, sparsity, "nm")
    assert plan.layers == {name: "2:4" if name in PRODUCTS else "dense" for name in sparsity.masks}
    assert plan.reasons == {
        "conv.weight": "is not a 1x1 convolution without groups and padding: torch has 2:4 products of matrices only",
        "head.weight": "has 32 inputs and 4 outputs; kernels need multiples of 16",
    }
    assert plan.summary() == "engine nm: 2 of 4 layers sparse"


def test_zeros_that_follow_the_pattern_are_enough(packed, half):
    model, _ = small()
    again = sparsify(model, from_weights=True)
    assert use_engine(model, again, "nm").semi_structured == PRODUCTS
    with torch.no_grad():
        model.hidden.weight.fill_(1)
    third = sparsify(model, from_weights=True)
    assert use_engine(model, third, "nm").reasons["hidden.weight"] == "has a mask that is not 2:4 in rows and columns"


def test_without_a_gpu_it_says_so():
    with pytest.raises(EngineError, match=r"'nm' does not work here: the model is on cpu, .* Use the engine 'masked'"):
        use_engine(*small(), "nm")


def test_an_old_gpu_and_a_torch_without_the_library_are_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "T4")
    assert "T4 has compute capability 7.5; sparse tensor cores come with 8.0" in _gpu.get_missing_hardware(
        torch.device("cuda")
    )
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (12, 0))
    monkeypatch.setattr(torch.backends.cusparselt, "is_available", lambda: False)
    assert "built without cuSPARSELt" in _gpu.get_missing_hardware(torch.device("cuda"))


def test_float32_other_masks_and_moving_ones_are_refused(packed):
    with pytest.raises(EngineError, match=r"computes in float32, and 2:4 kernels in half precision\. Use --precision"):
        use_engine(*small(), "nm")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with pytest.raises(EngineError, match=r"no layer supports 2:4 products: .* Ask for masks by pattern='2:4'"):
            use_engine(*small(pattern="unstructured"), "nm")
        with pytest.raises(EngineError, match=r"RigL\(.* moves masks out of the pattern"):
            use_engine(*small(pattern="unstructured", topology="rigl"), "nm")


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda weight: weight.frobnicate(), "fails here (AttributeError"),
        (lambda weight: weight.flip(0), "gives wrong 2:4 products"),
    ],
)
def test_a_prototype_that_broke_is_noticed_before_it_is_relied_on(monkeypatch, half, broken, words):
    monkeypatch.setattr(_gpu, "get_missing_hardware", lambda device: "")
    monkeypatch.setattr(_semi_structured, "pack", broken)
    with pytest.raises(EngineError) as caught:
        use_engine(*small(), "nm")
    assert words in str(caught.value)
    assert torch.__version__ in str(caught.value)


def test_a_kept_plan_is_not_followed_where_it_cannot_be(packed, half, tmp_path, monkeypatch):
    file = tmp_path / "engine.json"
    first = use_engine(*small(), "nm", plan_file=file)
    assert use_engine(*small(), "masked", plan_file=file).layers == first.layers, "a resumed run computes as it began"
    monkeypatch.undo()
    with pytest.raises(EngineError, match="the model is on cpu"):
        use_engine(*small(), "masked", plan_file=file)


def test_masks_that_kernels_rely_on_do_not_move(packed, half):
    model, sparsity = small()
    use_engine(model, sparsity, "nm")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"moves masks, on which the kernels of 'shortcut\.weight' rely"):
        sparsity.attach(optimizer, topology="set", steps=1000)
    with pytest.raises(ValueError, match=r"another mask of 'shortcut\.weight'"):
        sparsity.load_state_dict(small(seed=18)[1].state_dict() | {"seed": sparsity.state_dict()["seed"]})
    sparsity.load_state_dict(small()[1].state_dict())


@pytest.mark.parametrize("dtype", _semi_structured.DTYPES)
def test_what_was_read_in_torch_is_still_there(dtype):
    limits = SparseSemiStructuredTensorCUSPARSELT._DTYPE_SHAPE_CONSTRAINTS[dtype]
    assert (limits.sparse_min_rows, limits.sparse_min_cols) == (_semi_structured.SIDE, _semi_structured.SIDE)


def test_a_dtype_is_what_autocast_says(half):
    assert _semi_structured.get_product_dtype(torch.ones(1)) == torch.bfloat16
    with torch.autocast("cpu", enabled=False):
        assert _semi_structured.get_product_dtype(torch.ones(1)) == torch.float32

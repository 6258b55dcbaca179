"""The cpu engine against its oracle, the masked one: the same training, the same files, the same masks."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rarefy import engines, models
from rarefy.engines import EngineError, KernelsMissing, Plan, make_dense_copy, use_dense, use_engine
from rarefy.engines._cpu.kernels._threads import observe_kernels
from rarefy.sparsity import CheckpointMismatch, Sparsity, load, save, sparsify
from rarefy.topology import TOPOLOGIES

pytestmark = pytest.mark.kernels
STEPS = 50
SPARSE = ("conv1.weight", "conv2.weight", "shortcut.weight", "hidden.weight", "fc.weight")


def batch(seed: int, size: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, 3, 6, 6, generator=generator), torch.arange(size) % 4


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range, size: int = 8) -> list[float]:
    losses = []
    for step in steps:
        images, labels = batch(step, size)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=1e-3)


def trained(make: Any, engine: str, topology: str = "static", steps: int = STEPS, **options: Any) -> Any:
    model, sparsity = make(topology=TOPOLOGIES.build(topology, **options))
    use_engine(model, sparsity, engine, inputs=batch(0)[0])
    optimizer = sgd(model)
    sparsity.attach(optimizer, steps=STEPS)
    return model, sparsity, optimizer, train(model, optimizer, range(steps))


def assert_close(ours: Sparsity, oracle: Sparsity) -> None:
    assert ours.masks == oracle.masks
    for name, weight in oracle.weights().items():
        torch.testing.assert_close(ours.dense_weights()[name], weight.detach(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("topology", [name for name in TOPOLOGIES.names() if name != "top_kast"])
def test_fifty_steps_are_those_of_the_masked_engine_to_rounding(make, topology, select_options):
    options = select_options(topology, interval=5)
    ours, oracle = (trained(make, engine, topology, **options) for engine in ("cpu", "masked"))
    assert ours[3] == pytest.approx(oracle[3], rel=1e-3, abs=1e-4)
    assert_close(ours[1], oracle[1])
    moved = ours[1].masks != make(topology=TOPOLOGIES.build(topology, **options))[1].masks
    assert moved == (topology != "static")


@pytest.mark.parametrize("pattern", ["out8", "in4"])
def test_a_residual_network_with_masks_in_groups_trains_as_with_the_masked_engine(pattern):
    results, names = [], set()
    for engine in ("masked", "cpu"):
        model = models.build(models.parse("cifar_resnet_8_16"), generator=torch.Generator().manual_seed(0))
        sparsity = sparsify(model, density=0.2, pattern=pattern, seed=3)
        images = torch.randn(21, 3, 16, 16, generator=torch.Generator().manual_seed(1))
        use_engine(model, sparsity, engine, inputs=images)
        optimizer = sgd(model)
        sparsity.attach(optimizer, steps=5)
        with observe_kernels(lambda call: (names.add(call.name), call.run())):
            for _ in range(5):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(images), torch.arange(21) % 4).backward()
                optimizer.step()
        buffers = {name: buffer for name, buffer in model.named_buffers() if "running" in name}
        results.append((sparsity, buffers, model.fc.bias.detach()))
    assert {"convolve_groups", "scatter_groups"} <= names
    (oracle, expected, expected_bias), (ours, found, bias) = results
    assert_close(ours, oracle)
    torch.testing.assert_close(bias, expected_bias, rtol=1e-3, atol=1e-4)
    assert found.keys() == expected.keys()
    for name, buffer in expected.items():
        torch.testing.assert_close(found[name], buffer, rtol=1e-3, atol=1e-4)


def test_all_is_stored_by_its_kept_values_and_pruned_weights_do_not_exist(make):
    _, sparsity, optimizer, _ = trained(make, "cpu", "set", interval=5)
    kept = sparsity.masks.counts()
    assert sum(kept.values()) == round(0.3 * sparsity.total)
    assert tuple(sparsity.masked_model.sparse_layers()) == SPARSE
    for name, layer in sparsity.masked_model.sparse_layers().items():
        held = [layer.values, layer.values.grad, optimizer.state[layer.values]["momentum_buffer"]]
        assert [value.shape for value in held] == 3 * [(kept[name],)]
        dense = sparsity.dense_weights()[name]
        assert not dense[~sparsity.masks[name]].view(torch.int32).any(), "+0.0, bitwise"
        assert torch.equal(layer.pattern.mask(), sparsity.masks[name])


def test_twice_the_same_bits(make):
    first, second = (trained(make, "cpu", "rigl", interval=5) for _ in range(2))
    assert first[3] == second[3]
    assert all(torch.equal(a, b) for a, b in zip(first[0].parameters(), second[0].parameters(), strict=True))


def test_remove_gives_the_dense_modules_back_bit_for_bit(make):
    model, sparsity = make()
    names, before = list(model.state_dict()), copy.deepcopy(model.state_dict())
    kinds = [(name, type(module)) for name, module in model.named_modules()]
    use_engine(model, sparsity, "cpu", inputs=batch(0)[0])
    assert list(model.state_dict()) != names
    use_dense(model, sparsity)
    assert [(name, type(module)) for name, module in model.named_modules()] == kinds
    assert list(model.state_dict()) == names
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert sparsity.masked_model.sparse_layers() == {}


def test_after_training_it_is_removed_and_masked_training_goes_on(make):
    model, sparsity, *_ = trained(make, "cpu", "set", steps=20, interval=5)
    values, counts = sparsity.dense_weights(), sparsity.masks.counts()
    use_dense(model, sparsity)
    assert all(torch.equal(weight, values[name]) for name, weight in sparsity.weights().items())
    optimizer = sgd(model)
    sparsity.attach(optimizer, steps=STEPS)
    train(model, optimizer, range(5))
    assert sparsity.masks.counts() == counts
    assert all(not weight[~sparsity.masks[name]].any() for name, weight in sparsity.weights().items())


def test_save_writes_the_same_bytes(make, tmp_path):
    model, sparsity, *_ = trained(make, "cpu", "set", steps=12, interval=5)
    here = save(model, sparsity, tmp_path / "sparse")
    use_dense(model, sparsity)
    there = save(model, sparsity, tmp_path / "dense")
    assert (tmp_path / "sparse").read_bytes() == (tmp_path / "dense").read_bytes()
    assert here == there


def test_a_file_is_loaded_into_a_dense_model_only(make, tmp_path):
    model, sparsity = make()
    save(model, sparsity, tmp_path / "file")
    use_engine(model, sparsity, "cpu")
    with pytest.raises(ValueError, match="Load into a dense one") as error:
        load(model, tmp_path / "file")
    assert not isinstance(error.value, CheckpointMismatch)


@pytest.mark.parametrize("topology", ["static", "rigl", "gmp"])
def test_a_state_goes_on_bit_for_bit(make, topology):
    options = {} if topology == "static" else {"interval": 5}
    whole = trained(make, "cpu", topology, **options)
    first = trained(make, "cpu", topology, steps=23, **options)
    saved = copy.deepcopy([part.state_dict() for part in (first[0], first[2], first[1])])
    model, sparsity, optimizer, _ = trained(make, "cpu", topology, steps=0, **options)
    for part, state in zip((model, optimizer, sparsity), saved, strict=True):
        part.load_state_dict(state)
    train(model, optimizer, range(23, STEPS))
    assert sparsity.masks == whole[1].masks
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), whole[0].parameters(), strict=True))


def test_layers_that_cannot_be_sparse_say_why(make):
    model, sparsity = make()
    plan = use_engine(model, sparsity, "cpu")
    assert plan.layers == {name: "sparse" if name in SPARSE else "dense" for name in sparsity.masks}
    assert plan.reasons == {"depthwise.weight": "is depthwise"}


class Strange(nn.Linear):
    """A subclass may compute anything."""


def test_only_exact_types_without_hooks_that_share_nothing_are_swapped():
    shared = nn.Linear(6, 6)
    twin = nn.Linear(6, 6)
    twin.weight = shared.weight
    hooked = nn.Linear(6, 6)
    hooked.register_forward_hook(lambda *_: None)
    padded = nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")
    model = nn.Sequential(Strange(6, 6), shared, twin, hooked, nn.LazyLinear(6), padded)
    model[4](torch.ones(1, 6))
    sparsity = sparsify(model, density=0.5, allocation="uniform")
    plan = use_engine(model, sparsity, "cpu")
    assert plan.reasons == {
        "0.weight": "is a Strange, which has no sparse form",
        "1.weight": "shares its weight with another layer",
        "3.weight": "has hooks of its own",
        "5.weight": "pads with reflect",
    }
    assert plan.sparse == ("4.weight",)


def test_a_module_that_is_used_twice_stays_one_module():
    layer = nn.Linear(6, 6)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    sparsity = sparsify(model, density=0.5)
    out = model(torch.ones(2, 6))
    use_engine(model, sparsity, "cpu")
    assert model[0] is model[2]
    torch.testing.assert_close(model(torch.ones(2, 6)), out)
    use_dense(model, sparsity)
    assert model[0] is model[2]


def test_installing_again_takes_the_place_of_what_is_there(make):
    model, sparsity = make()
    use_engine(model, sparsity, "cpu")
    use_engine(model, sparsity, "cpu")
    assert len(sparsity.masked_model.sparse_layers()) == len(SPARSE)
    use_engine(model, sparsity, "masked")
    assert sparsity.masked_model.sparse_layers() == {}


def test_a_model_is_not_made_sparse_twice(make):
    model, sparsity = make()
    use_engine(model, sparsity, "cpu")
    with pytest.raises(ValueError, match=r"Call rarefy\.use_dense"):
        sparsify(model, density=0.1)


def test_an_optimizer_is_made_after_installing(make):
    model, sparsity = make()
    early = sgd(model)
    use_engine(model, sparsity, "cpu")
    with pytest.raises(ValueError, match="made before the engine was installed"):
        sparsity.attach(early)
    sparsity.attach(sgd(model))
    other, attached = make()
    attached.attach(sgd(other))
    with pytest.raises(ValueError, match="Install the engine first"):
        use_engine(other, attached, "cpu")


def test_weight_decay_is_that_of_a_weight(make):
    model, sparsity = make()
    use_engine(model, sparsity, "cpu")
    decayed, others = sparsity.param_groups(lr=0.1, weight_decay=0.1, decays_vectors=False)
    assert {id(p) for p in decayed["params"]} == {id(weight) for weight in sparsity.weights().values()}
    assert all(p.ndim == 1 for p in others["params"])


def test_a_topology_that_trains_pruned_weights_is_refused(make):
    model, sparsity = make(topology="top_kast")
    with pytest.raises(EngineError, match=r"'top_kast' trains pruned weights too.*engine 'masked'"):
        use_engine(model, sparsity, "cpu")


def test_without_numba_it_says_what_to_install(make, no_numba):
    model, sparsity = make()
    with pytest.raises(KernelsMissing, match="pip install numba"):
        use_engine(model, sparsity, "cpu")
    assert type(model.conv1) is nn.Conv2d, "nothing was changed"


def test_copies_and_averages(make):
    model, sparsity = make()
    use_engine(model, sparsity, "cpu", inputs=batch(0)[0])
    optimizer = sgd(model)
    sparsity.attach(optimizer)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    twin, copied = copy.deepcopy((model, sparsity))
    train(model, optimizer, range(3))
    average.update_parameters(model)
    sparsity.mask_weights_(average)
    again = sgd(twin)
    copied.attach(again)
    train(twin, again, range(3))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    images = batch(9)[0]
    torch.testing.assert_close(
        make_dense_copy(average.module).eval()(images), average.eval()(images), rtol=1e-4, atol=1e-5
    )
    assert not any("Sparse" in type(module).__name__ for module in make_dense_copy(model).modules())
    assert tuple(sparsity.masked_model.sparse_layers()) == SPARSE, "the model itself is left as it is"


def test_a_plan_file_is_followed_and_a_damaged_one_named(make, tmp_path, caplog):
    file = tmp_path / "engine.json"
    model, sparsity = make()
    first = use_engine(model, sparsity, "cpu", plan_file=file)
    again, masks = make()
    followed = use_engine(again, masks, "masked", plan_file=file)
    assert (followed.engine, followed.layers, followed.source) == ("cpu", first.layers, file.name)
    assert tuple(masks.masked_model.sparse_layers()) == SPARSE
    file.write_text("{")
    with caplog.at_level(logging.WARNING, "rarefy"):
        assert use_engine(*make(), "masked", plan_file=file).engine == "masked"
    assert str(file) in caplog.text
    other = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(engines.PlanError, match="of another model"):
        use_engine(other, sparsify(other, density=0.5), "masked", plan_file=file)


def test_a_plan_that_asks_for_the_impossible_is_a_fault(make):
    model, sparsity = make()
    with pytest.raises(RuntimeError, match=r"makes 'depthwise.weight' sparse, but it is depthwise"):
        use_engine(model, sparsity, lambda *_: Plan("wrong", dict.fromkeys(sparsity.masks, "sparse")))

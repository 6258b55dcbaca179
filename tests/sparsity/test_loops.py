"""Anybody's loop: loops down, promises across.

Every loop below trains the same small network for a few steps in its own way. After each of them, for a static and for
moving topologies: pruned weights are exactly 0, counts are exact, the optimizer remembers nothing of pruned weights,
kept weights were trained, and moving masks moved.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rarefy.sparsity import Sparsity, sparsify
from rarefy.topology import TOPOLOGIES

STEPS = 12
MOVING = {
    "static": TOPOLOGIES.build("static"),
    "set": TOPOLOGIES.build("set", interval=2),
    "rigl": TOPOLOGIES.build("rigl", interval=2),
}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.hidden = nn.Linear(8 * 16, 24)
        self.fc = nn.Linear(24, 4)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.conv(images)))
        return self.fc(torch.relu(self.hidden(x.flatten(1))))


@dataclasses.dataclass
class Setting:
    model: Net
    sparsity: Sparsity
    start: dict[str, Tensor]
    optimizers: list[torch.optim.Optimizer] = dataclasses.field(default_factory=list)

    def attach(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        self.sparsity.attach(optimizer, steps=4 * STEPS)
        self.optimizers.append(optimizer)
        return optimizer

    def sgd(self) -> torch.optim.Optimizer:
        return self.attach(torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01))


def batch(step: int, size: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    return torch.randn(size, 2, 4, 4, generator=generator), torch.randint(4, (size,), generator=generator)


def loss_of(model: Callable[[Tensor], Tensor], step: int) -> Tensor:
    images, labels = batch(step)
    return nn.functional.cross_entropy(model(images), labels)


# --- loops


def plain(s: Setting) -> None:
    optimizer = s.sgd()
    for step in range(STEPS):
        optimizer.zero_grad()
        loss_of(s.model, step).backward()
        optimizer.step()


def set_to_zero_grads(s: Setting) -> None:
    optimizer = s.sgd()
    for step in range(STEPS):
        optimizer.zero_grad(set_to_none=False)
        loss_of(s.model, step).backward()
        optimizer.step()


def closure_lbfgs(s: Setting) -> None:
    optimizer = s.attach(torch.optim.LBFGS(s.model.parameters(), lr=0.1, max_iter=3))
    for step in range(STEPS):

        def closure(step: int = step) -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(s.model, step)
            loss.backward()
            return loss

        optimizer.step(closure)


def closure_keyword(s: Setting) -> None:
    optimizer = s.sgd()
    for step in range(STEPS):

        def closure(step: int = step) -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(s.model, step)
            loss.backward()
            return loss

        optimizer.step(closure=closure)


def accumulation(s: Setting) -> None:
    optimizer = s.sgd()
    for step in range(STEPS):
        optimizer.zero_grad()
        for micro in range(3):
            (loss_of(s.model, 3 * step + micro) / 3).backward()
        optimizer.step()


def grad_scaler_with_a_skipped_step(s: Setting) -> None:
    optimizer, scaler = s.sgd(), torch.amp.GradScaler("cpu", init_scale=16.0)
    for step in range(STEPS):
        optimizer.zero_grad()
        scaler.scale(loss_of(s.model, step)).backward()
        if step == 3:
            s.model.fc.bias.grad.fill_(float("inf"))  # this step is skipped: no hook fires, nothing moves
        scaler.step(optimizer)
        scaler.update()


def bf16_autocast(s: Setting) -> None:
    optimizer = s.sgd()
    for step in range(STEPS):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(s.model, step)
        loss.backward()
        optimizer.step()


def compiled(s: Setting) -> None:
    model = torch.compile(s.model, backend="aot_eager")
    optimizer = s.sgd()
    for step in range(STEPS):
        optimizer.zero_grad()
        loss_of(model, step).backward()
        optimizer.step()


def clipping(s: Setting) -> None:
    optimizer = s.sgd()
    for step in range(STEPS):
        optimizer.zero_grad()
        loss_of(s.model, step).backward()
        s.sparsity.mask_gradients_()
        norm = nn.utils.clip_grad_norm_(s.model.parameters(), 0.5)
        kept = [weight.grad[s.sparsity.masks[name]] for name, weight in s.sparsity.weights().items()]
        others = [p.grad for p in s.model.parameters() if p.ndim == 1]
        by_hand = torch.cat([value.flatten() for value in (*kept, *others)]).norm().clamp(max=0.5)
        assert torch.isclose(norm.clamp(max=0.5), by_hand, rtol=1e-3)
        optimizer.step()


def two_optimizers(s: Setting) -> None:
    first = s.attach(torch.optim.SGD([*s.model.conv.parameters(), *s.model.norm.parameters()], lr=0.05, momentum=0.9))
    second = s.attach(torch.optim.AdamW([*s.model.hidden.parameters(), *s.model.fc.parameters()], lr=0.01))
    for step in range(STEPS):
        loss = loss_of(s.model, step)
        first.zero_grad(), second.zero_grad()
        loss.backward()
        first.step(), second.step()


def build_parameter_groups(s: Setting) -> None:
    weights = [p for p in s.model.parameters() if p.ndim > 1]
    others = [p for p in s.model.parameters() if p.ndim == 1]
    groups = [{"params": weights, "weight_decay": 0.1}, {"params": others, "lr": 0.001}]
    optimizer = s.attach(torch.optim.SGD(groups, lr=0.05, momentum=0.9))
    for step in range(STEPS):
        optimizer.zero_grad()
        loss_of(s.model, step).backward()
        optimizer.step()


def _adamw(s: Setting, **options: bool) -> None:
    optimizer = s.attach(torch.optim.AdamW(s.model.parameters(), lr=0.01, amsgrad=True, **options))
    for step in range(STEPS):
        optimizer.zero_grad()
        loss_of(s.model, step).backward()
        optimizer.step()


def adamw_fused(s: Setting) -> None:
    _adamw(s, fused=True)


def adamw_foreach(s: Setting) -> None:
    _adamw(s, foreach=True)


def adagrad(s: Setting) -> None:
    optimizer = s.attach(torch.optim.Adagrad(s.model.parameters(), lr=0.01, initial_accumulator_value=0.0))
    for step in range(STEPS):
        optimizer.zero_grad()
        loss_of(s.model, step).backward()
        optimizer.step()


def moved_to_float64_between_steps(s: Setting) -> None:
    optimizer = s.sgd()
    for step in range(STEPS):
        dtype = torch.float32 if step < 5 else torch.float64
        s.model.to(dtype)
        for state in optimizer.state.values():
            state["momentum_buffer"] = state["momentum_buffer"].to(dtype)
        images, labels = batch(step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(s.model(images.to(dtype)), labels).backward()
        optimizer.step()


def unfreezing(s: Setting) -> None:
    s.model.conv.weight.requires_grad_(False)
    optimizer = s.sgd()
    for step in range(STEPS):
        if step == 4:
            s.model.conv.weight.requires_grad_(True)
        optimizer.zero_grad()
        loss_of(s.model, step).backward()
        optimizer.step()


def channels_last(s: Setting) -> None:
    s.model.to(memory_format=torch.channels_last)
    plain(s)


def deep_copied_midway(s: Setting) -> None:
    optimizer = s.sgd()
    for step in range(STEPS // 2):
        optimizer.zero_grad()
        loss_of(s.model, step).backward()
        optimizer.step()
    s.sparsity.detach()
    s.model, s.sparsity = copy.deepcopy((s.model, s.sparsity))
    s.optimizers.clear()
    optimizer = s.sgd()
    for step in range(STEPS // 2, STEPS):
        optimizer.zero_grad()
        loss_of(s.model, step).backward()
        optimizer.step()


LOOPS = [
    plain,
    set_to_zero_grads,
    closure_lbfgs,
    closure_keyword,
    accumulation,
    grad_scaler_with_a_skipped_step,
    bf16_autocast,
    compiled,
    clipping,
    two_optimizers,
    build_parameter_groups,
    adamw_fused,
    adamw_foreach,
    adagrad,
    moved_to_float64_between_steps,
    unfreezing,
    channels_last,
    deep_copied_midway,
]

# --- promises


@pytest.fixture(scope="module", params=MOVING, ids=str)
def topology(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module", params=LOOPS, ids=lambda loop: loop.__name__)
def trained(request: pytest.FixtureRequest, topology: str) -> Setting:
    if topology == "rigl" and request.param is unfreezing:
        pytest.skip("a frozen weight has no gradient to grow by; the error is tested in test_attach.py")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Net()
    sparsity = sparsify(model, density=0.2, topology=MOVING[topology], seed=17)
    start = {name: mask.clone() for name, mask in sparsity.masks.items()}
    setting = Setting(model, sparsity, start)
    counts = sparsity.masks.counts()
    model.register_forward_pre_hook(lambda *_: _assert_exact(setting, counts))  # so: before every forward pass
    request.param(setting)
    _assert_exact(setting, counts)
    return setting


def _assert_exact(setting: Setting, counts: dict[str, int]) -> None:
    assert setting.sparsity.masks.counts() == counts
    for name, weight in setting.sparsity.weights().items():
        pruned = weight.detach()[~setting.sparsity.masks[name]]
        assert not pruned.view(torch.int64 if weight.dtype == torch.float64 else torch.int32).any(), (
            name
        )  # +0.0, bitwise


def test_pruned_weights_were_exactly_zero_in_every_forward_pass_and_counts_exact(trained: Setting) -> None:
    _assert_exact(trained, {name: int(mask.sum()) for name, mask in trained.start.items()})


def test_the_total_is_the_rounded_density(trained: Setting) -> None:
    assert trained.sparsity.kept == round(0.2 * trained.sparsity.total)


def test_kept_weights_were_trained(trained: Setting) -> None:
    for name, weight in trained.sparsity.weights().items():
        kept = weight.detach()[trained.sparsity.masks[name] & trained.start[name]]
        assert kept.abs().gt(0).any()


def test_no_optimizer_remembers_anything_of_a_pruned_weight(trained: Setting) -> None:
    checked = 0
    for optimizer in trained.optimizers:
        for name, weight in trained.sparsity.weights().items():
            for value in optimizer.state.get(weight, {}).values():
                if isinstance(value, Tensor) and value.shape == weight.shape:
                    checked += 1
                    assert not value[~trained.sparsity.masks[name]].any(), name
    assert checked or isinstance(trained.optimizers[0], torch.optim.LBFGS)


def test_masks_move_if_and_only_if_the_topology_does(trained: Setting, topology: str) -> None:
    moved = any(not torch.equal(trained.sparsity.masks[name], mask) for name, mask in trained.start.items())
    assert moved == (topology != "static")


def test_weights_are_finite_and_learn(trained: Setting) -> None:
    assert all(torch.isfinite(p).all() for p in trained.model.parameters())

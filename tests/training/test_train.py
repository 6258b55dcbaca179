"""The loop: against a loop written by hand, against itself when interrupted, and when the loss is lost."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from rarefy.config import Training
from rarefy.data import Augment, Batches, Spec, Split
from rarefy.rng import Streams
from rarefy.sparsity import sparsify
from rarefy.topology import TOPOLOGIES, Topology
from rarefy.training import (
    OPTIMIZERS,
    SCHEDULES,
    Event,
    Interrupted,
    NonFiniteLoss,
    Settings,
    State,
    train,
    train_step,
    training_context,
)

SPEC = Spec("dots", classes=3, channels=1, height=4, width=4, mean=(0.5,), std=(0.25,))


class Net(nn.Sequential):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Flatten(), nn.Linear(16, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Dropout(dropout), nn.Linear(20, 3)
        )


def split(count: int = 50) -> Split:
    generator = torch.Generator().manual_seed(5)
    labels = torch.randint(3, (count,), generator=generator)
    images = torch.randint(256, (count, 1, 4, 4), generator=generator) // 2 + labels.view(-1, 1, 1, 1) * 40
    return Split(images.to(torch.uint8), labels)


def settings(**values: Any) -> Settings:
    choices = {"epochs": 3, "batch_size": 16, "lr": 0.05} | values
    training = Training(**choices)
    optimizer = OPTIMIZERS.build(training.optimizer.name, **training.optimizer.options)
    return Settings(training, optimizer, SCHEDULES.build(training.schedule.name, **training.schedule.options))


def run(*, dropout: float = 0.0, topology: str | Topology = "static", **options: Any) -> State:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Net(dropout)
    sparsity = sparsify(model, density=0.4, topology=topology)
    values = {name: options.pop(name) for name in list(options) if name in Training.model_fields}
    batches = Batches(split(), SPEC, values.get("batch_size", 16), streams=Streams(17), augment=Augment(flip=True))
    return train(model, sparsity, batches, settings(**values), seed=17, **options)


def same(first: State, second: State) -> bool:
    pairs = zip(first.model.state_dict().values(), second.model.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs) and first.sparsity.masks == second.sparsity.masks


def test_steps_one_by_one_are_those_of_the_loop() -> None:
    whole = run(dropout=0.3, epochs=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Net(0.3)
    sparsity = sparsify(model, density=0.4)
    batches = Batches(split(), SPEC, 16, streams=Streams(17), augment=Augment(flip=True))
    before = torch.get_rng_state()
    with training_context(model, sparsity, settings(epochs=1), seed=17, steps_per_epoch=len(batches)) as (
        state,
        forward,
    ):
        model.train()
        for images, labels in batches.epoch(0):
            train_step(forward, state, images, labels, images=len(images), seed=17)
    assert same(state, whole)
    assert torch.equal(torch.get_rng_state(), before)


def test_it_is_the_loop_anybody_would_write() -> None:
    state = run(label_smoothing=0.1, clip_norm=1.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Net()
    sparsity = sparsify(model, density=0.4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2], gamma=0.1)
    batches = Batches(split(), SPEC, 16, streams=Streams(17), augment=Augment(flip=True))
    for epoch in range(3):
        for images, labels in batches.epoch(epoch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels, label_smoothing=0.1).backward()
            sparsity.mask_gradients_()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            sparsity.mask_weights_()
        schedule.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, state.model.state_dict()[name])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dropout": 0.5},
        {"topology": TOPOLOGIES.build("set", interval=2)},
        {"topology": TOPOLOGIES.build("rigl", interval=2), "clip_norm": 0.5},
        {"optimizer": {"name": "adamw"}, "schedule": {"name": "cosine"}, "warmup_epochs": 1.0},
        {"precision": "bf16"},
        {"precision": "fp16", "lr": 0.01},
        {"select": "best"},
    ],
    ids=str,
)
@pytest.mark.parametrize("stop_at", [1, 4, 6])
def test_interrupted_anywhere_and_resumed_it_gives_the_same_bits(options: dict[str, Any], stop_at: int) -> None:
    def validate(model: nn.Module) -> dict[str, float]:
        weight = next(p for p in model.parameters() if p.ndim > 1)
        return {"validation_loss": 0.0, "validation_accuracy": weight.detach().sum().sin().abs().item()}

    saved: list[dict[str, Any]] = []
    steps: list[int] = []

    def remember(event: Event, state: State) -> None:
        if event is Event.STEP:
            steps.append(state.step)
        if event is Event.STOP:
            saved.append(_through_a_file(state.state_dict()))

    whole = run(validate=validate, **options)
    with pytest.raises(Interrupted):
        run(validate=validate, callbacks=[remember], should_stop=lambda: len(steps) == stop_at, **options)
    resumed = run(validate=validate, resume=saved[0], **options)
    assert same(whole, resumed)
    exact = [{k: v for k, v in row.items() if "seconds" not in k} for row in whole.history]
    assert exact == [{k: v for k, v in row.items() if "seconds" not in k} for row in resumed.history]
    assert whole.load_best() == resumed.load_best()
    assert same(whole, resumed)


def _through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    import io

    content = io.BytesIO()
    torch.save(state, content)
    content.seek(0)
    loaded: dict[str, Any] = torch.load(content, weights_only=True)
    return loaded


def test_the_caller_s_generator_is_given_back() -> None:
    before = torch.get_rng_state()
    run(dropout=0.5)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_caller_s_generator_plays_no_role() -> None:
    torch.rand(7)
    first = run(dropout=0.5)
    torch.rand(7)
    assert same(first, run(dropout=0.5))


def test_history_has_a_row_an_epoch_with_the_schedule_s_rate() -> None:
    state = run(epochs=4)
    assert [row["epoch"] for row in state.history] == [1, 2, 3, 4]
    assert [row["lr"] for row in state.history] == pytest.approx([0.05, 0.05, 0.005, 0.0005])
    assert all(row["exploration_rate"] == state.sparsity.density for row in state.history)


def test_warm_up_rises_linearly_to_the_full_rate() -> None:
    rates: list[float] = []

    def note(event: Event, state: State) -> None:
        if event is Event.STEP:
            rates.append(state.optimizer.param_groups[0]["lr"])

    run(warmup_epochs=1.0, schedule={"name": "constant"}, callbacks=[note])
    assert rates[:5] == pytest.approx([0.0125, 0.025, 0.0375, 0.05, 0.05])


def test_a_lost_loss_stops_the_run_and_names_the_step() -> None:
    seen: list[Event] = []
    with pytest.raises(
        NonFiniteLoss, match=r"The loss became (nan|inf) at or before step \d+ \(epoch \d+, batch \d+ of 4\)"
    ):
        run(lr=1e6, callbacks=[lambda event, state: seen.append(event)])
    assert seen[-1] is Event.END  # progress bars are closed
    assert Event.STOP not in seen  # and nothing is saved as if it were good


def test_a_batch_norm_with_one_value_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"has 1 image\(s\) here.*use another -b, fewer processes.*--sync-norms"):
        run(batch_size=7)  # 50 images: the last batch has one


def test_norms_and_biases_can_be_left_out_of_weight_decay() -> None:
    groups = run(norm_weight_decay=False).optimizer.param_groups
    assert [group["weight_decay"] for group in groups] == [5e-4, 0.0]
    assert {p.ndim for p in groups[1]["params"]} == {1}


def test_best_is_the_first_of_the_highest_validation_accuracy() -> None:
    scores = iter([0.2, 0.9, 0.9])
    models: list[torch.Tensor] = []

    def validate(model: nn.Module) -> dict[str, float]:
        models.append(model[1].weight.detach().clone())
        return {"validation_accuracy": next(scores)}

    state = run(select="best", validate=validate)
    assert state.load_best() == 2
    assert torch.equal(state.model[1].weight, models[1])


def test_the_loss_scale_is_part_of_the_state() -> None:
    def fresh() -> State:
        model = Net()
        return State(model, sparsify(model, density=0.4), settings(precision="fp16"), steps_per_epoch=4)

    state, again = fresh(), fresh()
    state.scaler.scale(torch.ones(()))  # makes it real
    state.scaler.update(128.0)
    again.load_state_dict(_through_a_file(state.state_dict()))
    assert again.scaler.get_scale() == 128.0


def test_each_layer_trains_at_its_own_rate_whatever_the_schedule() -> None:
    """By hand: a plain loop of SGD with the scheduled rate over each layer's density."""
    torch.manual_seed(0)
    model = Net()
    sparsity = sparsify(model, density=0.4, scaling="supar")
    other = Net()
    other.load_state_dict(model.state_dict())
    densities = {layer.name: layer.density for layer in sparsity.layers()}
    values = settings(
        lr=0.05, warmup_epochs=1, schedule="cosine", weight_decay=0.0, optimizer={"name": "sgd", "momentum": 0}
    )
    inputs, targets = torch.randn(16, 1, 4, 4), torch.randint(3, (16,))
    with training_context(model, sparsity, values, seed=17, steps_per_epoch=4) as (state, forward):
        for _ in range(6):
            rate = state.lr
            train_step(forward, state, inputs, targets, images=16, seed=17)
            other.zero_grad()
            nn.functional.cross_entropy(other(inputs), targets).backward()
            for name, parameter in other.named_parameters():
                step = rate / densities.get(name, 1.0) * parameter.grad
                parameter.data -= step * sparsity.masks[name] if name in densities else step
            _end_of_epoch_every_four(state)
    assert len(set(densities.values())) == 2
    for own, by_hand in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(own, by_hand)


def _end_of_epoch_every_four(state: State) -> None:
    if state.batch == 4:
        state.epoch, state.batch = state.epoch + 1, 0


def test_the_history_has_the_rate_that_was_asked_for() -> None:
    torch.manual_seed(0)
    model = Net()
    sparsity = sparsify(model, density=0.4, scaling="supar")
    batches = Batches(split(), SPEC, 16, streams=Streams(17))
    state = train(model, sparsity, batches, settings(schedule="constant", norm_weight_decay=False), seed=17)
    assert [row["lr"] for row in state.history] == pytest.approx([0.05] * 3)


def test_an_interrupted_training_goes_on_at_each_layer_s_rate() -> None:
    def start(**options: Any) -> State:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = Net()
        sparsity = sparsify(model, density=0.4, scaling="supar", topology="static")
        batches = Batches(split(), SPEC, 16, streams=Streams(17))
        return train(model, sparsity, batches, settings(optimizer="adamw"), seed=17, **options)

    saved: list[dict] = []

    def keep(event: Event, state: State) -> None:
        if event is Event.EPOCH and state.epoch == 2:
            saved.append(copy.deepcopy(state.state_dict()))

    whole = start(callbacks=[keep])
    rest = start(resume=saved[0])
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), rest.model.parameters(), strict=True))

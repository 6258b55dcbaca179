"""Batches against torchvision's pad, crop, flip and normalise, one image at a time; order, resuming, independence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import functional

from rarefy.data import Augment, Batches, Spec, Split
from rarefy.rng import Streams

Pictures = Callable[..., tuple[Split, Spec]]
RECIPES = (
    Augment(),
    Augment(flip=True),
    Augment(pad=4, mode="reflect", flip=True),
    Augment(pad=4, mode="zero", flip=True),
    Augment(pad=2, mode="zero"),
)


def images_of(batches: Batches, epoch: int = 0, start: int = 0) -> dict[int, Tensor]:
    """Image number (its label) to image."""
    return {int(n): image for images, labels in batches.epoch(epoch, start) for n, image in zip(labels, images)}  # noqa: B905


def order_of(batches: Batches, epoch: int = 0, start: int = 0) -> list[int]:
    return [int(number) for _, labels in batches.epoch(epoch, start) for number in labels]


def torchvision_image(pixels: Tensor, spec: Spec, augment: Augment, down: int, right: int, flip: bool) -> Tensor:
    """The PIL pipeline on one image, with given offsets."""
    picture = Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))
    if augment.pad:
        picture = functional.pad(
            picture, [augment.pad] * 4, padding_mode={"zero": "constant"}.get(augment.mode, "reflect")
        )
    picture = functional.crop(picture, down, right, spec.height, spec.width)
    picture = functional.hflip(picture) if flip else picture
    return functional.normalize(transforms.ToTensor()(picture), list(spec.mean), list(spec.std))


@pytest.mark.parametrize("augment", RECIPES, ids=str)
def test_every_image_is_torchvisions(augment: Augment, pictures: Pictures) -> None:
    split, spec = pictures()
    generator = Streams(17)("augment", 3)
    offsets = torch.randint(2 * augment.pad + 1, (2, len(split)), generator=generator)
    flips = torch.randint(2, (len(split),), generator=generator).bool() & augment.flip
    for number, image in images_of(Batches(split, spec, 8, streams=Streams(17), augment=augment), epoch=3).items():
        down, right, flip = int(offsets[0, number]), int(offsets[1, number]), bool(flips[number])
        theirs = torchvision_image(split.images[number], spec, augment, down, right, flip)
        torch.testing.assert_close(image, theirs, rtol=1e-5, atol=1e-5)


def test_all_offsets_and_both_directions_occur(pictures: Pictures) -> None:
    split, spec = pictures(count=1, channels=1)
    batches = Batches(split, spec, 1, streams=Streams(17), augment=Augment(pad=1, mode="zero", flip=True))
    seen = {images_of(batches, epoch)[0].numpy().tobytes() for epoch in range(150)}
    assert len(seen) == 3 * 3 * 2


def test_in_order_and_as_they_are_without_streams(pictures: Pictures) -> None:
    split, spec = pictures()
    batches = Batches(split, spec, 10)
    images = torch.cat([images for images, _ in batches.epoch(5)])
    assert order_of(batches, epoch=5) == list(range(37))
    assert images.dtype == torch.float32
    torch.testing.assert_close(images, spec.normalize(split.images / 255))


def test_an_epoch_has_every_image_once_in_the_order_of_its_stream(pictures: Pictures) -> None:
    split, spec = pictures()
    batches = Batches(split, spec, 10, streams=Streams(17))
    assert order_of(batches, epoch=2) == torch.randperm(37, generator=Streams(17)("order", 2)).tolist()
    assert order_of(batches, epoch=2) != order_of(batches, epoch=3)
    assert order_of(batches) != order_of(Batches(split, spec, 10, streams=Streams(18)))


@pytest.mark.parametrize(("size", "drop_last", "sizes"), [(10, False, [10, 10, 10, 7]), (10, True, [10, 10, 10])])
def test_batch_sizes(size: int, drop_last: bool, sizes: list[int], pictures: Pictures) -> None:
    split, spec = pictures()
    batches = Batches(split, spec, size, streams=Streams(17), drop_last=drop_last)
    assert [len(labels) for _, labels in batches.epoch(0)] == sizes
    assert len(batches) == len(sizes)


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_the_ranks_parts_in_order_are_the_batch(ranks: int, pictures: Pictures) -> None:
    split, spec = pictures()
    options = {"streams": Streams(17), "augment": RECIPES[2]}
    whole = Batches(split, spec, 9, **options)  # type: ignore[arg-type]  # 37 images: the last batch has one
    shared = [Batches(split, spec, 9, rank=rank, ranks=ranks, **options) for rank in range(ranks)]  # type: ignore[arg-type]
    assert [whole.size(batch) for batch in range(len(whole))] == [9, 9, 9, 9, 1]
    epochs = [part.epoch(2, start=1) for part in shared]
    for (images, labels), *parts in zip(whole.epoch(2, start=1), *epochs, strict=True):
        assert torch.equal(torch.cat([part for part, _ in parts]), images)
        assert torch.equal(torch.cat([part for _, part in parts]), labels)
        sizes = [len(part) for _, part in parts]
        assert max(sizes) - min(sizes) <= 1


@settings(deadline=None, max_examples=30)
@given(count=st.integers(1, 40), size=st.integers(1, 50), epoch=st.integers(0, 9), data=st.data())
def test_resuming_gives_the_rest_of_the_epoch(count: int, size: int, epoch: int, data: st.DataObject) -> None:
    pixels = torch.arange(count * 25).view(count, 1, 5, 5).to(torch.uint8)
    split = Split(pixels, torch.arange(count))
    spec = Spec("any", count, 1, 5, 5, (0.5,), (0.25,))
    batches = Batches(split, spec, size, streams=Streams(17), augment=Augment(pad=2, mode="reflect", flip=True))
    start = data.draw(st.integers(0, len(batches)))
    stop = data.draw(st.none() | st.integers(start, len(batches)))
    whole, rest = list(batches.epoch(epoch))[start:stop], list(batches.epoch(epoch, start, stop))
    assert len(whole) == len(rest) == (len(batches) if stop is None else stop) - start
    for (images, labels), (resumed, again) in zip(whole, rest, strict=True):
        assert torch.equal(images, resumed)
        assert torch.equal(labels, again)


@pytest.mark.parametrize("size", [1, 5, 37, 100])
def test_how_an_image_looks_does_not_depend_on_the_batch_size(size: int, pictures: Pictures) -> None:
    split, spec = pictures()
    first, second = (Batches(split, spec, n, streams=Streams(17), augment=RECIPES[2]) for n in (8, size))
    theirs = images_of(second)
    assert all(torch.equal(image, theirs[number]) for number, image in images_of(first).items())
    assert order_of(first) == order_of(second)


def test_the_same_bits_with_any_number_of_threads(pictures: Pictures) -> None:
    split, spec = pictures(count=300, size=32)
    batches = Batches(split, spec, 150, streams=Streams(17), augment=RECIPES[2])
    threads = torch.get_num_threads()
    epochs = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            epochs.append(torch.cat([images for images, _ in batches.epoch(0)]))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(epochs[0], epochs[1])
    assert torch.equal(epochs[0], epochs[2])


def test_only_streams_are_drawn_from(pictures: Pictures) -> None:
    split, spec = pictures()
    state = torch.random.get_rng_state()
    first = images_of(Batches(split, spec, 8, streams=Streams(17), augment=RECIPES[2]))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(3)
    again = images_of(Batches(split, spec, 8, streams=Streams(17), augment=RECIPES[2]))
    assert all(torch.equal(image, again[number]) for number, image in first.items())


def test_the_split_is_left_alone(pictures: Pictures) -> None:
    split, spec = pictures()
    before = split.images.clone()
    for augment in RECIPES:
        for images, labels in Batches(split, spec, 8, streams=Streams(17), augment=augment).epoch(0):
            images.zero_()
            labels.zero_()
    assert torch.equal(split.images, before)
    assert torch.equal(split.labels, torch.arange(37))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_batches(pictures: Pictures) -> None:
    split, spec = pictures()
    cpu, gpu = (Batches(split.to(at), spec, 8, streams=Streams(17), augment=RECIPES[2]) for at in ("cpu", "cuda"))
    for (ours, labels), (theirs, others) in zip(cpu.epoch(1), gpu.epoch(1), strict=True):
        assert theirs.device.type == "cuda"
        assert torch.equal(labels, others.cpu())
        assert torch.equal(ours, theirs.cpu())


@pytest.mark.parametrize("start", [-1, 5])
def test_a_start_outside_the_epoch_is_refused_at_once(start: int, pictures: Pictures) -> None:
    with pytest.raises(ValueError, match=f"An epoch has 4 batches; cannot start at batch {start}, use 0 to 4"):
        Batches(*pictures(), 10).epoch(0, start)


def test_nothing_is_read_from_where_it_stops(pictures: Pictures) -> None:
    batches = Batches(*pictures(), 10)
    assert [labels[0].item() for _, labels in batches.epoch(0, 1, 3)] == [10, 20]
    assert list(batches.epoch(0, 2, 2)) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0 leaves no batch of 37 images; use at least 1"),
        ({"batch_size": 38, "drop_last": True}, "use at least 1, at most 37 with drop_last"),
        ({"rank": 2, "ranks": 2}, "There is no rank 2 among 2; ranks are 0 to 1"),
        ({"ranks": 9}, "batch_size=8 leaves some of 9 processes without an image"),
        ({"augment": RECIPES[1]}, "needs random numbers; pass streams"),
        ({"augment": Augment(pad=8, mode="reflect"), "streams": Streams(1)}, "Cannot reflect 8 pixels .* below 8"),
    ],
)
def test_what_cannot_be_batched_is_refused(options: dict[str, object], message: str, pictures: Pictures) -> None:
    with pytest.raises(ValueError, match=message):
        Batches(*pictures(), **({"batch_size": 8} | options))  # type: ignore[arg-type]


def test_a_spec_of_other_images_is_refused(pictures: Pictures) -> None:
    with pytest.raises(ValueError, match="The split's images have 1 channels, the spec of pictures says 3"):
        Batches(pictures(channels=1)[0], pictures(channels=3)[1], 8)

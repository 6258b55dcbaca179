from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rarefy.data import CorruptData, MissingData, Spec, fit_images
from rarefy.evaluation.ood import load_ood, parse_sources
from rarefy.registry import UnknownName

GREY = Spec("grey", classes=2, channels=1, height=8, width=8, mean=(0.5,), std=(0.5,))
COLOUR = Spec("colour", classes=2, channels=3, height=8, width=8, mean=(0.5,) * 3, std=(0.5,) * 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("spec", [GREY, COLOUR])
def test_digits_are_read_and_fitted(spec: Spec, tmp_path: Path) -> None:
    split = load_ood("digits", tmp_path, spec)
    assert split.images.shape == (355, spec.channels, 8, 8)
    assert (split.labels == -1).all()
    assert (split.images == split.images[:, :1]).all()


def test_noise_is_seeded_and_distributed_as_stated(tmp_path: Path) -> None:
    uniform, gaussian = (load_ood(name, tmp_path, COLOUR, seed=3, limit=400) for name in parse_sources("noise"))
    assert torch.equal(uniform.images, load_ood("Uniform-Noise", tmp_path, COLOUR, seed=3, limit=400).images)
    assert not torch.equal(uniform.images, load_ood("uniform_noise", tmp_path, COLOUR, seed=4, limit=400).images)
    assert uniform.images.float().mean().item() == pytest.approx(127.5, abs=2)
    assert uniform.images.float().std().item() == pytest.approx(255 / 12**0.5, abs=2)
    # Of a normal distribution with deviation 1, Phi(-0.5) = 0.3085 lie below 0, half a deviation under the mean.
    assert (gaussian.images == 0).float().mean().item() == pytest.approx(0.3085, abs=0.01)
    assert (gaussian.images == 255).float().mean().item() == pytest.approx(0.3085, abs=0.01)


def test_names_are_split_and_noise_is_two() -> None:
    assert parse_sources("svhn,noise, svhn,gaussian_noise") == ["svhn", "uniform_noise", "gaussian_noise"]


def test_limit_is_spread_over_the_source(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.repeat(np.arange(10, dtype=np.uint8), 64).reshape(10, 8, 8))
    assert load_ood("a.npz", tmp_path, GREY, limit=5).images[:, 0, 0, 0].tolist() == [0, 2, 4, 6, 8]
    assert len(load_ood("a.npz", tmp_path, GREY, limit=99)) == 10
    with pytest.raises(ValueError, match="limit must be at least 1"):
        load_ood("a.npz", tmp_path, GREY, limit=0)


def test_arrays_in_every_layout(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", last=PIXELS, first=PIXELS.transpose(0, 3, 1, 2), grey=PIXELS[..., 0])
    expected = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
    for array in ("last", "first"):
        assert torch.equal(load_ood(f"a.npz:{array}", tmp_path, COLOUR).images, expected)
        assert torch.equal(load_ood(f"{tmp_path}/a.npz:{array}", Path("elsewhere"), COLOUR).images, expected)
    assert torch.equal(load_ood("a.npz:grey", tmp_path, GREY).images[:, 0], expected[:, 0])
    with pytest.raises(ValueError, match=r"no array 'best'.*last, first, grey"):
        load_ood("a.npz:best", tmp_path, COLOUR)
    with pytest.raises(ValueError, match=r"holds 3 arrays.*last, first, grey"):
        load_ood("a.npz", tmp_path, COLOUR)


def test_arrays_that_are_no_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 8, 8, 3)))
    with pytest.raises(ValueError, match="float64"):
        load_ood("a.npz", tmp_path, COLOUR)
    np.savez(tmp_path / "b.npz", x=np.array([{}], dtype=object))
    with pytest.raises(CorruptData, match=r"b\.npz .* pickles"):
        load_ood("b.npz", tmp_path, COLOUR)
    np.save(tmp_path / "c.npy", PIXELS)
    with pytest.raises(ValueError, match=r"neither a folder of pictures nor an \.npz"):
        load_ood(f"{tmp_path}/c.npy", tmp_path, COLOUR)


def test_a_folder_of_pictures_of_all_sizes(tmp_path: Path) -> None:
    (tmp_path / "some" / "deep").mkdir(parents=True)
    Image.fromarray(PIXELS[0]).save(tmp_path / "some" / "b.png")
    Image.fromarray(np.full((5, 9), 77, dtype=np.uint8)).save(tmp_path / "some" / "deep" / "c.PNG")
    Image.fromarray(np.full((30, 20, 3), 9, dtype=np.uint8)).save(tmp_path / "some" / "a.png")
    (tmp_path / "some" / "notes.txt").touch()
    images = load_ood("some", tmp_path, COLOUR).images
    assert torch.equal(images[1], torch.from_numpy(PIXELS[0]).permute(2, 0, 1))
    assert (images[0] == 9).all() and (images[2] == 77).all()


def test_tiny_imagenet_takes_the_fullest_there_is(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"tiny-imagenet-200/val.*ood-32.npz:tiny_imagenet_val.*tiny-imagenet-10/val"):
        load_ood("tiny_imagenet", tmp_path, COLOUR)
    (tmp_path / "tiny-imagenet-10" / "val").mkdir(parents=True)
    Image.fromarray(PIXELS[0]).save(tmp_path / "tiny-imagenet-10" / "val" / "x.JPEG")
    assert len(load_ood("tiny_imagenet", tmp_path, COLOUR)) == 1
    np.savez(tmp_path / "ood-32.npz", tiny_imagenet_val=PIXELS, svhn_train_1083=PIXELS[:2])
    assert len(load_ood("tiny_imagenet", tmp_path, COLOUR)) == 5
    assert len(load_ood("svhn_train_1083", tmp_path, COLOUR)) == 2


def test_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'cifar100'"):
        load_ood("cifar1000", tmp_path, COLOUR)
    with pytest.raises(UnknownName, match="no/such"):
        load_ood("no/such", tmp_path, COLOUR)
    with pytest.raises(MissingData, match="Looked in"):
        load_ood("svhn", tmp_path, COLOUR)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingData, match="no picture below"):
        load_ood("empty", tmp_path, COLOUR)
    trained_on = Spec("digits", classes=10, channels=1, height=8, width=8, mean=(0.5,), std=(0.5,))
    with pytest.raises(ValueError, match="was trained on"):
        load_ood("digits", tmp_path, trained_on)


@given(st.integers(0, 255), st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3]))
def test_a_flat_grey_image_stays_what_it_is(level: int, height: int, width: int, channels: int) -> None:
    images = torch.full((2, channels, height, width), level, dtype=torch.uint8)
    for spec in (GREY, COLOUR):
        assert torch.equal(fit_images(images, spec), torch.full((2, spec.channels, 8, 8), level, dtype=torch.uint8))


def test_resizing_agrees_with_pillow() -> None:
    big = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (2, 3, 27, 19), dtype=np.uint8))
    for ours, image in zip(fit_images(big, COLOUR), big, strict=True):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((8, 8), Image.Resampling.BILINEAR)
        assert (ours.permute(1, 2, 0).int() - torch.from_numpy(np.array(picture)).int()).abs().max() <= 1


def test_grey_agrees_with_pillow() -> None:
    ours = fit_images(torch.from_numpy(PIXELS).permute(0, 3, 1, 2), GREY)[:, 0]
    for image, pixels in zip(ours, PIXELS, strict=True):
        assert (image.int() - torch.from_numpy(np.array(Image.fromarray(pixels).convert("L"))).int()).abs().max() <= 1


def test_channels_that_cannot_be_converted(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Images of 4 channels"):
        fit_images(torch.zeros(1, 4, 8, 8, dtype=torch.uint8), COLOUR)
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 8, 8, 4), np.uint8))
    with pytest.raises(ValueError, match=r"a\.npz.*Images of 4 channels"):
        load_ood("a.npz", tmp_path, COLOUR)


def test_the_real_files(real_data: Path) -> None:
    if not (real_data / "ood-32.npz").is_file():
        pytest.skip("needs ood-32.npz in RAREFY_DATA")
    spec = Spec("cifar10", 10, 3, 32, 32, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    assert load_ood("svhn_train_1083", real_data, spec).images.shape == (1083, 3, 32, 32)
    assert load_ood("tiny-imagenet-10/val", real_data, spec).images.shape[1:] == (3, 32, 32)


@pytest.mark.parametrize("ending", [".png", ".webp", ".tif"])
def test_an_undecodable_picture_is_named(ending: str, tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    Image.fromarray(PIXELS[0]).save(tmp_path / "some" / f"b{ending}")
    assert len(load_ood("some", tmp_path, COLOUR)) == 1
    (tmp_path / "some" / f"a{ending}").write_bytes((tmp_path / "some" / f"b{ending}").read_bytes()[:60])
    with pytest.raises(CorruptData) as caught:
        load_ood("some", tmp_path, COLOUR)
    assert caught.value.path == tmp_path / "some" / f"a{ending}"


def test_what_is_no_picture_is_said_and_only_those_asked_for_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "some").mkdir()
    for number in range(4):
        level = np.full((8, 8, 3), 50 * number, dtype=np.uint8)
        Image.fromarray(level).save(tmp_path / "some" / f"{number}.png")
    (tmp_path / "some" / "1.png").write_bytes(b"")  # of four, two evenly spaced: the first and the third
    (tmp_path / "some" / "._0.png").write_bytes(b"")
    (tmp_path / "some" / "list.csv").touch()
    assert load_ood("some", tmp_path, COLOUR, limit=2).images[:, 0, 0, 0].tolist() == [0, 100]
    assert "4 pictures" in caplog.text and "1 .csv, 1 hidden" in caplog.text


def write_claim(path: Path) -> None:
    """An archive whose array claims a terabyte and has eight bytes."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1000, 1000)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", file.getvalue() + bytes(8))


def write_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"x": 1}))


def cut_npz(path: Path) -> None:
    np.savez(path, x=PIXELS)
    path.write_bytes(path.read_bytes()[:300])


def flip_npz(path: Path) -> None:
    np.savez(path, x=PIXELS)
    content = bytearray(path.read_bytes())
    content[400] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "write",
    [
        write_claim,
        write_pickle,
        cut_npz,
        flip_npz,
        lambda path: path.write_bytes(b""),
        lambda path: np.savez(path),
        lambda path: np.savez(path, x=np.array([print], dtype=object)),
        lambda path: np.savez(path, x=np.zeros((5, 0, 8, 3), np.uint8)),
        lambda path: np.savez(path, x=np.uint8(3)),
        lambda path: np.savez_compressed(path, x=np.zeros((100, 1000, 1000, 3), np.uint8)),
    ],
)
def test_an_archive_that_cannot_be_used_is_named(write: Callable[[Path], object], tmp_path: Path) -> None:
    write(tmp_path / "a.npz")
    with pytest.raises(CorruptData, match=r"a\.npz"):
        load_ood("a.npz", tmp_path, COLOUR)

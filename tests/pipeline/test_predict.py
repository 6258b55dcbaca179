"""Predictions for pictures, folders and arrays."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import rarefy
from rarefy.data import CorruptData, MissingData, Spec, fit_picture
from rarefy.errors import InvalidInput
from rarefy.pipeline import TrainedNetwork, predict_files

RESULT = Path(__file__).parents[2] / "experiments" / "results" / "465feb064986"  # CIFAR-10, 32 x 32 pixels in colour
PIXELS = np.random.default_rng(5).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> TrainedNetwork:
    return rarefy.load_run(RESULT)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def test_pictures_folders_and_arrays_agree(network: TrainedNetwork, tmp_path: Path) -> None:
    expected = network.predict(PIXELS)
    pictures = [save(tmp_path / "deep" / f"{n}.png", pixels) for n, pixels in enumerate(PIXELS)]
    for name, array in (("hwc", PIXELS), ("chw", PIXELS.transpose(0, 3, 1, 2))):
        np.savez(tmp_path / f"{name}.npz", images=array, labels=np.arange(5))
    for paths in (pictures, [tmp_path], [tmp_path / "hwc.npz"], [f"{tmp_path / 'chw.npz'}:images"]):
        predictions = list(predict_files(network, paths))
        torch.testing.assert_close(torch.stack([p.probabilities for p in predictions]), expected)
    assert [p.image for p in predict_files(network, [tmp_path])] == list(map(str, pictures))
    assert next(predict_files(network, [tmp_path / "hwc.npz"])).image == f"{tmp_path / 'hwc.npz'}[0]"
    best = expected[0].argmax()
    name, probability = next(predict_files(network, pictures)).rank(20)[0]
    assert (name, probability) == (network.class_names[best], pytest.approx(expected[0, best].item()))


def test_more_images_than_one_batch(network: TrainedNetwork, tmp_path: Path) -> None:
    np.savez(tmp_path / "many.npz", images=np.concatenate([PIXELS] * 30))
    predictions = torch.stack([p.probabilities for p in predict_files(network, [tmp_path / "many.npz"])])
    torch.testing.assert_close(predictions, network.predict(PIXELS).repeat(30, 1))


def test_grey_and_other_sizes_are_converted_and_said(
    network: TrainedNetwork, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    grey = np.repeat(PIXELS[:1, :, :, :1], 3, 3)
    path = save(tmp_path / "grey.png", PIXELS[0, :, :, 0])
    torch.testing.assert_close(next(predict_files(network, [path])).probabilities, network.predict(grey)[0])
    assert not caplog.records
    level = np.full((2, 3), 77, np.uint8)  # stretched, it is the same level everywhere
    flat = network.predict(np.full((1, 32, 32, 3), 77, np.uint8))[0]
    torch.testing.assert_close(next(predict_files(network, [save(tmp_path / "flat.png", level)])).probabilities, flat)
    assert ["32 x 32" in record.getMessage() for record in caplog.records] == [True]


def test_a_cropping_network_sees_pictures_as_evaluation_does() -> None:
    spec = Spec("photos", 2, 3, 14, 14, (0.5,) * 3, (0.5,) * 3, resize="crop")
    pixels = np.random.default_rng(1).integers(0, 256, (40, 24, 3), dtype=np.uint8)
    shorter = Image.fromarray(pixels).resize((16, 26), Image.Resampling.BILINEAR)  # 16 = 14 * 256 / 224
    expected = np.asarray(shorter.crop((1, 6, 15, 20)))
    ours = fit_picture(torch.from_numpy(pixels).permute(2, 0, 1), spec)
    np.testing.assert_array_equal(ours.permute(1, 2, 0).numpy(), expected)


def test_a_path_that_is_not_there_fails_before_anything_is_predicted(network: TrainedNetwork, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    good = save(tmp_path / "good.png", PIXELS[0])
    for wrong in (tmp_path / "nowhere.png", tmp_path / "empty", tmp_path / "nowhere.npz:images"):
        with pytest.raises(MissingData) as caught:
            next(predict_files(network, [good, wrong]))
        assert str(wrong).partition(":")[0] in str(caught.value)
    with pytest.raises(InvalidInput):
        next(predict_files(network, []))


def test_a_broken_picture_stops_or_is_left_out(
    network: TrainedNetwork, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for n in (0, 2):
        save(tmp_path / f"{n}.png", PIXELS[n])
    (tmp_path / "1.png").write_bytes(b"not a picture")
    with pytest.raises(CorruptData) as caught:
        list(predict_files(network, [tmp_path]))
    assert caught.value.path == tmp_path / "1.png"
    with caplog.at_level(logging.WARNING):
        kept = [Path(p.image).name for p in predict_files(network, [tmp_path], skip_bad_images=True)]
    assert kept == ["0.png", "2.png"]
    assert [str(tmp_path / "1.png") in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": PIXELS / 255},
        {"images": PIXELS.reshape(5, -1)},
        {"images": PIXELS[:0]},
        {"a": PIXELS, "b": PIXELS},
        {},
    ],
)
def test_arrays_that_hold_no_images(arrays: dict[str, np.ndarray], network: TrainedNetwork, tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    for skip in (False, True):  # an array is never left out silently
        with pytest.raises(CorruptData) as caught:
            list(predict_files(network, [tmp_path / "bad.npz"], skip_bad_images=skip))
        assert caught.value.path == tmp_path / "bad.npz"


def test_channels_that_cannot_be_converted_name_the_file(network: TrainedNetwork, tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", images=np.zeros((1, 32, 32, 2), np.uint8))
    with pytest.raises(InvalidInput) as caught:
        list(predict_files(network, [tmp_path / "two.npz"]))
    assert str(tmp_path / "two.npz") in caught.value.__notes__[0]


def test_rows_of_a_table_are_found_by_the_names_of_their_columns(network: TrainedNetwork, tmp_path: Path) -> None:
    rows = np.random.default_rng(4).normal(size=(40, 2)).astype(np.float32)
    lines = [f"{a},{b},{'up' if a > b else 'down'}" for a, b in rows.tolist()]
    (tmp_path / "train.csv").write_text("\n".join(["left,right,class", *lines]))
    values = {"data": f"csv:{tmp_path / 'train.csv'}", "model": "mlp_8", "engine": "masked", "device": "cpu"}
    config = rarefy.Config.from_values({**values, "training": {"epochs": 1}})
    table = rarefy.load_run(tmp_path / rarefy.run(config, out=tmp_path).id)
    (tmp_path / "new.csv").write_text("\n".join(["town,right,left", *(f"Rome,{b},{a}" for a, b in rows.tolist())]))
    predictions = list(predict_files(table, [f"csv:{tmp_path / 'new.csv'}"]))
    torch.testing.assert_close(torch.stack([p.probabilities for p in predictions]), table.predict(rows))
    assert predictions[3].image == f"{tmp_path / 'new.csv'}[3]"
    assert set(predictions[0].class_names) == {"up", "down"}
    (tmp_path / "less.csv").write_text("left,class\n1,up\n")
    with pytest.raises(CorruptData, match="no column 'right'"):
        list(predict_files(table, [tmp_path / "less.csv"]))
    for wrong, path in ((table, save(tmp_path / "a.png", PIXELS[0])), (network, tmp_path / "new.csv")):
        with pytest.raises(InvalidInput):
            list(predict_files(wrong, [path]))
    report = rarefy.export(table, "safetensors", tmp_path / "dense.safetensors", data_dir=tmp_path / "nowhere")
    assert (report.images, report.difference) == (4, 0)

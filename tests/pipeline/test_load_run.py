"""A finished run is a network: loaded from its folder alone, with the preprocessing that it was trained with."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import rarefy
from rarefy.data import Spec
from rarefy.errors import InvalidInput, MissingFile
from rarefy.pipeline import RunError, list_published
from rarefy.records import DataSpec, read

RESULTS = Path(__file__).parents[2] / "experiments" / "results"
PUBLISHED = sorted(folder for folder in RESULTS.iterdir() if (folder / "record.json").is_file())


def train(out: Path, data: Any, data_dir: Path = Path("unused"), **values: Any) -> Path:
    """Trains a small network and gives its folder."""
    settings = {"data": data, "model": "mlp_16", "density": 0.2, "engine": "masked", "device": "cpu"} | values
    training = {"epochs": 4, "batch_size": 32, "lr": 0.1}
    config = rarefy.Config.from_values({**settings, "training": training})
    return out / rarefy.run(config, out=out, data_dir=data_dir, workers=0).id


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("digits"), "digits")


@pytest.fixture
def copy(digits: Path, tmp_path: Path) -> Path:
    """A copy of the run, to damage."""
    return Path(shutil.copytree(digits, tmp_path / digits.name))


def change(folder: Path, **values: Any) -> None:
    """Changes fields of a run's record."""
    path = folder / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def read_test_digits() -> tuple[np.ndarray, np.ndarray]:
    """The test images and labels straight from scikit-learn: every fifth of each class, at 15 levels a dot."""
    dots, labels = load_digits(return_X_y=True)
    chosen = np.zeros(len(labels), bool)
    for label in range(10):
        chosen[np.flatnonzero(labels == label)[4::5]] = True
    return (dots[chosen] * 15).astype(np.uint8).reshape(-1, 8, 8), labels[chosen]


def test_it_classifies_as_its_record_says(digits: Path) -> None:
    network = rarefy.load_run(digits)
    images, labels = read_test_digits()
    probabilities = network.predict(images)
    accuracy = (probabilities.argmax(1).numpy() == labels).mean()
    assert accuracy == pytest.approx(read(digits).metrics["test"]["accuracy"])
    assert accuracy > 0.5
    loss = torch.nn.functional.nll_loss(probabilities.log(), torch.from_numpy(labels))
    assert loss.item() == pytest.approx(read(digits).metrics["test"]["loss"], rel=1e-5)


def test_the_network_is_ready_to_predict_and_keeps_its_masks(digits: Path) -> None:
    network = rarefy.load_run(str(digits / "record.json"))
    assert not any(module.training for module in network.model.modules())
    assert network.sparsity.kept == network.record.params.kept
    assert network.class_names == tuple("0123456789")
    assert network.shape == (1, 8, 8)


def test_preprocessing_is_the_training_data_s(digits: Path) -> None:
    network = rarefy.load_run(digits)
    images = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), dtype=np.uint8)
    expected = (images / 255 - network.spec.mean[0]) / network.spec.std[0]
    for same in (images, torch.from_numpy(images), images[:, 0], images.transpose(0, 2, 3, 1)):
        np.testing.assert_allclose(network.preprocess(same).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert network.preprocess(images[0]).shape == (1, 1, 8, 8)
    locked = images.copy()
    locked.setflags(write=False)
    assert torch.equal(network.predict(locked[::-1]), network.predict(images[::-1].copy()))


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 1, 8, 8), np.float32),
        np.zeros((2, 1, 8, 9), np.uint8),
        np.zeros((2, 3, 8, 8), np.uint8),
        np.zeros((8,), np.uint8),
        torch.zeros(1, 2, 1, 8, 8, dtype=torch.uint8),
    ],
)
def test_other_images_are_refused(images: Any, digits: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        rarefy.load_run(digits).preprocess(images)
    assert caught.value.name == "images"
    assert caught.value.value in (images.dtype, tuple(images.shape))


def test_the_data_set_need_not_be_there(tmp_path: Path) -> None:
    for name in [f"{part}/{kind}/{n}.png" for part in ("train", "val") for kind in ("cat", "dog") for n in range(4)]:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 9), "red" if "cat" in name else "blue").save(tmp_path / "data" / name)
    options = {"name": "imagenet", "resolution": 8, "valid_split": 0.2}
    folder = train(tmp_path / "runs", options, tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / "away")
    network = rarefy.load_run(folder)
    assert (network.class_names, network.shape, network.spec.resize) == (("cat", "dog"), (3, 8, 8), "crop")
    change(folder, spec=None)  # as of older versions
    with pytest.raises(RunError, match="data_dir=DIR"):
        rarefy.load_run(folder)
    assert rarefy.load_run(folder, data_dir=tmp_path / "away").spec == network.spec


def test_an_older_record_takes_the_constants_of_its_data_set(copy: Path) -> None:
    spec = rarefy.load_run(copy).spec
    change(copy, spec=None)
    assert rarefy.load_run(copy).spec == spec


def test_the_record_has_every_field_of_the_spec() -> None:
    spec = Spec("dots", 2, 1, 8, 8, (0.5,), (0.25,), ("no", "yes"), resize="crop", columns=("a",))
    assert DataSpec(**vars(spec)).model_dump() == vars(spec)


@pytest.mark.parametrize("folder", PUBLISHED, ids=lambda folder: folder.name)
def test_published_runs_load(folder: Path) -> None:
    network = rarefy.load_run(folder)
    assert network.sparsity.kept == network.record.params.kept
    assert network.class_names[3] == "cat"
    assert network.predict(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).sum(1).tolist() == pytest.approx([1, 1])


def test_published_runs_classify_real_images(real_data: Path) -> None:
    with (real_data / "cifar-10-batches-py" / "test_batch").open("rb") as file:
        batch = pickle.load(file, encoding="latin1")
    images = batch["data"].reshape(-1, 3, 32, 32)[:500]
    right = rarefy.load_run(PUBLISHED[0]).predict(images).argmax(1).numpy() == batch["labels"][:500]
    assert right.mean() > 0.84


def test_it_travels_between_processes_and_threads(digits: Path) -> None:
    network = rarefy.load_run(digits)
    images = read_test_digits()[0][:16]
    expected = network.predict(images)
    again = pickle.loads(pickle.dumps(network))
    assert torch.equal(again.predict(images), expected)
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(result, expected) for result in pool.map(network.predict, [images] * 8))


@pytest.mark.slow
def test_it_compiles(digits: Path) -> None:
    network = rarefy.load_run(digits)
    images = network.preprocess(read_test_digits()[0][:16])
    compiled = rarefy.compile_inference(network.model, images)
    torch.testing.assert_close(compiled(images), network.model(images), rtol=1e-4, atol=1e-4)


def test_a_forked_process_predicts(digits: Path) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    network = rarefy.load_run(digits)
    images = np.random.default_rng(0).integers(0, 256, (512, 1, 8, 8), dtype=np.uint8)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # OpenMP starts threads that a fork does not have
    try:
        torch.ones(4096, 4096).sum()
        expected = network.predict(images)
        child = multiprocessing.get_context("fork").Process(target=_require_equal, args=(network, images, expected))
        child.start()
        child.join(60)
        code = child.exitcode
        child.kill()
    finally:
        torch.set_num_threads(threads)
    assert code == 0


def _require_equal(network: Any, images: np.ndarray, expected: torch.Tensor) -> None:
    assert torch.allclose(network.predict(np.concatenate([images] * 200))[:512], expected, atol=1e-6)


def break_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def take_other_weights(folder: Path) -> None:
    change(folder, masks=json.loads((folder / "record.json").read_text())["masks"] | {"checksum": "00ff"})


def lose_record(folder: Path) -> None:
    (folder / "record.json").unlink()


def lose_everything(folder: Path) -> None:
    shutil.rmtree(folder)


def empty(folder: Path) -> None:
    lose_everything(folder)
    folder.mkdir()


@pytest.mark.parametrize(
    ("damage", "kind", "words"),
    [
        (lose_everything, MissingFile, "There is no run"),
        (break_weights, MissingFile, "its weights are missing"),
        (take_other_weights, RunError, "belongs to another run"),
        (lose_record, RunError, "is not finished: 4 epoch"),
        (empty, RunError, "has no record.json"),
    ],
)
def test_what_is_not_a_finished_run(copy: Path, damage: Callable[[Path], None], kind: type, words: str) -> None:
    damage(copy)
    with pytest.raises(kind, match=words) as caught:
        rarefy.load_run(copy)
    assert str(copy) in str(caught.value)


def test_a_folder_of_runs_names_them(copy: Path) -> None:
    with pytest.raises(RunError, match=r"holds 1 finished run\(s\)") as caught:
        rarefy.load_run(copy.parent)
    assert str(copy) in str(caught.value)
    lose_record(copy)
    with pytest.raises(RunError, match="has begun"):
        rarefy.load_run(copy.parent)
    with pytest.raises(RunError, match="is a file"):
        rarefy.load_run(copy / "config.yaml")


def test_published_networks_have_names() -> None:
    published = list_published()
    assert set(PUBLISHED) == set(published.values())
    first = rarefy.load_run("cifar10/resnet20-erk-0.1")
    assert (first.config.model.name, first.config.allocation.name) == ("cifar_resnet_20_16", "erk")
    assert first.folder == published["cifar10/resnet20-erk-0.1-seed17"]
    assert rarefy.load_run("cifar10/resnet20-erk-0.1-seed18").config.seed == 18
    with pytest.raises(MissingFile, match=r"cifar10/resnet20-erk-0\.1"):
        rarefy.load_run("cifar10/resnet20-erk-0.11")


def test_a_folder_comes_before_a_published_network(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(digits, tmp_path / "cifar10" / "resnet20-erk-0.1")
    monkeypatch.chdir(tmp_path)
    assert rarefy.load_run("cifar10/resnet20-erk-0.1").record == read(digits)

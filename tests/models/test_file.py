"""Networks of one's own in a Python file."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from rarefy.errors import InvalidInput, MissingFile, PluginError, UnknownOption
from rarefy.models import ModelFileChanged, build, parse, require_allowed

NET = """
from torch import nn
from torch.nn import functional


class Net(nn.Module):
    def __init__(self, in_channels, num_classes, size, width=8, name="x"):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width * size[0] * size[1], num_classes)
        self.kind = name

    def forward(self, images):
        return self.head(functional.relu(self.norm(self.conv(images))).flatten(1))


def make(classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))


def needs(depth, classes):
    return make(classes)


def returns_text(classes):
    return "no network"


def too_few(classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes - 1))


def fails(classes):
    raise RuntimeError("of its own")


def takes_any(**options):
    return Net(3, 4, (6, 6), **options)


_hidden = make
READY = nn.Flatten()
"""
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes net.py into the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAREFY_CACHE", str(tmp_path / "cache"))

    def build(text: str = NET) -> Path:
        Path("net.py").write_text(text)
        return Path("net.py")

    return build


def made(name: str, seed: int = 17) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    return build(parse(name), in_channels=3, classes=4, size=(6, 6), generator=generator)


def test_a_class_is_built_for_the_data(write: Write) -> None:
    write()
    net = made("net.py:Net")
    assert net.training
    assert net(torch.rand(2, 3, 6, 6)).shape == (2, 4)
    assert net.norm.num_batches_tracked == 1  # type: ignore[union-attr]  # by this call, not by the trial
    assert made("net.py:make")(torch.rand(2, 3, 6, 6)).shape == (2, 4)


def test_weights_follow_the_seed(write: Write) -> None:
    write()
    weights = [made("net.py:Net", seed).conv.weight for seed in (17, 17, 18)]  # type: ignore[union-attr]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_other_arguments_follow_the_name(write: Write) -> None:
    write()
    model = parse("net.py:Net:width=3:name=wide")
    net = model(3, 4, (6, 6))
    assert (net.conv.out_channels, net.kind) == (3, "wide")  # type: ignore[union-attr]
    assert made("net.py:takes_any:width=5").conv.out_channels == 5  # type: ignore[union-attr]


def test_the_canonical_name_holds_the_content_of_the_file(write: Write) -> None:
    file = write()
    model = parse("net.py:Net:width=3")
    assert model.name == f"net.py:Net:width=3@{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
    assert parse(model.name) == model
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert parse("net.py:Net:width=3") == model
    write(NET.replace("3, padding=1", "1"))
    assert parse("net.py:Net:width=3").name != model.name
    with pytest.raises(ModelFileChanged) as caught:
        parse(model.name)
    assert (caught.value.known, caught.value.path) == (model.name[-12:], Path("net.py"))


def test_a_changed_file_is_imported_again(write: Write) -> None:
    write()
    assert made("net.py:Net").conv.kernel_size == (3, 3)  # type: ignore[union-attr]
    write(NET.replace("3, padding=1", "1"))
    assert made("net.py:Net").conv.kernel_size == (1, 1)  # type: ignore[union-attr]


def test_modules_next_to_the_file_are_found(write: Write, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "rarefy_test_blocks.py").write_text("from torch import nn\nHead = nn.LazyLinear\n")
    (tmp_path / "inner" / "net.py").write_text(
        "from torch import nn\ndef make(classes):\n    from rarefy_test_blocks import Head\n"
        "    return nn.Sequential(nn.Flatten(), Head(classes))\n"
    )
    assert made("inner/net.py:make")(torch.rand(1, 3, 6, 6)).shape == (1, 4)


def test_a_network_can_be_pickled_to_other_processes_of_this_machine(write: Write) -> None:
    write()
    assert pickle.loads(pickle.dumps(made("net.py:Net"))).conv.out_channels == 8


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("nowhere.py:Net", MissingFile, "no file nowhere.py"),
        ("net.py", UnknownOption, "net.py:Net, net.py:make"),
        ("net.py:Nett", UnknownOption, "Did you mean 'Net'"),
        ("net.py:READY", UnknownOption, "no class or function 'READY'"),
        ("net.py:Net:depth=3", UnknownOption, "no parameter 'depth'. It has: in_channels"),
        ("net.py:Net:width", UnknownOption, "name=value"),
        ("net.py:needs", UnknownOption, "net.py:needs:depth=..."),
        ("net.py:returns_text", PluginError, "returned str"),
        ("net.py:too_few", PluginError, r"returns \[2, 3\] for images \[2, 3, 6, 6\]"),
        ("net.py:fails", PluginError, r"net.py, line 35: fails\(classes=4\) raised RuntimeError: of its own"),
        ("net.py:Net:width=abc", PluginError, "raised TypeError"),
    ],
)
def test_what_cannot_be_built_is_refused(name: str, error: type[Exception], message: str, write: Write) -> None:
    write()
    with pytest.raises(error, match=message):
        made(name)


@pytest.mark.parametrize(("text", "line"), [("a = 1\nb = a + c\n", 2), ("a = 1\n\nb = (\n", 3)])
def test_a_file_that_cannot_be_imported_says_where(text: str, line: int, write: Write) -> None:
    write(text)
    with pytest.raises(PluginError, match=rf"net\.py, line {line}: its import raised"):
        parse("net.py:Net")


def test_code_of_a_record_runs_only_after_the_user_has_named_it(write: Write, tmp_path: Path) -> None:
    write(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n{NET}")
    with pytest.raises(InvalidInput, match=r"rarefy densities net\.py:Net"):
        require_allowed("net.py:Net@0123456789ab")
    assert not (tmp_path / "ran").exists()
    name = parse("net.py:Net").name
    assert (tmp_path / "ran").exists()
    require_allowed(name)
    write()
    with pytest.raises(InvalidInput):
        require_allowed(name)

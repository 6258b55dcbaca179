"""Help, spellings and exit codes."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

import pytest
import typer

import rarefy as package
from rarefy import records
from rarefy.allocation import ALLOCATIONS
from rarefy.cli import main
from rarefy.errors import InvalidInput
from rarefy.flags import FLAGS

COMMANDS = ("report", "train", "eval", "compare", "densities", "runs", "bench")


def test_help_names_every_command(rarefy):
    done = rarefy("--help")
    assert done.code == 0
    assert "Usage: rarefy" in done.out
    assert all(f"\n  {command} " in done.out for command in COMMANDS)


def test_no_arguments_show_the_help(rarefy):
    done = rarefy("")
    assert "Usage: rarefy" in done.out + done.err
    assert done.code in (0, 2)


def test_version(rarefy):
    done = rarefy("--version")
    assert (done.code, done.out.strip()) == (0, package.__version__)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(rarefy, command):
    done = rarefy(f"{command} --help")
    assert done.code == 0
    assert f"Usage: rarefy {command}" in done.out
    assert done.out.count(f"rarefy {command}") >= 2


def test_train_s_help_names_every_flag_and_every_method(rarefy, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERMINAL_WIDTH", "200")
    text = rarefy("train --help").out
    assert [name for flag in FLAGS if not flag.no_effect for name in flag.names if name not in text] == []
    assert [flag.name for flag in FLAGS if flag.no_effect and flag.names[0] in text] == []
    words = text.replace(",", " ").replace(".", " ").split()
    for method in ("erk_plus", "snip", "synflow", "cifar100", "synthetic", "masked"):
        assert method in words
    assert "{" not in text


def test_train_s_help_has_sections_and_defaults(rarefy):
    lines = rarefy("train --help").out.splitlines()
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Arguments:", "Data:", "Model:", "Sparsity:", "Training:", "Hardware:", "Output:"]
    for flag, heading, default in (
        ("--data ", "Data:", "[default: digits]"),
        ("--density ", "Sparsity:", "[default: 0.05]"),
        ("--lr ", "Training:", "[default: 0.1]"),
        ("--weight-decay", "Training:", "[default: 0.0005]"),
        ("--bf16 ", "Hardware:", ""),
        ("--out", "Output:", "[default: runs]"),
        ("--resolution", "Data:", ""),
    ):
        (place,) = (number for number, line in enumerate(lines) if line.lstrip().startswith(flag))
        above = [line for line in lines[:place] if line in headings]
        words = " ".join(" ".join(lines[place : place + 4]).split())
        assert above[-1] == heading, flag
        assert default in words, flag


def test_a_flag_without_effect_is_hidden_and_accepted(rarefy):
    assert "--local-rank" not in rarefy("train --help").out
    assert "--local-rank" not in rarefy("find-density --help").out
    done = rarefy("train --model mlp_8 --local-rank 0 --print-config")
    assert (done.code, "torchrun tells each process its rank" in done.err) == (0, True)


def test_an_unknown_command_or_flag_exits_2_without_a_traceback(rarefy):
    for words in ("trian", "train --sparce", "densities"):
        done = rarefy(words)
        assert done.code == 2
        assert "Error" in done.err
        assert "Traceback" not in done.err
        assert done.out == ""


@pytest.mark.parametrize(
    "word", ["--lr=fast", "--epochs=1.5", "--density=much", "--threads=0", "--checkpoint-seconds=-1"]
)
def test_a_value_of_the_wrong_kind_exits_2_and_is_named(rarefy, word):
    done = rarefy("train", word)
    assert done.code == 2
    assert word.split("=")[0] in done.err
    assert "Traceback" not in done.err


@pytest.fixture
def raising(monkeypatch):
    """Makes ``rarefy runs`` end in an error, from a line that is not ours."""

    def set_up(error: BaseException) -> None:
        def broken(*args: object) -> None:
            raise error

        monkeypatch.setattr("rarefy.records.find", broken)
        monkeypatch.setattr("rarefy.registry._plugins._PLUGINS", {})  # other tests are packages that register methods

    return set_up


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ValueError("a bug"), KeyError("a bug"), ImportError("a bug")])
def test_a_fault_of_ours_keeps_its_traceback(raising, error, tmp_path):
    """An uncaught exception is exit code 1 and a traceback; a ValueError that no room raised on purpose is one."""
    raising(error)
    with pytest.raises(type(error), match="a bug"):
        main(["runs", str(tmp_path)])


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied", "runs"), OSError(28, "No space left on device")]
)
def test_the_machine_s_refusal_is_a_sentence(raising, rarefy, error, tmp_path):
    raising(error)
    assert error.strerror in rarefy("runs", tmp_path).sentence


def test_ctrl_c_exits_130(raising, rarefy, tmp_path):
    raising(KeyboardInterrupt())
    done = rarefy("runs", tmp_path)
    assert done.code == 130
    assert "Traceback" not in done.err


def test_a_command_may_choose_its_exit_code(raising, rarefy, tmp_path):
    raising(typer.Exit(130))
    assert rarefy("runs", tmp_path).code == 130


PLUGIN = """
import dataclasses, json
from rarefy.allocation import ALLOCATIONS

@ALLOCATIONS.register("theirs")
@dataclasses.dataclass(frozen=True)
class Theirs:
    broken: bool = False

    def __call__(self, shapes, density):
        if self.broken:
            json.loads("{")
        raise ValueError(f"theirs wants even densities; got {density}")
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An allocation of another package; gone afterwards."""
    (tmp_path / "their_package.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(ALLOCATIONS, "_methods", dict(ALLOCATIONS._methods))
    importlib.import_module("their_package")
    yield
    del sys.modules["their_package"]


def test_a_plug_in_s_own_error_is_a_sentence_with_its_name(rarefy, plugin):
    said = rarefy("densities mlp_10 --sparse-init theirs").sentence
    assert "'theirs'" in said
    assert "theirs wants even densities; got" in said


def test_what_breaks_inside_a_plug_in_keeps_its_traceback(plugin):
    with pytest.raises(json.JSONDecodeError):
        main(["densities", "mlp_10", "--sparse-init", "theirs", "--set", "allocation.broken=true"])


def test_an_error_of_ours_is_a_sentence_wherever_it_was_raised(raising, rarefy, tmp_path):
    """What decides is the class: this one is raised from a line of the test's."""
    raising(InvalidInput("k must be at least 1; got 0"))
    said = rarefy("runs", tmp_path).sentence
    assert said.splitlines() == ["k must be at least 1; got 0", f"Given: rarefy runs {tmp_path}"]


def test_a_value_error_that_a_line_of_ours_raises_is_a_fault(monkeypatch, tmp_path):
    """A line that starts with `raise` proves nothing: the class is not ours."""
    code = compile("def broken(*args):\n    raise ValueError('a bug')", records.__file__, "exec")
    names = {"__name__": "rarefy.records"}
    exec(code, names)
    monkeypatch.setattr("rarefy.records.find", names["broken"])
    with pytest.raises(ValueError, match="a bug"):
        main(["runs", str(tmp_path)])


@pytest.fixture
def plugin_file(tmp_path, monkeypatch):
    """A file that registers an allocation; everything that loading it changes is restored."""
    text = PLUGIN.replace("theirs", "halves").replace(
        "        raise", "        return {n: 1 for n in shapes}\n        raise"
    )
    (tmp_path / "mine.py").write_text(text)
    monkeypatch.setattr(ALLOCATIONS, "_methods", dict(ALLOCATIONS._methods))
    monkeypatch.setattr("rarefy.registry._plugins._LOADED_NAMES", {})
    monkeypatch.setenv("RAREFY_PLUGINS", "")
    yield tmp_path / "mine.py"
    sys.modules.pop("rarefy_plugin_mine", None)


def test_a_method_from_a_file_is_in_the_help(rarefy, plugin_file):
    assert "halves" not in rarefy("train --help").out
    assert "halves" in rarefy("train --plugin", plugin_file, "--help").out
    assert os.environ["RAREFY_PLUGINS"] == str(plugin_file), "child processes load it, too"
    assert ALLOCATIONS.get("halves").__name__ == "Theirs"


def test_a_method_from_a_file_is_unknown_without_it(rarefy, plugin_file):
    assert "'halves'" in rarefy("densities mlp_10 --sparse-init halves").sentence


def test_an_entry_point_is_in_the_help_without_being_loaded(rarefy, monkeypatch):
    class Point:
        name = "from_a_package"

    monkeypatch.setattr(
        "importlib.metadata.entry_points", lambda *, group: [Point()] if group == "rarefy.drops" else []
    )
    assert "from_a_package" in rarefy("train --help").out


@pytest.mark.parametrize("content", [None, "import no_such_package", "1 +"])
def test_a_plugin_file_that_cannot_be_loaded_is_named(rarefy, tmp_path, content):
    file = tmp_path / "broken.py"
    if content:
        file.write_text(content)
    assert str(file) in rarefy("densities mlp_10 --plugin", file).sentence


@pytest.mark.parametrize("words", ["train --help", "runs runs", "compare runs", "report runs"])
def test_what_reads_records_imports_no_torch(train, tmp_path, words):
    for options in ("", "--sparse --fix --density 0.5"):
        assert train(options).code == 0
    code = (
        "import sys; from rarefy.cli import main\n"
        f"try: main({words.split()!r})\nexcept SystemExit as stop: assert not stop.code\n"
        "print('imported:', sorted({'torch', 'sklearn', 'pandas', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=True
    )
    assert done.stdout.rstrip().endswith("imported: []")

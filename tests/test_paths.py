"""Files of a run: their names, and a replacement that is whole or did not happen."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rarefy.paths import RunPaths, find_run_folders, remove_partial_files, replace_file


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "record.json"
    path.write_text("old")
    return path


@pytest.fixture
def umask():
    """Sets the process's mask for new files and puts it back."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def test_the_files_of_a_run_have_the_documented_names():
    paths = RunPaths(Path("runs/3f2a"))
    names = {name: getattr(paths, name).name for name in vars(RunPaths) if isinstance(vars(RunPaths)[name], property)}
    assert names == {
        "config": "config.yaml",
        "record": "record.json",
        "damaged_record": "record.damaged.json",
        "history": "history.jsonl",
        "checkpoint": "last.ckpt",
        "engine": "engine.json",
        "model": "model.safetensors",
        "log": "log.txt",
        "evaluation": "evaluation.html",
        "failure": "failure.txt",
        "tensorboard": "tensorboard",
        "lock": ".lock",
    }
    assert all(getattr(paths, name).parent == paths.folder for name in names)


def test_what_runs_share_is_beside_their_folders(tmp_path: Path):
    paths = RunPaths(tmp_path / "3f2a")
    assert paths.mlflow_store() == tmp_path / "mlflow.db"
    assert paths.wandb_runs() == []
    for name in ("offline-run-2-3f2a", "offline-run-1-3f2a", "offline-run-1-77de", "run-1-3f2a"):
        (tmp_path / "wandb" / name).mkdir(parents=True)
    assert [folder.name for folder in paths.wandb_runs()] == ["offline-run-1-3f2a", "offline-run-2-3f2a"]


def test_run_folders_hold_a_record_and_are_sorted(tmp_path: Path):
    for name in ("b", "a", "unfinished", "deep/er"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("b", "a", "deep/er"):
        RunPaths(tmp_path / name).record.touch()
    assert find_run_folders(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert find_run_folders(tmp_path / "a") == [tmp_path / "a"]
    assert find_run_folders(tmp_path / "unfinished") == []


def test_a_new_file_appears_with_its_folders_and_nothing_else(tmp_path: Path):
    target = tmp_path / "runs" / "3f2a" / "record.json"
    with replace_file(target) as partial:
        partial.write_text("new")
        assert not target.exists(), "nothing is in place before it is whole"
    assert target.read_text() == "new"
    assert files(target.parent) == ["record.json"]


def test_an_old_file_stays_until_the_new_one_is_whole(old: Path):
    with replace_file(old) as partial:
        partial.write_text("half")
        assert old.read_text() == "old"
    assert old.read_text() == "half"
    assert files(old.parent) == ["record.json"]


def test_the_temporary_file_is_a_neighbour_with_the_same_suffix(old: Path):
    with replace_file(old) as partial:
        assert partial.parent == old.parent
        assert partial.suffix == ".json"
        assert partial.name.startswith("."), "a glob for *.json does not see it"
        partial.write_text("new")


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_leaves_the_old_file_and_no_debris(tmp_path: Path, failure: type[BaseException], exists: bool):
    target = tmp_path / "record.json"
    if exists:
        target.write_text("old")
    with pytest.raises(failure), replace_file(target) as partial:
        partial.write_text("half")
        raise failure
    assert files(tmp_path) == (["record.json"] if exists else [])
    assert not exists or target.read_text() == "old"


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_debris(old: Path, monkeypatch: pytest.MonkeyPatch, call: str):
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*((os, "fsync", full) if call == "fsync" else (Path, "replace", full)))
    with pytest.raises(OSError, match="No space left"), replace_file(old) as partial:
        partial.write_text("half")
    assert old.read_text() == "old"
    assert files(old.parent) == ["record.json"]


def test_the_bytes_are_on_the_disk_before_the_name_changes(old: Path, monkeypatch: pytest.MonkeyPatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda handle: seen.append((os.fstat(handle).st_size, old.read_text())))
    with replace_file(old) as partial:
        partial.write_text("longer")
    assert seen == [(6, "old")]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_permissions_follow_the_umask(tmp_path: Path, umask, mask: int, mode: int):
    umask(mask)
    with replace_file(tmp_path / "record.json") as partial:
        partial.write_text("new")
    assert stat.S_IMODE((tmp_path / "record.json").stat().st_mode) == mode
    assert umask(mask) == mask, "the mask itself is as it was"


def test_two_writers_do_not_share_a_temporary_file(old: Path):
    with replace_file(old) as one:
        one.write_text("one")
        with replace_file(old) as other:
            other.write_text("other")
            assert one != other
        assert old.read_text() == "other"
    assert old.read_text() == "one"
    assert files(old.parent) == ["record.json"]


def test_a_folder_in_the_place_of_the_file_is_left_alone(tmp_path: Path):
    (tmp_path / "record.json").mkdir()
    with pytest.raises(OSError), replace_file(tmp_path / "record.json") as partial:
        partial.write_text("new")
    assert files(tmp_path) == ["record.json"]


def test_a_source_of_examples_may_be_a_path() -> None:
    found = RunPaths(Path("run")).example("my/pictures.npz:key", "missed")
    assert found == Path("run/examples/my_pictures.npz_key_missed.png")


@contextlib.contextmanager
def reader_of(fifo: Path) -> Iterator[list[bytes]]:
    """Reads a FIFO to its end beside the test."""
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(fifo.read_bytes()))
    thread.start()
    yield found
    thread.join(20)


def write(path: Path, text: str) -> None:
    with replace_file(path) as partial:
        partial.write_text(text)


def test_the_process_umask_is_never_touched(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("files made by other threads would be open to all"))
    write(old, "new")
    write(old.with_name("another.json"), "new")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o664])
def test_a_replaced_file_keeps_its_permissions(old: Path, mode: int) -> None:
    old.chmod(mode)
    with replace_file(old) as partial:
        assert stat.S_IMODE(partial.stat().st_mode) & ~mode in (0, stat.S_IWUSR), "nobody else reads it meanwhile"
        partial.write_text("new")
    assert stat.S_IMODE(old.stat().st_mode) == mode
    assert old.read_text() == "new"


def test_a_symbolic_link_stays_and_its_file_is_replaced(old: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.json"
    link.symlink_to(Path("..") / "record.json")
    (tmp_path / "second.json").symlink_to(link)
    write(tmp_path / "second.json", "new")
    assert link.is_symlink() and (tmp_path / "second.json").is_symlink()
    assert not old.is_symlink() and old.read_text() == "new"
    assert files(tmp_path / "elsewhere") == ["link.json"]
    assert files(tmp_path) == ["elsewhere", "record.json", "second.json"]


def test_a_link_to_nothing_makes_the_file_it_names(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "new" / "file.json")
    write(tmp_path / "link.json", "new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "new" / "file.json").read_text() == "new"


def test_links_in_a_circle_are_an_error_that_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OSError) as error:
        write(tmp_path / "a", "new")
    assert error.value.errno == errno.ELOOP
    assert (tmp_path / "a").is_symlink() and (tmp_path / "b").is_symlink()


def test_a_pipe_with_a_name_is_written_into(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "link.csv").symlink_to("pipe.csv")
    for name in ("pipe.csv", "link.csv"):
        with reader_of(tmp_path / "pipe.csv") as found:
            write(tmp_path / name, f"a,{name}")
        assert found == [f"a,{name}".encode()]
    assert (tmp_path / "pipe.csv").is_fifo() and (tmp_path / "link.csv").is_symlink()
    assert files(tmp_path) == ["link.csv", "pipe.csv"]


def test_a_failure_writes_nothing_into_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")  # nobody reads: opening it would block
    with pytest.raises(ValueError), replace_file(tmp_path / "pipe.csv") as partial:
        partial.write_text("half")
        raise ValueError
    assert (tmp_path / "pipe.csv").is_fifo()


def test_a_device_is_written_into(tmp_path: Path) -> None:
    """A terminal of the test's own: writers that replaced it could break nothing (and never a device of the system)."""
    controller, terminal = os.openpty()
    (tmp_path / "link").symlink_to(os.ttyname(terminal))
    try:
        for path in (Path(os.ttyname(terminal)), tmp_path / "link"):
            write(path, "new")
            assert os.read(controller, 100) == b"new"
            assert path.is_char_device()
    finally:
        os.close(controller)
        os.close(terminal)


def test_a_full_disk_is_told_with_the_name_of_the_file(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fill)
    with pytest.raises(OSError) as error:
        write(old, "new")
    assert error.value.filename == str(old)


_PRINTS = """
import sys
from pathlib import Path
from rarefy.paths import replace_file
print("before")
with replace_file(Path(sys.argv[1])) as partial:
    partial.write_text("table\\n")
print("after")
"""


@pytest.mark.parametrize("end", ["/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("to_file", [True, False])
def test_the_standard_output_gets_the_bytes_in_their_turn(tmp_path: Path, end: str, to_file: bool) -> None:
    name = tmp_path / "stdout"  # as /dev/stdout is; the system's own is not put at risk
    name.symlink_to(end)
    with (tmp_path / "out.txt").open("w+") as file:
        words = [sys.executable, "-c", _PRINTS, str(name)]
        done = subprocess.run(words, stdout=file if to_file else subprocess.PIPE, check=True, text=True)
        file.seek(0)
        assert (file.read() if to_file else done.stdout) == "before\ntable\nafter\n"
    assert files(tmp_path) == ["out.txt", "stdout"]
    assert name.is_symlink()


def test_partial_files_of_killed_writers_go_and_nothing_else_does(tmp_path: Path) -> None:
    """Written as a killed `replace_file` leaves them, and as versions before it did."""
    kept = [
        "last.ckpt",
        ".lock",
        ".my-notes.txt",
        ".failure-00112233445566ff.txt",
        "model-00112233445566ff.safetensors",
    ]
    for name in [*kept, ".last-a1b2c3d4.ckpt"]:
        (tmp_path / name).touch()
    targets = (RunPaths(tmp_path).checkpoint, RunPaths(tmp_path).model, tmp_path / "curves.png")
    killed = [replace_file(target) for target in targets]  # kept, and never left
    for writing in killed:
        writing.__enter__().write_text("half")
    remove_partial_files(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)

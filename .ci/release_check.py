"""Rehearses a release: installs the wheel in an empty environment and runs the README there, from top to bottom.

    make release-check          (python .ci/release_check.py)

Blocks that README marks as skipped (they need data or install something) are left out.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = "pandas"


def install(wheel: Path, folder: Path) -> Path:
    """Makes an environment, installs the wheel and returns the folder of its programs."""
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    python, uv = str(programs / "python"), Path(sys.executable).parent / "uv"
    pip = [str(uv), "pip", "install", "--python", python] if uv.is_file() else [python, "-m", "pip", "install"]
    command = [*pip, "-q", "-c", str(ROOT / "constraints.txt"), f"rarefy[{EXTRAS}] @ {wheel.as_uri()}"]
    subprocess.run(command, check=True)
    return programs


def run_page(page: Path, programs: Path, folder: Path) -> int:
    """Runs a page's blocks in an empty folder; returns how many there were."""
    read_blocks = runpy.run_path(str(ROOT / "docs" / "_ext" / "page_blocks.py"))["read_blocks"]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    count = 0
    for block in read_blocks(page):
        if block.kind not in ("bash", "python") or "skip" in block.marks:
            continue
        start = time.monotonic()
        print(f"== {page.name}:{block.line}\n{block.text}", flush=True)
        command = ["bash", "-euo", "pipefail", "-c"] if block.kind == "bash" else [str(programs / "python"), "-c"]
        subprocess.run([*command, block.text], cwd=folder, env=environment, check=True)
        print(f"== done in {time.monotonic() - start:.0f} s", flush=True)
        count += 1
    return count


def main() -> None:
    """Checks the wheel in dist."""
    (wheel,) = (ROOT / "dist").glob("*.whl")
    with tempfile.TemporaryDirectory() as name:
        programs, work = install(wheel, Path(name) / "environment"), Path(name) / "work"
        work.mkdir()
        count = run_page(ROOT / "README.md", programs, work)
    print(f"{wheel.name}: {count} blocks of README ran in an environment of its own")


if __name__ == "__main__":
    main()

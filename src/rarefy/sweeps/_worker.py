"""``python -m rarefy.sweeps._worker JOB``: what `local` starts for a run; its exit code says how it ended."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rarefy.sweeps._door import Job
from rarefy.sweeps._exits import CODES
from rarefy.sweeps._work import work


def main(text: str) -> int:
    """Works on a job given as JSON; last words go to stderr."""
    given = json.loads(text)
    parent = given.pop("parent")
    end = work(Job(**given | {"folder": Path(given["folder"]), "data_dir": Path(given["data_dir"])}), parent=parent)
    sys.stderr.write(end.words)
    return CODES[end.kind]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

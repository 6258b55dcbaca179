"""Programs that tests here start are no test modules."""

from __future__ import annotations

collect_ignore = ["cases_data.py", "files_data.py", "hostile_data.py"]

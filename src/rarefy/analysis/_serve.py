"""Serves the page of what is being trained, and the report of finished runs, on this machine only."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.server
import threading
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from rarefy.analysis._collect_study import collect_study
from rarefy.analysis._finished import CompareError
from rarefy.analysis._live import read_answer, read_live_runs, read_live_sweeps
from rarefy.errors import RarefyError
from rarefy.paths import RunPaths, find_run_folders
from rarefy.reports import Section, render_live, render_report

HOST = "127.0.0.1"
_KINDS = {
    ".html": "text/html; charset=utf-8", ".csv": "text/csv; charset=utf-8", ".png": "image/png",
    ".svg": "image/svg+xml", ".pdf": "application/pdf",
}  # fmt: skip


@dataclasses.dataclass
class LivePages:
    """The pages of a server: ``/`` is what is being trained, ``/report.html`` the report of finished runs.

    Both are made again as files of the runs change.

    Args:
        paths: Folders of runs, or folders that hold such folders.
        folder: Where the report is written.
        margin: Equivalence margin in percentage points.
        baseline: The baseline, as for `compare_runs`.

    Raises:
        CompareError: If a folder does not exist.

    Example:
        >>> LivePages([Path("nowhere")], Path("out"))
        Traceback (most recent call last):
        ...
        rarefy.analysis._finished.CompareError: There is no folder nowhere. Give folders of runs, or that hold them.
    """

    paths: Sequence[Path]
    folder: Path
    margin: float = 0.5
    baseline: str = "dense"

    def __post_init__(self) -> None:
        for path in self.paths:
            if not path.is_dir():
                raise CompareError(f"There is no folder {path}. Give folders of runs, or that hold them.")
        self._live, self._report = threading.Lock(), threading.Lock()
        self._answered: tuple[object, Section | None] = (None, None)
        self._reported: object = None

    def read(self, address: str) -> bytes | None:
        """Reads the page or file of an address; None if there is none.

        Args:
            address: Its path, such as ``/``, ``/report.html`` or ``/report_files/runs.csv``.
        """
        if address == "/":
            with self._live:
                return self._render_live().encode()
        parts = PurePosixPath(address).parts[1:]
        with self._report:
            if parts == ("report.html",):
                self._write_report()
            elif len(parts) != 2 or parts[0] != "report_files" or ".." in parts:
                return None
            path = self.folder.joinpath(*parts)
            return path.read_bytes() if path.is_file() else None

    def _find_records(self) -> tuple[tuple[str, int], ...]:
        folders = [folder for path in self.paths for folder in find_run_folders(path)]
        return tuple((str(folder), RunPaths(folder).record.stat().st_mtime_ns) for folder in folders)

    def _render_live(self) -> str:
        records = self._find_records()
        if self._answered[0] != records:
            self._answered = records, read_answer(self.paths, self.margin, self.baseline) if records else None
        runs = read_live_runs(self.paths)
        sweeps = read_live_sweeps(self.paths, runs)
        title = sweeps[0].title if len(sweeps) == 1 else ", ".join(path.name or str(path) for path in self.paths)
        report = "report.html" if records else ""
        return render_live(title, sweeps, runs, answer=self._answered[1], report=report)

    def _write_report(self) -> None:
        """Writes the report if records have changed; without finished runs there is none."""
        records = self._find_records()
        if records and self._reported != records:
            study = collect_study(self.paths, margin=self.margin, baseline=self.baseline)
            render_report(study, self.folder / "report.html")
            self._reported = records


class LiveServer(http.server.ThreadingHTTPServer):
    """Serves pages to programs on this machine; others cannot reach it.

    Args:
        pages: The pages.
        port: The port; 0: any that is free.

    Raises:
        OSError: If the port is in use.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with LiveServer(LivePages([folder], folder), 0) as server:
        ...     server.address.startswith("http://127.0.0.1:")
        True
    """

    daemon_threads = True

    def __init__(self, pages: LivePages, port: int) -> None:
        super().__init__((HOST, port), _Handler)
        self.pages = pages

    @property
    def address(self) -> str:
        """The address of its first page."""
        return f"http://{HOST}:{self.server_port}/"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: LiveServer

    def do_GET(self) -> None:
        """Answers a request, unless whoever sent it has left."""
        with contextlib.suppress(ConnectionError):
            self._answer()

    def _answer(self) -> None:
        """Answers with a page or a file; a request that names another host comes from a foreign page and is refused."""
        host = (self.headers.get("Host") or "").partition(":")[0]
        if host not in (HOST, "localhost"):
            return self.send_error(HTTPStatus.FORBIDDEN)
        address = unquote(urlsplit(self.path).path)
        try:
            content = self.server.pages.read(address)
        except (OSError, RarefyError) as error:  # a run was removed while it was read, or a record is damaged
            return self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, explain=str(error))
        if content is None:
            return self.send_error(HTTPStatus.NOT_FOUND)
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        is_known = self.headers.get("If-None-Match") == tag
        self.send_response(HTTPStatus.NOT_MODIFIED if is_known else HTTPStatus.OK)
        self.send_header("ETag", tag)
        self.send_header("Cache-Control", "no-cache")
        if not is_known:
            suffix = PurePosixPath(address).suffix or ".html"
            self.send_header("Content-Type", _KINDS.get(suffix, "text/plain; charset=utf-8"))
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not is_known:
            self.wfile.write(content)
        return None

    def log_message(self, format: str, *args: object) -> None:
        """Prints nothing: requests are no news."""

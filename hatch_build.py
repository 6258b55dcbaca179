"""Metadata that depends on where the project is hosted: its addresses, and the links of README.

The address of the repository comes from RAREFY_REPOSITORY, or on GitHub from its own variables. A page of a package
index shows README outside the repository, so its relative links become absolute; without an address they become text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PAPER = "https://arxiv.org/abs/2202.02643"


def find_repository() -> str:
    """Finds the address of the repository; empty if it is not known."""
    address = os.environ.get("RAREFY_REPOSITORY", "")
    if not address and "GITHUB_REPOSITORY" in os.environ:
        address = f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{os.environ['GITHUB_REPOSITORY']}"
    return address.rstrip("/")


def list_urls(repository: str) -> dict[str, str]:
    """Lists the addresses of ``[project.urls]``."""
    pages = {
        "Repository": "",
        "Issues": "/issues",
        "Changelog": "/blob/main/CHANGELOG.md",
        "Documentation": "/tree/main/docs",
    }
    return ({name: repository + page for name, page in pages.items()} if repository else {}) | {"Paper": PAPER}


def make_links_absolute(text: str, repository: str) -> str:
    """Makes the relative links and pictures of a page absolute, or plain text if there is no address."""

    def replace(match: re.Match[str]) -> str:
        mark, words, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        if not repository:
            return "" if mark else words
        return f"{mark}[{words}]({repository}/{'raw' if mark else 'blob'}/main/{target})"

    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", replace, text)


class CustomMetadataHook(MetadataHookInterface):
    """Adds the addresses and the README."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling."""
        repository = find_repository()
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["urls"] = list_urls(repository)
        metadata["readme"] = {"content-type": "text/markdown", "text": make_links_absolute(text, repository)}

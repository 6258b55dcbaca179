"""Room: how masked layers compute. Door: ``install``; ``masked`` (dense kernels and zeros) is the oracle."""

from rarefy.engines._door import ENGINES, Engine, Plan, install

__all__ = ["ENGINES", "Engine", "Plan", "install"]

ENGINES.discover(__name__)

"""Initial weights of sparse layers. One file per initialiser."""

from rarefy.sparsity._initialisers._registry import INITIALISERS, Initialiser

__all__ = ["INITIALISERS", "Initialiser"]

INITIALISERS.discover(__name__)

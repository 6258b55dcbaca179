"""Redistribution rules: how many weights each layer grows. One file per rule."""

from rarefy.topology._redistributions._registry import REDISTRIBUTIONS, Redistribution

__all__ = ["REDISTRIBUTIONS", "Redistribution"]

REDISTRIBUTIONS.discover(__name__)

"""Room: several processes that train one network. Door: `joining`, which gives each of them its `World`."""

from rarefy.distributed._joining import RankLost, joining
from rarefy.distributed._world import ALONE, RanksDiffer, World, launched

__all__ = ["ALONE", "RankLost", "RanksDiffer", "World", "joining", "launched"]

"""Processes that train one network together: start, agree, report failures."""

from rarefy.distributed._process_group import RankLost, join_process_group
from rarefy.distributed._world import SINGLE_PROCESS, RanksDiffer, World, detect_world

__all__ = ["SINGLE_PROCESS", "RankLost", "RanksDiffer", "World", "detect_world", "join_process_group"]

"""Finished runs are looked at again: what `rarefy eval` does. Door: ``evaluate_runs``."""

from rarefy.run._evaluate._evaluate_runs import Progress, evaluate_runs, joint_page
from rarefy.run._evaluate._request import Request

__all__ = ["Progress", "Request", "evaluate_runs", "joint_page"]

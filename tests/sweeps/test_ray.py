"""Ray: a real cluster of two nodes, one of which is killed half-way."""

from __future__ import annotations

import os
import re

import pytest

from rarefy.registry import UnknownOption
from rarefy.sweeps import EXECUTORS, State, sweep

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own


def test_options_are_checked():
    with pytest.raises(UnknownOption, match="0 or more"):
        EXECUTORS.build("ray", gpus=-1)
    with pytest.raises(UnknownOption, match="0 or more"):
        EXECUTORS.build("ray", max_retries=-1)


@pytest.fixture
def two_nodes():
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install rarefy[ray]")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    second = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        yield cluster, second
    finally:
        ray.shutdown()
        cluster.shutdown()


def killed_half_way(cluster, second, wanted, out):
    """All statuses of a sweep during which a node is killed, and how many ran and were done at that moment."""
    seen = []

    def show(statuses):
        going = sum(status.epoch > 0 for status in statuses if status.state is State.RUNNING)
        done = sum(status.state is State.DONE for status in statuses)
        if not seen and done >= len(wanted) // 3 and going == 2:
            seen.append((going, done))
            cluster.remove_node(second, allow_graceful=False)

    return sweep(wanted, EXECUTORS.build("ray", threads=1), out=out, show=show), seen


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_node_is_killed_half_way_and_no_run_is_lost(two_nodes, longer, tmp_path):
    wanted = longer(6, epochs=150)
    found, seen = killed_half_way(*two_nodes, wanted, tmp_path)
    assert seen, "the node was killed while both worked"
    assert [status.state.value for status in found] == ["done"] * 6
    logs = [status.paths.log.read_text() for status in found]
    starts = [re.findall(r"(starting|continuing) run", log) for log in logs]
    assert sum(map(len, starts)) == 7, "one was started anew, no other"
    assert all(status.epoch == 150 for status in found)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_thirty_runs_through_two_nodes_one_of_which_is_killed(two_nodes, longer, tmp_path):
    found, seen = killed_half_way(*two_nodes, longer(30, epochs=60), tmp_path)
    assert seen
    assert [status.state.value for status in found] == ["done"] * 30
    assert len(list(tmp_path.glob("*/record.json"))) == 30


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_asked_to_stop_its_tasks_save(two_nodes, longer, tmp_path):
    going = []

    def show(statuses):
        going[:] = [status for status in statuses if status.state is State.RUNNING and status.epoch > 3]

    found = sweep(
        longer(1, epochs=100000),
        EXECUTORS.build("ray"),
        out=tmp_path,
        show=show,
        should_stop=lambda: bool(going),
    )
    assert [status.state.value for status in found] == ["stopped"]
    assert found[0].paths.checkpoint.is_file()

"""Ray: a real cluster of two nodes, one of which is killed half-way."""

from __future__ import annotations

import os
import re

import pytest

from rarefy.records import find
from rarefy.registry import UnknownOption
from rarefy.sweeps import EXECUTORS, RunState, read_sweep, sweep

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


def killed_half_way(cluster, second, wanted, out, *, epochs):
    """All statuses of a sweep during which a node is killed, and how many were done and at work at that moment."""
    seen = []

    def show(statuses):
        at_work = [status for status in statuses if status.state is RunState.RUNNING and status.epoch >= epochs]
        done = sum(status.state is RunState.DONE for status in statuses)
        if not seen and done >= len(wanted) // 2 and len(at_work) == 2:
            seen.append(done)
            cluster.remove_node(second, allow_graceful=False)

    return sweep(wanted, EXECUTORS.build("ray", workers=2, threads=1), out=out, show=show), seen


def attempts(status):
    return len(re.findall(r"(starting|continuing) run", status.paths.log.read_text()))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_node_is_killed_half_way_and_its_run_goes_on_elsewhere(two_nodes, longer, tmp_path):
    found, seen = killed_half_way(*two_nodes, longer(6, epochs=150), tmp_path, epochs=1)
    assert seen, "the node was killed while both worked"
    assert [status.state.value for status in found] == ["done"] * 6
    assert sum(map(attempts, found)) == 7, "one was started anew, no other"
    assert all(status.epoch == 150 for status in found)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_thirty_runs_through_two_nodes_one_of_which_is_killed(two_nodes, write, tmp_path):
    base = {"model": "mlp_32_32", "data": "digits", "epochs": 1, "sparse": True, "fix": True, "engine": "masked"}
    grid = {"density": [0.1, 0.3, 0.5], "sparse_init": ["uniform", "erk"], "seed": [1, 2, 3, 4, 5]}
    out = tmp_path / "runs"
    found, seen = killed_half_way(*two_nodes, read_sweep(write(base=base, grid=grid)), out, epochs=0)
    print("done when the node was killed:", seen, " attempts:", list(map(attempts, found)))
    assert 15 <= seen[0] < 30
    assert [status.state.value for status in found] == ["done"] * 30
    records = find(out)
    assert len(records) == len({record.id for record in records}) == len(list(out.iterdir())) == 30
    assert [[row.epoch for row in record.history] for record in records] == [[1]] * 30
    trained = [status.paths.log.read_text().count('epoch {"epoch": 1') for status in found]
    print("times each run was trained:", trained)
    assert max(trained) == 1, "none twice"
    assert sum(trained) >= 29, "a kill may come after an epoch was saved and before it was logged"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_asked_to_stop_its_tasks_save(two_nodes, longer, tmp_path):
    going = []

    def show(statuses):
        going[:] = [status for status in statuses if status.state is RunState.RUNNING and status.epoch > 3]

    found = sweep(
        longer(1, epochs=100000),
        EXECUTORS.build("ray"),
        out=tmp_path,
        show=show,
        should_stop=lambda: bool(going),
    )
    assert [status.state.value for status in found] == ["stopped"]
    assert found[0].paths.checkpoint.is_file()

"""Numbers of threads: what is allowed, and what a command says about the rest."""

from __future__ import annotations

import pytest

from rarefy.cores import check_threads, count_cores, limit_spinning
from rarefy.errors import InvalidInput


@pytest.mark.parametrize("threads", [0, -3, 8 * count_cores() + 1, 1_000_000, 10**30])
def test_a_number_that_no_machine_bears_is_refused_with_the_way_out(threads: int) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_threads(threads)
    assert (refused.value.name, refused.value.value) == ("threads", threads)
    assert str(8 * count_cores()) in str(refused.value)


@pytest.mark.parametrize("threads", [1, count_cores(), 8 * count_cores()])
def test_some_more_threads_than_cores_are_allowed(threads: int) -> None:
    check_threads(threads)


@pytest.mark.parametrize("own", [{"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}])
def test_how_long_threads_spin_is_the_users_choice(own: dict[str, str]) -> None:
    environment = dict(own)
    limit_spinning(environment)
    assert environment == own

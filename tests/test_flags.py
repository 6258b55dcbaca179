"""The table of flags: consistent in itself, and with the config it sets."""

from __future__ import annotations

import pytest

from rarefy.config import Config, Training
from rarefy.flags import FLAGS, Flag
from rarefy.registry import normalize_name


def test_every_spelling_belongs_to_one_flag():
    spellings = [normalize_name(spelling) for flag in FLAGS for spelling in flag.names]
    assert len(set(spellings)) == len(spellings)
    assert len({flag.name for flag in FLAGS}) == len(FLAGS)


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_a_flag_is_well_formed(flag):
    assert flag.name.isidentifier()
    assert flag.help.endswith(".")
    assert flag.kind in (bool, int, float, str)
    assert all(name.startswith("-") and "_" not in name for name in flag.names)
    head, _, rest = flag.config_path.partition(".")
    assert not head or head in Config.model_fields
    assert head != "training" or rest.split(".")[0] in Training.model_fields


@pytest.mark.parametrize(
    "spelling",
    ["--sparse", "--seed", "--sparse-init", "--fix", "--lr", "--density", "--model", "--data", "--epoch",
     "--multiplier", "--batch-size", "--l2", "--momentum", "--scaled", "--no-cuda", "--fc-density",
     "--arch", "--model-config", "-c", "-p", "--fp16", "--static-loss-scale", "--label-smoothing", "-b", "--warmup",
     "--master-port", "--local-rank"],
)  # fmt: skip
def test_the_paper_s_flags_are_there(spelling):
    assert spelling in [name for flag in FLAGS for name in flag.names]


def test_a_name_is_the_first_spelling_in_python():
    assert Flag(("--sparse-init", "-s"), "allocation.name", str, "How.").name == "sparse_init"

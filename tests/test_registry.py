"""The registry's promises, on a registry of our own, and that every room's files are found under their names."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import pkgutil
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rarefy.allocation import ALLOCATIONS
from rarefy.data import DATASETS
from rarefy.engines import ENGINES
from rarefy.evaluation import METRICS
from rarefy.models import MODELS
from rarefy.registry import (
    PluginError,
    Registry,
    UnknownName,
    UnknownOption,
    construct,
    list_file_names,
    make_unknown_error,
    normalize_name,
)
from rarefy.topology import TOPOLOGIES
from rarefy.training import OPTIMIZERS, SCHEDULES

ROOMS = {
    "allocation": ALLOCATIONS,
    "data": DATASETS,
    "engines": ENGINES,
    "evaluation/metrics": METRICS,
    "models": MODELS,
    "topology": TOPOLOGIES,
    "training/optimizers": OPTIMIZERS,
    "training/schedules": SCHEDULES,
}


@dataclasses.dataclass(frozen=True)
class Paint:
    colour: str
    layers: int = 1
    thickness: float = 0.5
    glossy: bool = False
    stripes: tuple[float, ...] = ()
    secret: int = dataclasses.field(default=7, init=False)

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise ValueError("layers must be at least 1")


@dataclasses.dataclass(frozen=True)
class Bare: ...


@dataclasses.dataclass(frozen=True)
class Theirs: ...


@pytest.fixture
def coats() -> Registry[object]:
    registry: Registry[object] = Registry("coat", "coats")
    registry.register("oil_paint")(Paint)
    registry.register("bare")(Bare)
    return registry


@given(st.text("abz19"), st.lists(st.sampled_from("-_")), st.randoms(use_true_random=False))
def test_key_ignores_case_and_separators(name, separators, random):
    letters = [random.choice((letter.lower(), letter.upper())) for letter in name] + separators
    assert normalize_name("".join(letters)) == name
    assert normalize_name(normalize_name(name)) == normalize_name(name)


@pytest.mark.parametrize("spelling", ["oil_paint", "oil-paint", "OilPaint", "OIL_PAINT", "oilpaint"])
def test_every_spelling_is_one_name(coats, spelling):
    assert coats.get(spelling) is Paint
    assert coats.build(spelling, colour="red") == Paint("red")


def test_names_are_sorted_and_spelled_as_registered(coats):
    assert coats.names() == ["bare", "oil_paint"]


@pytest.mark.parametrize("taken", ["oil_paint", "Oil-Paint"])
def test_a_taken_name_raises_and_says_by_whom(coats, taken):
    with pytest.raises(ValueError, match=r"The coat '.*' is taken by .*\.Paint\.$"):
        coats.register(taken)(Bare)
    assert coats.get("oil_paint") is Paint


def test_register_gives_the_class_back(coats):
    assert coats.register("other")(Bare) is Bare


def test_an_unknown_name_comes_with_the_nearest_and_all_known(coats):
    with pytest.raises(UnknownName) as caught:
        coats.get("OilPaintt")
    assert str(caught.value) == "Unknown coat 'OilPaintt'. Did you mean 'oil_paint'? Known: bare, oil_paint."
    assert isinstance(caught.value, ValueError)


def test_nothing_is_suggested_where_nothing_is_near():
    assert str(make_unknown_error("coat", "xyz", ["bare"])) == "Unknown coat 'xyz'. Known: bare."


def test_the_design_s_own_example():
    with pytest.raises(UnknownName, match=r"Unknown allocation 'erkk'. Did you mean 'erk'\? Known: .*erk_plus"):
        ALLOCATIONS.build("erkk")


def test_an_unknown_option_comes_with_the_nearest_and_all_options(coats):
    with pytest.raises(UnknownOption) as caught:
        coats.build("oil_paint", color="red")
    options = "colour, glossy, layers, stripes, thickness"
    expected = f"The coat 'oil_paint' has no option 'color'. Did you mean 'colour'? Its options: {options}."
    assert str(caught.value) == expected
    assert isinstance(caught.value, ValueError)


def test_a_field_that_is_not_an_argument_is_no_option(coats):
    with pytest.raises(UnknownOption, match="no option 'secret'"):
        coats.build("oil_paint", colour="red", secret=1)


def test_a_method_without_options_says_so(coats):
    with pytest.raises(UnknownOption, match="Its options: none"):
        coats.build("bare", layers=1)


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [("layers", "3", 3), ("thickness", "0.5", 0.5), ("thickness", 1, 1.0), ("glossy", "true", True),
     ("stripes", [1, "2"], (1.0, 2.0))],
)  # fmt: skip
def test_values_as_a_person_writes_them(coats, option, text, value):
    built = getattr(coats.build("oil_paint", colour="red", **{option: text}), option)
    assert built == value
    assert type(built) is type(value)


@pytest.mark.parametrize(
    ("option", "wrong"), [("layers", "many"), ("layers", 1.5), ("thickness", [1]), ("glossy", "perhaps"), ("colour", 3)]
)
def test_a_wrong_type_names_option_method_and_value(coats, option, wrong):
    with pytest.raises(UnknownOption) as caught:
        coats.build("oil_paint", **{"colour": "red", option: wrong})
    assert str(caught.value).startswith(f"Option {option!r} of the coat 'oil_paint' cannot be {wrong!r}: ")


def test_the_class_s_own_check_is_told_with_the_options(coats):
    with pytest.raises(UnknownOption, match=r"'oil_paint' cannot be built from .*'layers': 0.*: layers must be at"):
        coats.build("oil_paint", colour="red", layers=0)


def test_a_missing_option_is_named(coats):
    with pytest.raises(UnknownOption, match="'colour'"):
        coats.build("oil_paint")


def test_construct_labels_its_errors():
    with pytest.raises(UnknownOption, match="The wall 'north' has no option 'x'"):
        construct(Bare, "wall 'north'", {"x": 1})


def test_name_of_gives_the_registered_spelling(coats):
    assert coats.name_of(Paint("red")) == "oil_paint"


def test_name_of_an_unregistered_class_or_subclass_raises(coats):
    class Thinned(Paint): ...

    with pytest.raises(UnknownName, match=r"Thinned is not a registered coat. Known: bare, oil_paint\."):
        coats.name_of(Thinned("red"))


def test_discover_imports_public_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "rarefy_test_coats"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "primer.py").write_text("value = 1")
    (package / "_hidden.py").write_text("raise RuntimeError('a private file is not a method')")
    monkeypatch.syspath_prepend(tmp_path)
    Registry("coat", "coats").discover("rarefy_test_coats")
    assert {name for name in sys.modules if name.startswith("rarefy_test_coats")} == {
        "rarefy_test_coats",
        "rarefy_test_coats.primer",
    }
    for name in ("rarefy_test_coats", "rarefy_test_coats.primer"):
        monkeypatch.delitem(sys.modules, name)


class EntryPoints:
    """Stands in for what is installed: entry points, and a note of the groups that were asked for."""

    def __init__(self, **methods: type | Exception) -> None:
        self.points, self.asked = [EntryPoint(name, method) for name, method in methods.items()], []

    def __call__(self, *, group: str) -> list[EntryPoint]:
        self.asked.append(group)
        return self.points


class EntryPoint:
    def __init__(self, name: str, method: type | Exception) -> None:
        self.name, self.method, self.value, self.loaded = name, method, "their.module:Method", 0

    def load(self) -> type:
        self.loaded += 1
        if isinstance(self.method, Exception):
            raise self.method
        return self.method


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> EntryPoints:
    points = EntryPoints(theirs=Bare)
    monkeypatch.setattr(importlib.metadata, "entry_points", points)
    return points


@pytest.mark.parametrize(
    "use",
    [
        lambda registry: registry.get("theirs"),
        lambda registry: registry.names(),
        lambda registry: registry.build("Theirs"),
        lambda registry: registry.name_of(Bare()),
    ],
)
def test_other_packages_add_methods_whatever_is_asked_first(installed, use):
    registry: Registry[object] = Registry("coat", "coats")
    assert installed.asked == [], "nothing is loaded before it is needed"
    use(registry)
    assert registry.names() == ["theirs"]
    assert registry.build("theirs") == Bare()
    assert registry.name_of(Bare()) == "theirs"
    assert installed.asked == ["rarefy.coats"], "once, and from the registry's own group"


def test_another_package_cannot_take_a_name_and_is_said_to_have_tried(coats, monkeypatch, caplog):
    monkeypatch.setattr(importlib.metadata, "entry_points", EntryPoints(Bare=Paint))
    assert coats.get("bare") is Bare
    assert coats.names() == ["bare", "oil_paint"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "their.module:Method" in caplog.text


def test_a_class_that_registers_itself_may_be_an_entry_point_as_well(coats, monkeypatch, caplog):
    """The decorator runs when the entry point's module is imported, or before."""
    monkeypatch.setattr(importlib.metadata, "entry_points", EntryPoints(Oil_Paint=Paint))
    assert coats.get("oil-paint") is Paint
    assert coats.names() == ["bare", "oil_paint"]
    assert caplog.records == []


BROKEN = ModuleNotFoundError("No module named 'their_need'")


def test_a_broken_plug_in_breaks_its_own_name_alone_and_every_time(coats, monkeypatch):
    points = EntryPoints(broken=BROKEN, theirs=Theirs)
    monkeypatch.setattr(importlib.metadata, "entry_points", points)
    assert coats.get("bare") is Bare
    assert points.points[0].loaded == 0, "what is not named is not loaded"
    assert coats.get("theirs") is Theirs
    for _ in range(2):
        with pytest.raises(PluginError) as caught:
            coats.build("Broken")
        assert (caught.value.name, caught.value.plugin) == ("broken", "their.module:Method")
        assert caught.value.__cause__ is BROKEN


def test_listing_leaves_a_broken_plug_in_out_and_warns_once(coats, monkeypatch, caplog):
    monkeypatch.setattr(importlib.metadata, "entry_points", EntryPoints(broken=BROKEN, theirs=Theirs))
    for _ in range(2):
        assert coats.names() == ["bare", "oil_paint", "theirs"]
        with pytest.raises(UnknownName):
            coats.get("nothing")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "'broken'" in caplog.text
    assert "their_need" in caplog.text


def test_every_registry_has_an_entry_point_group_of_its_own():
    import rarefy

    found = {}
    for module in pkgutil.walk_packages(rarefy.__path__, "rarefy."):
        if module.name != "rarefy.__main__":
            values = vars(importlib.import_module(module.name)).values()
            found |= {id(value): value for value in values if isinstance(value, Registry)}
    groups = sorted(registry._group for registry in found.values())
    assert len(groups) >= 17
    assert len(set(groups)) == len(groups)


@pytest.mark.parametrize("room", ROOMS)
def test_files_and_registered_names_are_the_same(room):
    assert list_file_names(room) == ROOMS[room].names()


@pytest.mark.parametrize("room", ROOMS)
def test_every_method_is_a_frozen_dataclass_known_by_its_name(room):
    for name in ROOMS[room].names():
        method = ROOMS[room].get(name)
        assert dataclasses.is_dataclass(method)
        assert method.__dataclass_params__.frozen
        assert method.__module__.endswith(f".{name}")


def test_a_method_spelled_in_one_word() -> None:
    steps: Registry[object] = Registry("attack", "attacks")

    @steps.register("pgd")
    @dataclasses.dataclass(frozen=True)
    class Pgd:
        eps: float = 0.5
        steps: int = 20
        norm: str = "inf"

    assert steps.parse("PGD") == Pgd()
    assert steps.parse("pgd: steps=50 :eps=8/255") == Pgd(eps=8 / 255, steps=50)
    assert steps.parse("pgd:norm=a/b") == Pgd(norm="a/b")  # no numbers, no quotient
    with pytest.raises(UnknownOption, match=r"spelled name=value.*got '50'"):
        steps.parse("pgd:50")
    with pytest.raises(ValueError, match="'8/0' is no number"):
        steps.parse("pgd:eps=8/0")
    with pytest.raises(UnknownName, match="Did you mean 'pgd'"):
        steps.parse("pdg:steps=1")

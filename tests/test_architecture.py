"""Rules of the code base, checked on its source with ast. Each rule is a function of a tree that returns the faults.

Each runs on the source, where it must find nothing, and on small bad trees, where it must find the fault: a check that
cannot fail is worth nothing.
"""

from __future__ import annotations

import ast
import graphlib
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "rarefy"

# From the top down. A package imports only from lines below its own; packages on one line do not know each other.
LAYERS = (
    {"cli"},
    {"search"},
    {"sweeps"},
    {"benchmarking"},
    {"pipeline"},
    {"analysis"},
    {"reports"},
    {"training", "evaluation", "integrations"},
    {"engines"},
    {"sparsity"},
    {"topology", "scaling"},
    {"masks"},
    {"data", "models", "allocation", "records", "config", "statistics"},
    {
        "registry",
        "rng",
        "paths",
        "flags",
        "distributed",
        "shards",
        "eager_optimizers",
        "dispatch_modes",
        "documents",
        "cores",
    },
    {"installation"},
    {"errors"},
)
LEVEL = {package_name: level for level, packages in enumerate(LAYERS) for package_name in packages}
MAY_IMPORT_RAREFY = {
    "cli",
    "search",
    "sweeps",
    "benchmarking",
    "pipeline",
    "analysis",
}  # may use what the package itself exports: all of it comes from below them
TORCH_FREE = {
    *("errors", "installation", "documents", "registry", "flags", "config", "paths", "rng", "statistics"),
    *("records", "reports", "analysis", "cli"),
}
SLOW_TO_IMPORT = ("torch", "pandas", "sklearn", "matplotlib", "scipy", "plotly", "torchvision", "timm")
BARE_ERRORS = {
    "Exception", "ImportError", "KeyError", "LookupError", "TypeError", "ValueError", "FileNotFoundError",
}  # fmt: skip
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40

GLOBAL_STATE = {
    "torch.manual_seed",
    "torch.seed",
    "torch.set_rng_state",
    "torch.random.manual_seed",
    "torch.random.seed",
    "torch.random.set_rng_state",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
    "numpy.random.seed",
    "numpy.random.set_state",
    "random.seed",
    "random.setstate",
}
UNSAFE = {"pickle.load", "pickle.loads", "pickle.Unpickler", "joblib.load", "pandas.read_pickle"}
# (file, call) -> why it is right there. An entry that nothing needs any more fails, too.
ALLOWED: dict[tuple[str, str], str] = {
    (
        "engines/_cpu/kernels/_numba.py",
        "pickle.loads",
    ): "machine code that this user wrote into the user's own cache: owner, permissions and checksum are looked at",
    (
        "training/_context.py",
        "torch.manual_seed",
    ): "inside fork_rng: dropout knows only the global generator, which is put back",
    ("training/_train.py", "torch.manual_seed"): "inside the same fork_rng: every rank draws for its own images",
    (
        "training/_state.py",
        "torch.set_rng_state",
    ): "inside the same fork_rng: a resumed run continues dropout where it was",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Rule = Callable[[Path], list[str]]


# --- reading ----------------------------------------------------------------------------------------------------------


def files(tree: Path) -> list[Path]:
    found = sorted(tree.rglob("*.py"))
    assert found, f"no source under {tree}"
    return found


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module_of(tree: Path, path: Path) -> str:
    parts = [tree.name, *path.relative_to(tree).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module: str) -> str:
    """The package a module is in; "" for rarefy itself, whose `__init__` and `__main__` stand above all packages."""
    package_name = [*module.split("."), ""][1]
    return "" if package_name == "__main__" else package_name


def imports(tree: Path, path: Path, nodes: Iterator[ast.AST]) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything imported: `from a.b import c` is a.b.c."""
    package = module_of(tree, path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            prefix = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{prefix}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from ((node.lineno, str(a.value)) for a in node.args[:1] if isinstance(a, ast.Constant))


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is imported: not the bodies of functions, nor what only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from at_import(child)


def aliases(module: ast.Module) -> dict[str, str]:
    """What each imported name stands for in a file: np -> numpy, `from torch import load` -> torch.load."""
    names: dict[str, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {a.asname: a.name for a in node.names if a.asname}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return names


def calls(module: ast.Module) -> Iterator[tuple[ast.Call, str]]:
    """Every call with the full dotted name of what is called."""
    names = aliases(module)
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            first, dot, rest = ast.unparse(node.func).split("[")[0].partition(".")
            yield node, names.get(first, first) + dot + rest


def exported(module: ast.Module) -> list[str]:
    for node in module.body:
        if isinstance(node, ast.Assign) and "__all__" in map(ast.unparse, node.targets):
            return list(ast.literal_eval(node.value))
    return []


def code_lines(path: Path) -> set[int]:
    """Numbers of the lines that hold code: no blank line, comment or docstring."""
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type not in skipped:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(parse(path)):
        if isinstance(node, Function | ast.ClassDef | ast.Module) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return lines


# --- rules ------------------------------------------------------------------------------------------------------------


def downwards(tree: Path) -> list[str]:
    """Imports go down the layers, wherever in a file they stand, and never into another package's private module."""
    faults = []
    for path in files(tree):
        package_name = package_of(module_of(tree, path))
        if package_name and package_name not in LEVEL:
            faults.append(f"{path}: the package {package_name!r} has no place in LAYERS")
            continue
        for line, name in imports(tree, path, ast.walk(parse(path))):
            if name.split(".")[0] != tree.name:
                continue
            other = package_of(name)
            if other == package_name:
                continue
            if any(part.startswith("_") and not part.startswith("__") for part in name.split(".")):
                faults.append(f"{path}:{line}: {name} is private to {other!r}")
            known = (
                LEVEL[other] > LEVEL[package_name]
                if package_name and other in LEVEL
                else not package_name or package_name in MAY_IMPORT_RAREFY
            )
            if not known:
                faults.append(f"{path}:{line}: {package_name!r} must not know {name}")
    return faults


def cpu_engine_downwards(tree: Path) -> list[str]:
    """In the cpu engine, kernels know neither blocked tensors nor fusion, and blocked tensors know no fusion."""
    parts, faults = ["kernels", "blocked", "fusion"], []
    for path in files(tree):
        place = path.relative_to(tree).parts
        if place[:2] != ("engines", "_cpu") or place[2] not in parts:
            continue
        above = [f"{tree.name}.engines._cpu.{part}" for part in parts[parts.index(place[2]) + 1 :]]
        for line, name in imports(tree, path, ast.walk(parse(path))):
            if any(f"{name}.".startswith(f"{one}.") for one in above):
                faults.append(f"{path}:{line}: {place[2]!r} must not know {name}")
    return faults


def import_graph(tree: Path, nodes: Callable[[ast.AST], Iterator[ast.AST]] = at_import) -> dict[str, set[str]]:
    """Module -> names it imports, as it is imported itself or in all of `nodes`; our own names as their modules."""
    modules = {module_of(tree, path): path for path in files(tree)}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        names = (name for _, name in imports(tree, path, nodes(parse(path))))
        parents = ((name, name.rpartition(".")[0]) for name in names)
        graph[module] = {p if p in modules and n not in modules else n for n, p in parents} - {module}
    return graph


def no_cycles(tree: Path) -> list[str]:
    """No module depends on itself: not at import, in a function, nor for a type checker. Only lazy `rarefy` may."""
    graph = {module: names - {tree.name} for module, names in import_graph(tree, ast.walk).items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [f"import cycle: {' -> '.join(error.args[1])}"]
    return []


def torch_free(tree: Path) -> list[str]:
    """Packages that start quickly do not import torch, directly or through others (including each __init__)."""
    graph = import_graph(tree)
    faults = []
    for start in (module for module in graph if package_of(module) in TORCH_FREE):
        seen, todo = set(), [start]
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            todo += [*graph.get(name, ()), *([name.rpartition(".")[0]] if name in graph and "." in name else [])]
        faults += [f"{start} imports {name}" for name in sorted(seen) if name.split(".")[0] == "torch"]
    return faults


def _find_banned_calls(path: Path, package_name: str) -> Iterator[tuple[int, str, str]]:
    module = parse(path)
    for node, name in calls(module):
        options = {k.arg: ast.unparse(k.value) for k in node.keywords}
        if name == "print" and package_name != "cli":
            yield node.lineno, name, "only cli prints"
        elif name in GLOBAL_STATE:
            yield node.lineno, name, "library code leaves the global generators alone: take a torch.Generator"
        elif name in UNSAFE:
            yield node.lineno, name, "a pickle runs code: subclass Unpickler with a find_class that knows what may come"
        elif name == "torch.load" and options.get("weights_only") != "True":
            yield node.lineno, name, "a pickle runs code: weights_only=True"
        elif name == "numpy.load" and options.get("allow_pickle", "False") != "False":
            yield node.lineno, name, "a pickle runs code: allow_pickle=False"
        elif name.endswith(".cuda") and isinstance(node.func, ast.Attribute):
            yield node.lineno, ".cuda", "a device is an argument: .to(device)"
    names = aliases(module)
    for cls in (node for node in ast.walk(module) if isinstance(node, ast.ClassDef)):
        bases = {names.get(base, base) for base in map(ast.unparse, cls.bases)}
        careful = any(isinstance(n, Function) and n.name == "find_class" for n in cls.body)
        if "pickle.Unpickler" in bases and not careful:
            yield cls.lineno, "pickle.Unpickler", "an Unpickler says in find_class what it may load"


def banned_calls(tree: Path, allowed: dict[tuple[str, str], str] = ALLOWED) -> list[str]:
    """No print, no global seed, no unsafe unpickling, no .cuda() - but where `allowed` says why."""
    faults, used = [], set()
    for path in files(tree):
        place = path.relative_to(tree).as_posix()
        for line, name, reason in _find_banned_calls(path, package_of(module_of(tree, path))):
            used.add((place, name))
            if (place, name) not in allowed:
                faults.append(f"{path}:{line}: {name}: {reason}")
    return faults + [f"ALLOWED names {entry}, which is not there" for entry in allowed.keys() - used]


def sizes(tree: Path) -> list[str]:
    """A file has at most 300 lines and a function at most 40 lines of code."""
    faults = []
    for path in files(tree):
        length = len(path.read_text(encoding="utf-8").splitlines())
        if length > MAX_FILE_LINES:
            faults.append(f"{path}: {length} lines, at most {MAX_FILE_LINES}: look for the second idea in it")
        lines = code_lines(path)
        for node in ast.walk(parse(path)):
            if isinstance(node, Function):
                count = len(lines & set(range(node.lineno, (node.end_lineno or 0) + 1)))
                if count > MAX_FUNCTION_LINES:
                    what = f"{node.name} has {count} lines of code"
                    faults.append(f"{path}:{node.lineno}: {what}, at most {MAX_FUNCTION_LINES}")
    return faults


def own_errors(tree: Path) -> list[str]:
    """What is raised is an error of ours, which says whose mistake it is: not a bare ValueError."""
    faults = []
    for path in files(tree):
        for node in (n for n in ast.walk(parse(path)) if isinstance(n, ast.Raise) and n.exc is not None):
            raised = ast.unparse(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
            if raised in BARE_ERRORS:
                faults.append(f"{path}:{node.lineno}: {raised} says not whose mistake it is: see rarefy.errors")
    return faults


def mirrored(tree: Path) -> list[str]:
    """Every public file has its test at the same path in tests/, every package with a registry a conformance test."""
    tests = tree.parents[1] / "tests"
    faults = set()
    for path in files(tree):
        place = path.relative_to(tree).parent
        wanted = [f"test_{path.stem}.py"] if not path.stem.startswith("_") else []
        if len(place.parts) == 1 and any(name.endswith("Registry") for _, name in calls(parse(path))):
            wanted.append("test_conformance.py")
        faults |= {f"no {tests / place / name}" for name in wanted if not (tests / place / name).is_file()}
    return sorted(faults)


def registered_as_named(tree: Path) -> list[str]:
    """A method with a file of its own is registered under the file's name."""
    faults = []
    for path in (p for p in files(tree) if not p.stem.startswith("_")):
        for node in (n for n in ast.walk(parse(path)) if isinstance(n, ast.ClassDef)):
            for mark in (d for d in node.decorator_list if isinstance(d, ast.Call) and d.args):
                name = mark.args[0].value if isinstance(mark.args[0], ast.Constant) else None
                if ast.unparse(mark.func).endswith(".register") and name != path.stem:
                    faults.append(f"{path}:{node.lineno}: {node.name} is registered as {name!r}")
    return faults


def exemplified(tree: Path) -> list[str]:
    """Public functions and classes have docstrings, those of `rarefy` itself with an example; no example is a name."""
    defined: dict[str, list[tuple[Path, Definition]]] = {}
    for path in files(tree):
        for node in parse(path).body:
            if isinstance(node, Function | ast.ClassDef):
                defined.setdefault(node.name, []).append((path, node))
    faults = []
    for path in (p for p in files(tree) if p.name == "__init__.py"):
        module, top = parse(path), path.parent == tree
        packages = {name.rpartition(".")[2]: package_of(name) for _, name in imports(tree, path, ast.walk(module))}
        for name in exported(module):
            place = tree / packages.get(name, "") if top else path.parent
            here = [
                (p, n) for p, n in defined.get(name, []) if p.is_relative_to(place) or p == place.with_suffix(".py")
            ]
            texts = [ast.get_docstring(node) or "" for _, node in here]
            if here and not any("Example" in text or (text and not top) for text in texts):
                missing = "Example" if top else "docstring"
                faults.append(f"{here[0][0]}:{here[0][1].lineno}: {name} is public and has no {missing}")
            if any(re.search(r">>> \w+\.__name__$", text, re.MULTILINE) for text in texts):
                faults.append(f"{here[0][0]}:{here[0][1].lineno}: the example of {name} only prints a name")
    return faults


def encodings_named(tree: Path) -> list[str]:
    """Text is read and written in a named encoding: Windows takes another one than UTF-8 by default."""
    faults = []
    for path in files(tree):
        for node in (n for n in ast.walk(parse(path)) if isinstance(n, ast.Call)):
            name = ast.unparse(node.func).rpartition(".")[2]
            mode = next((a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)), "b")
            is_text = (
                (name == "read_text" and not node.args)
                or (name == "write_text" and len(node.args) < 2)
                or (
                    name == "open"
                    and "tarfile" not in ast.unparse(node.func)
                    and re.fullmatch("[rwax]t?[+]?t?", mode) is not None
                )
            )
            if is_text and not any(keyword.arg == "encoding" for keyword in node.keywords):
                faults.append(f"{path}:{node.lineno}: {name} names no encoding")
    return faults


RULES: list[Rule] = [
    downwards, cpu_engine_downwards, no_cycles, torch_free, banned_calls, sizes, own_errors, mirrored,
    registered_as_named, exemplified, encodings_named,
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_source(rule: Rule) -> None:
    faults = rule(SOURCE)
    assert not faults, f"{(rule.__doc__ or '').splitlines()[0]}\n" + "\n".join(faults)


def test_start_up_leaves_the_slow_imports_out() -> None:
    packages = ", ".join(f"rarefy.{package_name}" for package_name in sorted(TORCH_FREE))
    code = f"""
import sys
import {packages}
sys.argv = ["rarefy", "--help"]
try:
    code = rarefy.cli.main()
except SystemExit as stop:
    code = stop.code
assert not code, code
print("came along:", sorted(set({SLOW_TO_IMPORT!r}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert done.stdout.rstrip().endswith("came along: []")


def test_every_public_name_is_there() -> None:
    import rarefy

    assert rarefy.__all__
    assert [name for name in rarefy.__all__ if not hasattr(rarefy, name)] == []


def test_every_room_is_in_the_api_reference() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    packages = {package_of(module_of(SOURCE, path)) for path in files(SOURCE)} - {"", "cli"}
    assert {package_name for package_name in packages if f"automodule:: rarefy.{package_name}\n" not in pages} == set()


LONG_FUNCTION = "def long():\n" + "    x = 1\n" * 40
JUST_SHORT_ENOUGH = 'def short():\n    """Says."""\n\n    # why\n' + "    x = 1\n" * 39
BAD_TREES = [
    (encodings_named, "a.py", "path.write_text(text)", "write_text names no encoding"),
    (encodings_named, "a.py", "path.open('a')", "open names no encoding"),
    (downwards, "masks/a.py", "from rarefy.sparsity import sparsify", "'masks' must not know"),
    (downwards, "masks/a.py", "def late():\n    import rarefy.pipeline", "'masks' must not know"),
    (downwards, "masks/a.py", "from ..training import train", "'masks' must not know"),
    (downwards, "masks/a.py", "import importlib\nimportlib.import_module('rarefy.cli')", "'masks' must not know"),
    (downwards, "masks/a.py", "from rarefy import sparsify", "'masks' must not know"),
    (downwards, "data/a.py", "from rarefy import models", "'data' must not know"),
    (downwards, "pipeline.py", "from rarefy.masks._draw import sample", "is private to 'masks'"),
    (downwards, "pipeline.py", "from rarefy.masks import _draw", "is private to 'masks'"),
    (downwards, "sparsity.py", "import rarefy", "'sparsity' must not know"),
    (downwards, "cellar/a.py", "", "'cellar' has no place"),
    (
        cpu_engine_downwards,
        "engines/_cpu/kernels/_a.py",
        "import rarefy.engines._cpu.blocked",
        "'kernels' must not know",
    ),
    (
        cpu_engine_downwards,
        "engines/_cpu/blocked/_a.py",
        "def f():\n    from .. import fusion",
        "'blocked' must not know",
    ),
    (no_cycles, "masks/a.py", "from rarefy.masks.b import x", "import cycle"),
    (no_cycles, "masks/a.py", "def late():\n    from rarefy.masks.b import x", "import cycle"),
    (torch_free, "paths.py", "import torch.nn", "rarefy.paths imports torch.nn"),
    (torch_free, "cli/a.py", "from rarefy.masks import b", "rarefy.cli.a imports torch"),
    (torch_free, "__init__.py", "if True:\n    from torch import nn", "rarefy.paths imports torch"),
    (banned_calls, "pipeline.py", "print(1)", "only cli prints"),
    (banned_calls, "pipeline.py", "import torch as t\nt.manual_seed(1)", "global generators"),
    (banned_calls, "pipeline.py", "from numpy.random import seed\nseed(1)", "global generators"),
    (banned_calls, "pipeline.py", "import random\nrandom.seed(1)", "global generators"),
    (banned_calls, "pipeline.py", "import pickle\npickle.load(file)", "runs code"),
    (banned_calls, "pipeline.py", "import pickle\nclass Open(pickle.Unpickler): ...", "find_class"),
    (banned_calls, "pipeline.py", "import torch\ntorch.load(path)", "weights_only=True"),
    (banned_calls, "pipeline.py", "import torch\ntorch.load(path, weights_only=False)", "weights_only=True"),
    (banned_calls, "pipeline.py", "import numpy as np\nnp.load(path, allow_pickle=True)", "allow_pickle=False"),
    (banned_calls, "pipeline.py", "model.layer.cuda()", "a device is an argument"),
    (sizes, "pipeline.py", "x = 1\n" * 301, "301 lines"),
    (sizes, "pipeline.py", LONG_FUNCTION, "long has 41 lines"),
    (own_errors, "pipeline.py", "raise ValueError('no')", "ValueError says not whose"),
    (own_errors, "pipeline.py", "raise KeyError", "KeyError says not whose"),
    (mirrored, "masks/new.py", "", "tests/masks/test_new.py"),
    (mirrored, "masks/_draw.py", "MASKS = Registry[Mask]('mask', 'masks')", "tests/masks/test_conformance.py"),
    (registered_as_named, "masks/a.py", "@MASKS.register('b')\nclass A: ...", "A is registered as 'b'"),
    (exemplified, "masks/__init__.py", "__all__ = ['f']\ndef f(): pass", "f is public and has no docstring"),
    (
        exemplified,
        "masks/__init__.py",
        "__all__ = ['f']\ndef f():\n    'Says.\\n\\n>>> f.__name__'",
        "only prints a name",
    ),
    (exemplified, "__init__.py", "from rarefy.masks import f\n__all__ = ['f']", "f is public and has no Example"),
    (exemplified, "__init__.py", "__all__ = ['E']\nclass E(ValueError): 'Says.'", "E is public and has no Example"),
]
GOOD_TREE = {
    "__init__.py": "from rarefy.masks import sample\n__all__ = ['sample']",
    "cli/__init__.py": "def main():\n    from rarefy import run\n    print(run)",
    "pipeline.py": "import torch, pickle\nfrom rarefy.masks import sample\ntorch.load(path, weights_only=True)\n"
    "class Careful(pickle.Unpickler):\n    def find_class(self, module, name): ...",
    "paths.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\ndef f():\n    import torch",
    "masks/__init__.py": "__all__ = ['sample', 'Odd']\ndef sample():\n    'Example: 1'\nclass Odd(ValueError): 'Says.'",
    "masks/b.py": "from rarefy.registry import Registry\n@MASKS.register('b')\nclass B: ...",
    "registry.py": JUST_SHORT_ENOUGH,
    "rng.py": "def f():\n    raise NotImplementedError\ntry:\n    f()\nexcept ValueError as error:\n    raise error",
}


def build(folder: Path, contents: dict[str, str]) -> Path:
    tree = folder / "src" / "rarefy"
    for place, text in contents.items():
        path = tree / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if not path.stem.startswith("_"):
            test = folder / "tests" / Path(place).parent / f"test_{path.stem}.py"
            test.parent.mkdir(parents=True, exist_ok=True)
            test.touch()
    return tree


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_good_tree_passes(rule: Rule, tmp_path: Path) -> None:
    contents = GOOD_TREE if rule is not torch_free else GOOD_TREE | {"__init__.py": ""}
    assert (rule(build(tmp_path, contents), {}) if rule is banned_calls else rule(build(tmp_path, contents))) == []


@pytest.mark.parametrize(("rule", "place", "text", "fault"), BAD_TREES)
def test_bad_tree_fails(rule: Rule, place: str, text: str, fault: str, tmp_path: Path) -> None:
    plain = {
        "__init__.py": "",
        "paths.py": "",
        "masks/__init__.py": "",
        "masks/b.py": "import torch\nfrom rarefy.masks import a",
    }
    plain |= {"masks/_f.py": "def f(): 'Says.'", "data/f.py": "def f(): 'Example: 1'"} if "import f" in text else {}
    tree = build(tmp_path, plain | {place: text})
    if rule is mirrored and "test_new" in fault:
        (tmp_path / "tests/masks/test_new.py").unlink()
    assert any(fault in found for found in rule(tree)), rule(tree)


def test_the_allow_list_is_by_place_and_holds_nothing_stale(tmp_path: Path) -> None:
    tree = build(tmp_path, {"pipeline.py": "import random\nrandom.seed(1)"})
    reason = {("pipeline.py", "random.seed"): "a reason"}
    assert banned_calls(tree, reason) == []
    stale = reason | {("pipeline.py", "print"): "gone"}
    assert banned_calls(tree, stale) == ["ALLOWED names ('pipeline.py', 'print'), which is not there"]
    assert banned_calls(tree, {("paths.py", "random.seed"): "elsewhere"}) != []

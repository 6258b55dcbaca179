"""How methods, models and data sets are called in figures and tables: ERK, RigL (ERK), ResNet-20, CIFAR-10."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from rarefy.registry import normalize_name, read_titles
from rarefy.reports._model_names import get_family_defaults, parse_model_name

_FILE = re.compile(r"(?:.*[/\\])?([^/\\]+\.py):(\w+)(?::([^@]+))?(?:@[0-9a-f]{12})?")  # a network of one's own


def title_method(allocation: str, topology: str) -> str:
    """Names a method by its allocation, or by its topology with the allocation in brackets.

    Example:
        >>> title_method("erk", "static"), title_method("erk", "rigl"), title_method("erk_plus", "set (never moved)")
        ('ERK', 'RigL (ERK)', 'SET (ERK+), never moved')
    """
    name, _, remark = topology.removesuffix(")").partition(" (")
    rule = _get_title("allocation", allocation)
    if normalize_name(name) == "static":
        return rule
    return f"{_get_title('topology', name)} ({rule})" + (f", {remark}" if remark else "")


def title_run(config: Mapping[str, Any]) -> str:
    """Names a run by its method and density: ``ERK 10%``.

    Args:
        config: The config of its record.

    Example:
        >>> title_run({"allocation": {"name": "erk"}, "topology": {"name": "static"}, "density": 0.1})
        'ERK 10%'
    """
    method = title_method(config["allocation"]["name"], config["topology"]["name"])
    return method if method == "dense" else f"{method} {100 * config['density']:.3g}%"


def title_data(name: str) -> str:
    """Names a data set: ``cifar10`` is CIFAR-10; a file or folder is called by its own name.

    Example:
        >>> title_data("fashion_mnist"), title_data("mine"), title_data("folder:/data/pets")
        ('Fashion-MNIST', 'mine', 'pets')
    """
    return _get_title("data", PurePath(name.partition(":")[2]).name or name)


def title_model(name: str) -> str:
    """Names a model by its family's title, with the options that are not the family's defaults.

    Example:
        >>> title_model("cifar_resnet_20_16"), title_model("cifar_resnet_20_8"), title_model("mlp_300_100")
        ('ResNet-20', 'ResNet-20 (width 8)', 'MLP 300-100')
        >>> title_model("code/net.py:Net:width=8@968aae471df1")
        'Net (width=8) of net.py'
    """
    if match := _FILE.fullmatch(name):
        file, attribute, options = match.groups()
        return f"{attribute} ({options}) of {file}" if options else f"{attribute} of {file}"
    model = parse_model_name(name)
    if model is None:
        return name
    form, options = read_titles("models")[model.family], dict(model.options)
    defaults = get_family_defaults(model.family)
    odd = [
        f"{option} {value}"
        for option, value in options.items()
        if f"{{{option}}}" not in form and value != defaults.get(option)
    ]
    title = re.sub(r"\{(\w+)\}", lambda field: options[field[1]].replace("_", "-"), form)
    return title + (f" ({', '.join(odd)})" if odd else "")


def title_family(name: str) -> str:
    """Names a model's family: ``cifar_resnet`` is ResNet.

    Example:
        >>> title_family("cifar_resnet"), title_family("vgg")
        ('ResNet', 'VGG')
    """
    return read_titles("models").get(name, name).partition("{")[0].rstrip(" -") or name


def _get_title(folder: str, name: str) -> str:
    titles = {normalize_name(known): title for known, title in read_titles(folder).items()}
    return titles.get(normalize_name(name), name)

"""Formats the model card of a trained network: numbers, use and training, all taken from its record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from rarefy.pipeline._load_run import TrainedNetwork

_PAPER = "[The Unreasonable Effectiveness of Random Pruning](https://arxiv.org/abs/2202.02643) (Liu et al., 2022)"


def format_card(network: TrainedNetwork, *, dense_bytes: int, license: str = "") -> str:
    """Formats a model card in Markdown with the hub's YAML front matter.

    Args:
        network: The network.
        dense_bytes: Size of the dense weights on disk.
        license: The licence, if it is known.
    """
    front = yaml.safe_dump(_describe(network, license), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{front}---\n",
        f"# {_name(network)}\n",
        _introduce(network),
        "## Results\n",
        _format_table(("", ""), _list_results(network, dense_bytes)),
        "## Use\n",
        _explain_use(network),
        "## Training\n",
        f"Trained with rarefy {network.record.versions['rarefy']}; `run/record.json` holds every setting and epoch.\n",
        _format_table(("setting", "value"), _list_settings(network)),
        "## Layers\n",
        _format_table(
            ("weight", "shape", "kept", "density"),
            (
                (f"`{layer.name}`", " x ".join(map(str, layer.shape)), f"{layer.kept:,}", f"{layer.density:.4f}")
                for layer in network.record.layers
            ),
        ),
    ]
    return "\n".join(parts)


def _name(network: TrainedNetwork) -> str:
    config = network.config
    sparse = "dense" if config.allocation.name == "dense" else f"{config.allocation.name} {config.density:g}"
    return f"{config.model.name}, {network.spec.name}, {sparse}"


def _describe(network: TrainedNetwork, license: str) -> dict[str, Any]:
    """Describes the model as the hub's metadata do: tags, and results that it shows beside others'."""
    name = network.spec.name
    test = network.record.metrics["test"]
    metrics = [{"type": "accuracy", "value": round(test["accuracy"], 6), "name": "Test accuracy"}]
    task = {"type": "image-classification", "name": "Image classification"}
    result = {"task": task, "dataset": {"name": name, "type": name, "split": "test"}, "metrics": metrics}
    known = {"license": license} if license else {}
    return {
        **known,
        "library_name": "rarefy",
        "pipeline_tag": "image-classification",
        "tags": ["rarefy", "sparse", "random-pruning", "pytorch"],
        "datasets": [name],
        "metrics": ["accuracy"],
        "model-index": [{"name": _name(network), "results": [result]}],
    }


def _introduce(network: TrainedNetwork) -> str:
    record, spec = network.record, network.spec
    size = f"{spec.height} x {spec.width} pixels, {spec.channels} channel{'s' * (spec.channels > 1)}"
    method = "trained densely" if network.config.allocation.name == "dense" else "trained sparse from the first step"
    return (
        f"`{network.config.model.name}` for {spec.classes} classes of {spec.name} ({size}), {method}: "
        f"{record.params.kept:,} of {record.params.total:,} weights of convolutions and linear layers are kept "
        f"({100 * record.density:.2f}%). The method is that of {_PAPER}.\n"
    )


def _list_results(network: TrainedNetwork, dense_bytes: int) -> Iterable[Sequence[str]]:
    record = network.record
    test = record.metrics["test"]
    yield "test accuracy", f"{100 * test['accuracy']:.2f}% (epoch {record.selected_epoch})"
    yield "test loss", f"{test['loss']:.4f}"
    if best := record.best_epoch:
        yield f"test accuracy of the best validation epoch ({best.epoch})", f"{100 * best.test['accuracy']:.2f}%"
    yield "density", f"{record.density:.4f}"
    yield "weights kept", f"{record.params.kept:,} of {record.params.total:,}"
    yield "all parameters of the dense network", f"{record.params.all:,}"
    compact = record.files.get("model.safetensors")
    yield "size, dense (`model.safetensors`)", f"{dense_bytes:,} bytes"
    if compact:
        yield "size, compact (`run/model.safetensors`)", f"{compact:,} bytes"


def _explain_use(network: TrainedNetwork) -> str:
    spec = network.spec
    return f"""With rarefy, from the compact weights:

```python
import rarefy

network = rarefy.load_run("run")  # the folder in this repository
probabilities = network.predict(images)  # uint8 [N, {spec.channels}, {spec.height}, {spec.width}]
```

`rarefy predict run PICTURE` does the same on the command line. `model.safetensors` holds the dense weights for
`load_state_dict`, `config.json` the architecture and the classes. Inputs are pixels / 255, minus the mean
{list(spec.mean)}, divided by the deviation {list(spec.std)}.
"""


def _list_settings(network: TrainedNetwork) -> Iterable[Sequence[str]]:
    config, record = network.config, network.record
    values = config.training
    yield "allocation", _format_method(config.allocation)
    yield "topology", _format_method(config.topology)
    yield "density", f"{config.density:g}"
    yield "seed", str(config.seed)
    yield "epochs", str(values.epochs)
    yield "batch size", str(values.batch_size)
    yield "optimizer", _format_method(values.optimizer)
    yield "learning rate", f"{values.lr:g}, {_format_method(values.schedule)}"
    yield "weight decay", f"{values.weight_decay:g}"
    yield "data", _format_method(config.data)
    if record.fingerprint:
        yield "fingerprint of the data", f"`{record.fingerprint}`"
    yield "versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())


def _format_method(method: Any) -> str:
    options = ", ".join(f"{name} {value}" for name, value in method.options.items())
    return f"{method.name} ({options})" if options else str(method.name)


def _format_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"

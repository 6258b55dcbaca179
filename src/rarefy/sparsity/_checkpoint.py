"""The compact sparse checkpoint: kept values, and masks that cost nothing (static) or a bit a weight (moved)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from rarefy.distributed import ALONE, launched
from rarefy.documents import parse_json
from rarefy.errors import InvalidInput, MissingFile, RarefyError
from rarefy.masks import METADATA, MaskMismatch, Masks, compress, expand, read_shapes, unpack
from rarefy.masks import pack as pack_masks
from rarefy.models import prunable
from rarefy.paths import replacing
from rarefy.shards import is_sharded, spread, whole
from rarefy.sparsity._compact import Compact, expanded
from rarefy.sparsity._digest import digest
from rarefy.sparsity._sparsity import Sparsity
from rarefy.topology import TOPOLOGIES

_ABOUT = "rarefy"  # the one key of the file's metadata: safetensors writes several in any order, and bytes must repeat
_VALUES = "rarefy.values/"  # what the names of tensors with kept values begin with
_SEED = "rarefy.seed"
_CHECKSUM = "rarefy.checksum"  # metadata: of everything else in the file
_TIED = "rarefy.tied"  # metadata: state_dict names that share storage with an earlier one


class CheckpointMismatch(RarefyError, ValueError):
    """A checkpoint that does not fit the model, or is damaged; the message names the tensor and both sides."""


class SizeReport(NamedTuple):
    """What a checkpoint costs on disk, against the same model with every weight.

    Args:
        file_bytes: Size of the file.
        dense_bytes: Bytes of all parameters and buffers, each stored once.

    Example:
        >>> SizeReport(file_bytes=100, dense_bytes=1000).ratio
        0.1
    """

    file_bytes: int
    dense_bytes: int

    @property
    def ratio(self) -> float:
        """file_bytes / dense_bytes."""
        return self.file_bytes / self.dense_bytes


def save(model: nn.Module, sparsity: Sparsity, path: Path | str) -> SizeReport:
    """Writes the compact sparse checkpoint as safetensors, beside `path` and renamed.

    Masked weights are stored as their kept values in flat order; masks as drawn cost a seed and a checksum, moved masks
    one bit a weight; everything else in ``model.state_dict()`` is stored as it is. Where weights are sharded over
    processes (``fully_shard``) each of them has to call it, and the first one writes.

    Args:
        model: The model that was given to `sparsify`.
        sparsity: What `sparsify` returned.
        path: The file to write.

    Returns:
        Its size, and what the dense model would take.

    Example:
        >>> import tempfile, rarefy
        >>> model = nn.Linear(100, 100, bias=False)
        >>> sparsity = rarefy.sparsify(model, density=0.05)
        >>> size = save(model, sparsity, Path(tempfile.mkdtemp()) / "model.safetensors")
        >>> size.dense_bytes, size.ratio < 0.07
        (40000, True)
    """
    state, weights = _dense_state(model, sparsity)
    masked = {id(weight): name for name, weight in weights.items()}
    tensors, metadata = pack_masks(sparsity.masks)
    tied: dict[str, str] = {}
    seen: dict[int, str] = {}
    for name, value in state.items():
        if id(value) in seen:
            tied[name] = seen[id(value)]
        elif id(value) in masked:
            kept = compress({masked[id(value)]: whole(value)}, sparsity.masks)
            tensors[_VALUES + name] = kept[masked[id(value)]].cpu()
        else:
            tensors[name] = whole(value.detach()).cpu().contiguous().clone()
        seen.setdefault(id(value), name)
    about = metadata | {_TIED: json.dumps(tied), _SEED: str(sparsity.seed)}
    target = Path(path)
    dense = {id(value): value.numel() * value.element_size() for value in state.values()}
    world = launched() if any(map(is_sharded, weights.values())) else ALONE
    written = torch.zeros((), dtype=torch.int64, device=next(iter(weights.values())).device)
    if world.is_first:
        with replacing(target) as partial:
            about[_CHECKSUM] = digest(tensors, about)
            save_file(tensors, partial, metadata={_ABOUT: json.dumps(about, sort_keys=True)})
        written += target.stat().st_size
    return SizeReport(int(world.total(written)), sum(dense.values()))  # the others wait until it is there


def _dense_state(model: nn.Module, sparsity: Sparsity) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The model's state and its masked weights as they are in a dense model, under the names they have there."""
    state = model.state_dict(keep_vars=True)  # first: it takes sharded weights apart that a forward pass has gathered
    weights: dict[str, Tensor] = dict(sparsity.weights())
    compact = {name: expanded(layer) for name, layer in sparsity.compact().items()}
    dense = {id(weights[name]): weight for name, weight in compact.items()}
    ours = {name.removesuffix("values") for name, value in state.items() if id(value) in dense}
    named = {}
    for name, value in state.items():
        last = name.rpartition(".")[2]
        prefix = name.removesuffix(last)
        if id(value) in dense:
            named[f"{prefix}weight"] = dense[id(value)]
        elif not (prefix in ours and last == "pattern"):
            named[name] = value
    return named, weights | compact


def load(path: Path | str, model: nn.Module) -> Sparsity:
    """Reads a compact sparse checkpoint into a model; no pickle is involved.

    Args:
        path: The file.
        model: A model of the same structure; its weights and buffers are overwritten.

    Returns:
        A `Sparsity` over the model with the file's masks, proved by count and checksum; its topology is static until
        ``attach(optimizer, topology=...)`` names another.

    Raises:
        CheckpointMismatch: If the file is damaged or does not fit the model; it names the tensor, what was expected and
            what was found. The model is untouched then.
        FileNotFoundError: If there is no such file.
        ValueError: If an engine that stores kept values only is installed in the model.

    Example:
        >>> import tempfile, rarefy
        >>> path, model = Path(tempfile.mkdtemp()) / "model.safetensors", nn.Linear(8, 4)
        >>> _ = save(model, rarefy.sparsify(model, density=0.25), path)
        >>> again = nn.Linear(8, 4)
        >>> load(path, again).kept, bool((again.weight == model.weight).all())
        (8, True)
    """
    if any(isinstance(module, Compact) for module in model.modules()):
        raise InvalidInput("This model stores kept values only. Load into a dense one, then install the engine in it.")
    file = Path(path)
    if not file.is_file():
        raise MissingFile(f"There is no checkpoint {file}.", path=file)
    try:
        tensors, metadata = _read(file)
        _require_layers(read_shapes(metadata), model)  # before anything is as large as the file says
        masks, seed = unpack(tensors, metadata), _seed(metadata)
        state = _state(tensors, metadata, masks, model)
    except RarefyError as error:
        kind = MaskMismatch if isinstance(error, MaskMismatch) else CheckpointMismatch
        raise kind(f"{error} The file is {file}.") from None
    model.load_state_dict(spread(state, model.state_dict()))
    return Sparsity(model, masks, topology=TOPOLOGIES.build("static"), seed=seed)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata, proved by their checksum; files of earlier versions have none."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = _texts((file.metadata() or {}).get(_ABOUT, "{}"), _ABOUT)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointMismatch(f"This is no safetensors file or is damaged: {error}.") from None
    unknown = sorted(set(metadata) - {METADATA, _SEED, _TIED, _CHECKSUM})
    if unknown:
        raise CheckpointMismatch(f"The metadata has {unknown[0]!r}: it is damaged, or a newer rarefy wrote it.")
    said = metadata.pop(_CHECKSUM, None)
    if said is not None and said != digest(tensors, metadata):
        raise CheckpointMismatch("The values are not those of the checksum: the file is damaged or was changed.")
    return tensors, metadata


def _texts(text: str, name: str) -> dict[str, str]:
    found = parse_json(text, f"The metadata {name!r}")
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise CheckpointMismatch(f"The metadata {name!r} is damaged: {found!r:.80} maps no names to text.")
    return found


def _seed(metadata: dict[str, str]) -> int:
    said = metadata.get(_SEED, "")
    if not re.fullmatch(r"-?\d{1,40}", said):
        raise CheckpointMismatch(f"The metadata {_SEED!r} is damaged: {said!r:.80} is no whole number.")
    return int(said)


def _require_layers(shapes: Mapping[str, tuple[int, ...]], model: nn.Module) -> None:
    """Compares the layers that have masks with the model's."""
    weights = prunable(model, embeddings=True)
    for name, came in shapes.items():
        if name not in weights:
            raise CheckpointMismatch(f"The checkpoint is of another model: the model lacks {name!r}.")
        _require_shape(name, came, tuple(weights[name].shape))


def _require_shape(name: str, came: tuple[int, ...], want: tuple[int, ...]) -> None:
    if came != want:
        raise CheckpointMismatch(f"{name!r} has shape {came} in the file, the model expects {want}.")


def _state(tensors: dict[str, Tensor], metadata: dict[str, str], masks: Masks, model: nn.Module) -> dict[str, Any]:
    """The file's content as a state_dict of the model, all of it compared before anything is written."""
    expected = model.state_dict(keep_vars=True)
    found = _expand_values(tensors, masks, model, expected)
    found |= {name: value for name, value in tensors.items() if not name.startswith("rarefy.")}
    for name, source in _texts(metadata.get(_TIED, "{}"), _TIED).items():
        if source not in found:
            raise CheckpointMismatch(f"The file lacks {source!r}, whose values {name!r} shares.")
        found[name] = found[source]
    for name in [*expected, *found]:
        if name not in found or name not in expected:
            side = "the file lacks" if name not in found else "the model lacks"
            raise CheckpointMismatch(f"The checkpoint is of another model: {side} {name!r}.")
        came, want = found[name], expected[name]
        _require_shape(name, tuple(came.shape), tuple(want.shape))
        if _kind(came) != _kind(want):
            raise CheckpointMismatch(f"{name!r} holds {came.dtype} in the file, the model expects {want.dtype}.")
    return found


def _expand_values(
    tensors: dict[str, Tensor], masks: Masks, model: nn.Module, expected: Mapping[str, Any]
) -> dict[str, Tensor]:
    """The masked weights in their own shapes, under the names of the model's state."""
    named = {id(weight): name for name, weight in prunable(model, embeddings=True).items()}
    found, layers = {}, set()
    for name, value in tensors.items():
        if name.startswith(_VALUES):
            target = name.removeprefix(_VALUES)
            layer = named.get(id(expected.get(target)), target)
            found[target] = expand({layer: value}, masks)[layer]
            layers.add(layer)
    missing = [name for name in masks if name not in layers]
    if missing:
        raise CheckpointMismatch(f"The file lacks the values of {missing[0]!r}.")
    return found


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    """Whether numbers are real or complex floating-point ones: between these kinds values are not converted."""
    return tensor.is_floating_point(), tensor.is_complex()

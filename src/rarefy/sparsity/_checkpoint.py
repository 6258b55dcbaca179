"""Saves and loads the compact sparse checkpoint: kept values, and masks as a seed (static) or one bit each (moved)."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from rarefy.distributed import SINGLE_PROCESS, detect_world
from rarefy.documents import parse_json
from rarefy.errors import InvalidInput, MissingFile, RarefyError
from rarefy.masks import METADATA, MaskMismatch, Masks, compress, expand, pack_masks, read_shapes, unpack_masks
from rarefy.models import find_weights, read_weight, unwrap_name
from rarefy.paths import replace_file
from rarefy.shards import is_sharded, shard_tree_like, to_full
from rarefy.sparsity._changes import count_pruned
from rarefy.sparsity._digest import compute_digest
from rarefy.sparsity._extra import decode_extra, encode_extra
from rarefy.sparsity._locations import find_locations, name_weights, rename_masks, unwrap_names
from rarefy.sparsity._sparsity import Sparsity
from rarefy.sparsity._summary import SizeReport
from rarefy.sparsity._value_storage import ValueStorageLayer, expand_values
from rarefy.sparsity._write import write_tensors
from rarefy.topology import TOPOLOGIES

_ROOT = "rarefy"  # the only key of the file's metadata: safetensors does not order several, and bytes must repeat
_VALUES = "rarefy.values/"  # prefix of the names of tensors with kept values
_SEED = "rarefy.seed"
_CHECKSUM = "rarefy.checksum"  # metadata: checksum of everything else in the file
_TIED = "rarefy.tied"  # metadata: state_dict names that share storage with an earlier one
_NAMES = "rarefy.names"  # metadata: name of a mask to name of its weight, where an outer module was saved
_EXTRA = "rarefy.extra"  # metadata: extra state of modules that is not a tensor


class CheckpointMismatch(RarefyError, ValueError):
    """A checkpoint that does not fit the model, or is damaged; the message names the tensor and both values."""


def save(model: nn.Module, sparsity: Sparsity, path: Path | str) -> SizeReport:
    """Writes the compact sparse checkpoint as safetensors, atomically (a temporary file is renamed).

    Masked weights are stored as their kept values in flat order; masks as drawn cost a seed and a checksum, moved masks
    one bit per weight; everything else in ``model.state_dict()`` is stored as it is, under the names it has without
    wrappers (``torch.compile``, ``DataParallel``, ``DistributedDataParallel``, FSDP). Where weights are sharded over
    processes (``fully_shard``), every process has to call it, and the first one writes.

    Args:
        model: The model that was given to `sparsify`, wrapped or not, a module that holds it, or a masked copy of it.
        sparsity: What `sparsify` returned.
        path: The file to write.

    Returns:
        Its size, and that of the dense model.

    Raises:
        ModelChanged: If a masked weight is not in the model, or was tied or computed from others since.
        CheckpointMismatch: If pruned values are not 0, because they would be lost.
        InvalidInput: If a module's extra state holds objects that cannot be stored.

    Example:
        >>> import tempfile, rarefy
        >>> model = nn.Linear(100, 100, bias=False)
        >>> sparsity = rarefy.sparsify(model, density=0.05)
        >>> size = save(model, sparsity, Path(tempfile.mkdtemp()) / "model.safetensors")
        >>> size.dense_bytes, size.ratio < 0.07
        (40000, True)
    """
    state, weights = _make_dense_state(model, sparsity)
    masked = name_weights(state, weights)
    tensors, metadata = pack_masks(sparsity.masks)
    tied: dict[str, str] = {}
    seen: dict[int, str] = {}
    extra: dict[str, Any] = {}
    for name, value in state.items():
        if not isinstance(value, Tensor):
            extra[name] = encode_extra(name, value, tensors)
        elif id(value) in seen:
            tied[name] = seen[id(value)]
        elif id(value) in masked:
            tensors[_VALUES + name] = _compress_weight(masked[id(value)], to_full(value), sparsity.masks).cpu()
        else:
            tensors[name] = to_full(value.detach()).cpu().contiguous().clone()
        seen.setdefault(id(value), name)
    header = metadata | {_TIED: json.dumps(tied), _SEED: str(sparsity.seed)}
    names = rename_masks(state, masked)
    header |= {key: json.dumps(value) for key, value in ((_NAMES, names), (_EXTRA, extra)) if value}
    target = Path(path)
    dense = {id(v): v.numel() * v.element_size() for v in state.values() if isinstance(v, Tensor)}
    world = detect_world() if any(map(is_sharded, weights.values())) else SINGLE_PROCESS
    written = torch.zeros((), dtype=torch.int64, device=next(iter(weights.values())).device)
    if world.is_rank0:
        with replace_file(target) as partial:
            header[_CHECKSUM] = compute_digest(tensors, header)
            write_tensors(tensors, partial, {_ROOT: json.dumps(header, sort_keys=True)})
        written += target.stat().st_size
    file_bytes = int(world.all_reduce(written))  # all processes wait here until the file is written
    return SizeReport(file_bytes, sum(dense.values()))


def _compress_weight(name: str, weight: Tensor, masks: Masks) -> Tensor:
    if pruned := count_pruned(weight, masks[name]):
        raise CheckpointMismatch(
            f"{pruned} pruned values of {name!r} are not 0 and would be lost: the layer was replaced, or its weight "
            "initialised, loaded or merged after sparsify. Call sparsity.mask_weights_(model) to drop them, or "
            "sparsify the model as it is and save with that.",
            name=name,
            value=pruned,
        )
    return compress({name: weight}, masks)[name]


def _make_dense_state(model: nn.Module, sparsity: Sparsity) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Makes the model's state and its masked weights as they would be in a dense model, under the names there."""
    sparsity.check_model()
    state = model.state_dict(keep_vars=True)  # first: it reshards weights that a forward pass has gathered
    weights: dict[str, Tensor] = dict(sparsity.weights())
    compact = {name: expand_values(layer) for name, layer in sparsity.masked_model.sparse_layers().items()}
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
    return unwrap_names(model, named), weights | compact


def load(model: nn.Module, path: Path | str) -> Sparsity:
    """Reads a compact sparse checkpoint into a model, without pickle.

    Args:
        model: A model of the same structure; its weights and buffers are overwritten.
        path: The file. The order ``load(path, model)`` of earlier versions works for one more release, with a warning.

    Returns:
        A `Sparsity` over the model with the file's masks, checked by count and checksum; its topology is static until
        ``attach(optimizer, topology=...)`` names another.

    Raises:
        CheckpointMismatch: If the file is damaged or does not fit the model; it names the tensor and both values. The
            model is not changed then.
        FileNotFoundError: If there is no such file.
        InvalidInput: If an engine that stores only kept values is installed in the model.

    Example:
        >>> import tempfile, rarefy
        >>> path, model = Path(tempfile.mkdtemp()) / "model.safetensors", nn.Linear(8, 4)
        >>> _ = save(model, rarefy.sparsify(model, density=0.25), path)
        >>> again = nn.Linear(8, 4)
        >>> load(again, path).kept, bool((again.weight == model.weight).all())
        (8, True)
    """
    if isinstance(model, Path | str):
        warnings.warn("load(path, model) is now load(model, path).", DeprecationWarning, stacklevel=2)
        model, path = cast("nn.Module", path), cast("Path | str", model)
    if any(isinstance(module, ValueStorageLayer) for module in model.modules()):
        raise InvalidInput("This model stores kept values only. Load into a dense one, then install the engine in it.")
    file = Path(path)
    if not file.is_file():
        raise MissingFile(f"There is no checkpoint {file}.", path=file)
    try:
        tensors, metadata = _read(file)
        names = _parse_texts(metadata.get(_NAMES, "{}"), _NAMES)
        _require_layers(read_shapes(metadata), model, names)  # before tensors of the sizes in the file are allocated
        masks, seed = unpack_masks(tensors, metadata), _parse_seed(metadata)
        state = _assemble_state(tensors, metadata, masks, model)
    except RarefyError as error:
        kind = MaskMismatch if isinstance(error, MaskMismatch) else CheckpointMismatch
        raise kind(f"{error} The file is {file}.") from None
    model.load_state_dict(shard_tree_like(state, model.state_dict()))
    return Sparsity(model, masks, topology=TOPOLOGIES.build("static"), seed=seed, names=names)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads tensors and metadata, checked by their checksum; files of earlier versions have none."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = _parse_texts((file.metadata() or {}).get(_ROOT, "{}"), _ROOT)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointMismatch(f"This is not a safetensors file, or it is damaged: {error}.") from None
    unknown = sorted(set(metadata) - {METADATA, _SEED, _TIED, _CHECKSUM, _NAMES, _EXTRA})
    if unknown:
        raise CheckpointMismatch(f"The metadata has {unknown[0]!r}: it is damaged, or a newer rarefy wrote it.")
    checksum = metadata.pop(_CHECKSUM, None)
    if checksum is not None and checksum != compute_digest(tensors, metadata):
        raise CheckpointMismatch("The values do not match the checksum: the file is damaged or was changed.")
    return tensors, metadata


def _parse_texts(text: str, name: str) -> dict[str, str]:
    texts = parse_json(text, f"The metadata {name!r}")
    if not isinstance(texts, dict) or not all(isinstance(value, str) for value in texts.values()):
        raise CheckpointMismatch(f"The metadata {name!r} is damaged: {texts!r:.80} does not map names to text.")
    return texts


def _parse_seed(metadata: dict[str, str]) -> int:
    seed = metadata.get(_SEED, "")
    if not re.fullmatch(r"-?\d{1,40}", seed):
        raise CheckpointMismatch(f"The metadata {_SEED!r} is damaged: {seed!r:.80} is not a whole number.")
    return int(seed)


def _require_layers(shapes: Mapping[str, tuple[int, ...]], model: nn.Module, names: Mapping[str, str]) -> None:
    """Raises CheckpointMismatch if a masked layer has another shape in the model."""
    own = {name: names.get(name, name) for name in shapes}
    places = find_weights(model, own.values())
    for name, shape in shapes.items():
        _require_shape(name, shape, tuple(read_weight(own[name], places[own[name]]).shape))


def _require_shape(name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if shape != expected:
        raise CheckpointMismatch(f"{name!r} has shape {shape} in the file, the model expects {expected}.")


def _assemble_state(
    tensors: dict[str, Tensor], metadata: dict[str, str], masks: Masks, model: nn.Module
) -> dict[str, Any]:
    """Assembles a state_dict of the model from the file; all of it is checked before the model is changed."""
    raw = model.state_dict(keep_vars=True)
    expected = unwrap_names(model, raw)
    state: dict[str, Any] = dict(_expand_values(tensors, masks, model, expected, metadata))
    for name, value in parse_json(metadata.get(_EXTRA, "{}"), f"The metadata {_EXTRA!r}").items():
        state[name] = decode_extra(value, tensors)
    state |= {name: value for name, value in tensors.items() if not name.startswith("rarefy.")}
    for name, source in _parse_texts(metadata.get(_TIED, "{}"), _TIED).items():
        if source not in state:
            raise CheckpointMismatch(f"The file lacks {source!r}, whose values {name!r} shares.")
        state[name] = state[source]
    for name in [*expected, *state]:
        if name not in state or name not in expected:
            side = "the file lacks" if name not in state else "the model lacks"
            raise CheckpointMismatch(f"The checkpoint belongs to another model: {side} {name!r}.")
        value, like = state[name], expected[name]
        if not isinstance(value, Tensor) or not isinstance(like, Tensor):
            continue  # extra state of a module
        _require_shape(name, tuple(value.shape), tuple(like.shape))
        if _get_kind(value) != _get_kind(like):
            raise CheckpointMismatch(f"{name!r} holds {value.dtype} in the file, the model expects {like.dtype}.")
    own = {name: unwrap_name(model, name) for name in raw}
    return {name: raw[name] if plain is None else state[plain] for name, plain in own.items()}


def _expand_values(
    tensors: dict[str, Tensor],
    masks: Masks,
    model: nn.Module,
    expected: Mapping[str, Any],
    metadata: Mapping[str, str],
) -> dict[str, Tensor]:
    """Expands kept values to masked weights in their own shapes, under the names of the model's state."""
    names = _parse_texts(metadata.get(_NAMES, "{}"), _NAMES)
    places = find_locations(model, masks, names)
    named = {id(read_weight(name, place)): name for name, place in places.items()}
    weights, layers = {}, set()
    for name, value in tensors.items():
        if name.startswith(_VALUES):
            target = name.removeprefix(_VALUES)
            layer = named.get(id(expected.get(target)), target)
            weights[target] = expand({layer: value}, masks)[layer]
            layers.add(layer)
    missing = [name for name in masks if name not in layers]
    if missing:
        raise CheckpointMismatch(f"The file lacks the values of {missing[0]!r}.")
    return weights


def _get_kind(tensor: Tensor) -> tuple[bool, bool]:
    """Returns whether values are real and complex floating-point numbers; these kinds are not converted."""
    return tensor.is_floating_point(), tensor.is_complex()

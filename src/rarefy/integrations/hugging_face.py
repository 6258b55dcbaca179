"""A callback for ``Trainer`` of Hugging Face transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from rarefy.errors import MissingFile
from rarefy.installation import import_extra
from rarefy.integrations._sparse_training import SparseTraining
from rarefy.paths import replace_file
from rarefy.sparsity import Sparsity

try:
    from transformers import TrainerCallback
except ImportError:  # told when a callback is made
    TrainerCallback = object

FILE = "sparsity.pt"


class HuggingFaceCallback(TrainerCallback):  # type: ignore[misc]  # Any without transformers
    """Trains the model of a Hugging Face ``Trainer`` sparsely.

    Masks are drawn when training begins, and kept to by every optimizer step. Each checkpoint gets a file
    ``sparsity.pt``, from which ``trainer.train(resume_from_checkpoint=...)`` continues; ``load_best_model_at_end``
    restores the masks of the best checkpoint, too. Logs get ``density`` and, for masks that move, ``mask_overlap``
    (Jaccard index of the last update) and ``exploration_rate``.

    The Trainer clips gradients before it calls its callbacks: ``max_grad_norm`` and the logged ``grad_norm`` count the
    gradients of pruned weights as well.

    Args:
        sparsity: What `rarefy.sparsify` returned for the Trainer's model; None: masks are drawn with ``options``.
        **options: Arguments of `rarefy.sparsify`: ``density=0.1, topology="rigl"``.

    Raises:
        MissingPackage: If transformers is not installed.
        InvalidInput: If both a sparsity and options are given.
    """

    def __init__(self, sparsity: Sparsity | None = None, **options: Any) -> None:
        import_extra("transformers", "huggingface", needed_by="HuggingFaceCallback")
        self._training = SparseTraining(sparsity, options)

    @property
    def sparsity(self) -> Sparsity:
        """The sparsity; raises InvalidInput before training begins."""
        return self._training.get_sparsity()

    def on_train_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Draws the masks and attaches the optimizer; in a training that goes on, restores them."""
        model, optimizers, steps = parts["model"], [parts["optimizer"]], int(state.max_steps)
        if state.global_step == 0:
            self._training.draw(model)
            self._training.attach(optimizers, steps)
            return
        self._training.resume(model, optimizers, steps, _read_state(*_list_checkpoints(args, state)))

    def on_save(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Saves masks and counters next to the weights of a checkpoint."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero and folder.is_dir():
            with replace_file(folder / FILE) as partial:
                torch.save(self.sparsity.state_dict(), partial)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **parts: Any) -> None:
        """Adds density and overlap to the log of the training loss, and to the history of logs."""
        if logs is None or "loss" not in logs:
            return
        measured = self._training.measure()
        logs.update(measured)
        if state.log_history and state.log_history[-1].get("step") == state.global_step:
            state.log_history[-1].update(measured)

    def on_train_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Restores the masks of the best checkpoint, if the Trainer has loaded its weights."""
        if args.load_best_model_at_end and state.best_model_checkpoint:
            self.sparsity.load_state_dict(_read_state(Path(state.best_model_checkpoint)))


def _list_checkpoints(args: Any, state: Any) -> list[Path]:
    """Lists the folders where the checkpoint may be from which a training goes on; the Trainer does not tell which."""
    given = args.resume_from_checkpoint
    own = Path(args.output_dir) / f"checkpoint-{state.global_step}"
    return [own, Path(given)] if isinstance(given, str) else [own]


def _read_state(*folders: Path) -> dict[str, Any]:
    """Reads masks and counters from the first folder that has them; raises MissingFile if none has."""
    for path in (folder / FILE for folder in folders):
        if path.is_file():
            state: dict[str, Any] = torch.load(path, weights_only=True)
            return state
    raise MissingFile(
        f"There is no {FILE}, which holds the masks, in {' or '.join(map(str, folders))}. Resume a training that had "
        "this callback, in its own output_dir; if it has moved, name it in args.resume_from_checkpoint, too.",
        path=folders[0] / FILE,
    )

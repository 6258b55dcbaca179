"""Explains failures of a run (non-finite loss, out of memory, lost decoder) and where it can be resumed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rarefy import data, training
from rarefy.errors import is_out_of_memory
from rarefy.paths import RunPaths
from rarefy.pipeline._folder import RunError


class OutOfMemory(RunError):
    """The machine, or its GPU, has not enough memory for a run."""


@contextlib.contextmanager
def explain_faults(paths: RunPaths) -> Iterator[None]:
    """Context that turns a non-finite loss, missing memory or a lost decoder into an error naming the checkpoint."""
    try:
        yield
    except training.NonFiniteLoss as error:
        raise RunError(f"{error} {_describe_last_checkpoint(paths)}") from error
    except Exception as error:
        data.require_decoders(error)
        if not is_out_of_memory(error):
            raise
        saved = f"It goes on from {paths.checkpoint}" if paths.checkpoint.is_file() else "It starts from the beginning"
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OutOfMemory(
            f"There is not enough memory for the run {paths.folder} ({said}). {saved} when the same command is given "
            "again where there is more. --recompute and --accumulate, which are runs of their own, need less."
        ) from error


def _describe_last_checkpoint(paths: RunPaths) -> str:
    state = training.load_checkpoint(paths.checkpoint, run=paths.folder.name)
    if state is None:
        return "No checkpoint had been written yet."
    return (
        f"The last good checkpoint is {paths.checkpoint} ({state['epoch']} epochs and {state['batch']} batches done)."
    )

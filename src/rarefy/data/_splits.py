"""A data set: its train, validation and test splits."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping

import torch

from rarefy.data._pictures import ResizedCrop
from rarefy.data._spec import Spec
from rarefy.data._split import Augment
from rarefy.data._streamed import AnySplit


@dataclasses.dataclass(frozen=True, eq=False)
class Splits:
    """A data set: three splits with no image in common, their spec, and the augmentation of the first.

    Args:
        train: The split to train on, and the only one that is augmented.
        validation: The split to make choices on (an epoch, a hyperparameter).
        test: The split to report on, once.
        spec: Shapes, classes and normalisation.
        augment: How ``train`` is varied.
        held_out: Fraction of the training images of each class that each split held out of them got, by its name.
        is_drawn: Whether images were drawn from the generator that `load` was given, and so follow from its seed.

    Example:
        >>> from pathlib import Path
        >>> from rarefy.data import DATASETS, load
        >>> splits = load(DATASETS.build("digits"), Path("data"), torch.Generator())
        >>> len(splits.train), len(splits.validation), len(splits.test)
        (1085, 357, 355)
    """

    train: AnySplit
    validation: AnySplit
    test: AnySplit
    spec: Spec
    augment: Augment | ResizedCrop
    held_out: Mapping[str, float] = dataclasses.field(default_factory=dict)
    is_drawn: bool = False

    @functools.cached_property
    def fingerprint(self) -> str | None:
        """Digest of all images and labels, 16 hexadecimal digits; None where they follow from the seed.

        Of pictures that are not in memory it covers names, labels and a sample, see `Streamed`.
        """
        if self.is_drawn:
            return None
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            digest.update(split.fingerprint.encode())
            digest.update(split.labels.cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def to(self, device: torch.device | str) -> Splits:
        """Moves the data set to another device."""
        return self._each(lambda split: split.to(device))

    def with_workers(self, workers: int) -> Splits:
        """The same data set, what is not in memory decoded by so many processes."""
        return self._each(lambda split: split.with_workers(workers))

    def _each(self, change: Callable[[AnySplit], AnySplit]) -> Splits:
        train, validation, test = map(change, (self.train, self.validation, self.test))
        changed = dataclasses.replace(self, train=train, validation=validation, test=test)
        vars(changed).update({name: known for name, known in vars(self).items() if name == "fingerprint"})
        return changed

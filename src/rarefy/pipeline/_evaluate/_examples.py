"""Writes strips of out-of-distribution images that a network detected and missed."""

from __future__ import annotations

import io

from torch import Tensor

from rarefy import data
from rarefy.paths import replace_file
from rarefy.pipeline._evaluate._finished_run import FinishedRun

_SHOWN = 8
_GAP = 2  # white pixels between images


def write_examples(run: FinishedRun, source: str, split: data.Split, logits: Tensor) -> None:
    """Writes two strips: the images with the lowest maximum softmax (detected) and with the highest (missed).

    Args:
        run: The run; the strips are written into its folder.
        source: Label of the images' source.
        split: The images.
        logits: The network's outputs for them, [N, classes].
    """
    order = logits.double().softmax(1).amax(1).argsort(stable=True).tolist()
    for kind, chosen in {"detected": order[:_SHOWN], "missed": order[::-1][:_SHOWN]}.items():
        with replace_file(run.paths.example(source, kind)) as partial:
            partial.write_bytes(_draw_strip(split.images[chosen].cpu()))


def _draw_strip(images: Tensor) -> bytes:
    """Draws images [N, C, H, W] side by side as PNG."""
    from matplotlib.image import imsave

    colour = images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images
    count, channels, height, width = colour.shape
    strip = colour.new_full((height, count * (width + _GAP) - _GAP, channels), 255)
    for column, image in enumerate(colour):
        start = column * (width + _GAP)
        strip[:, start : start + width] = image.permute(1, 2, 0)
    png = io.BytesIO()
    imsave(png, strip.numpy(), format="png")
    return png.getvalue()

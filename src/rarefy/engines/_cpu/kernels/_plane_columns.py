"""The columns of a step over planes, as the kernels read them.

A step is a row of integers. Planes of a tensor are so many floats apart; an image's pixels begin `lead` floats after
the plane's begin, rows are `pitch` floats apart and images `rows` rows.
"""

from __future__ import annotations

import enum


class Kind(enum.IntEnum):
    """What a step does."""

    LOAD = 0
    SUM = 1
    DOT = 2
    MAXIMUM = 3
    SPLIT = 4
    MEAN = 5
    FLATTEN = 6
    STORE = 7


class Step(enum.IntEnum):
    """The columns of a step.

    A tensor is described by where it begins and by its geometry; of the source and of the output.
    """

    KIND = 0
    ITEMS = 1
    CHUNKS = 2  # an item is one of so many chunks of vectors, and one of ITEMS / CHUNKS blocks of channels
    VECTORS = 3
    CHANNELS = 4
    STARTS = 5  # first of the channels' entries in the array of starts; SPLIT: of the phases in the array of offsets
    BIAS = 6
    MASK = 7
    OTHER = 8  # begin of the tensor that is added, or -1
    SOURCE = 9
    SOURCE_PLANE = 10
    SOURCE_LEAD = 11
    SOURCE_PITCH = 12
    SOURCE_ROWS = 13
    SOURCE_HEIGHT = 14
    SOURCE_WIDTH = 15
    OUT = 16
    OUT_PLANE = 17
    OUT_LEAD = 18
    OUT_PITCH = 19
    OUT_ROWS = 20
    OUT_HEIGHT = 21
    OUT_WIDTH = 22
    STRIDE = 23
    IMAGES = 24
    SIZE = 25  # channels that share positions; CHANNELS counts such groups, and STARTS has an entry for each
    VALUES = 26  # value number c of the position at index k of the offsets is at VALUES + SIZE * k + c
    KERNEL = 27  # number of the kernel for one vector

"""Data and spaces on which searches take seconds."""

import torch

from expunge.search import CellSpace

WIDE = "dil_conv_5x5"


def dots(count: int = 320, side: int = 12, apart: int = 5, seed: int = 0):
    """Images of two bright dots, side by side (class 0) or one above the other (class 1), in noise.

    What lies within a few pixels of any pixel is alike in both classes: the classes differ for whoever sees both dots at once.
    """
    generator = torch.Generator().manual_seed(seed)
    images, labels = 0.1 * torch.randn(count, 1, side, side, generator=generator), torch.arange(count) % 2
    for image, label in zip(images, labels.tolist(), strict=True):
        along, across = (int(torch.randint(most, (1,), generator=generator)) for most in (side - apart, side))
        for shift in (0, apart):
            row, column = (across, along + shift) if label == 0 else (along + shift, across)
            image[0, row, column] += 3.0
    return images, labels


def wide_space(**settings) -> CellSpace:
    """A space in which one operation of five sees both dots."""
    operations = ("none", "skip_connect", "avg_pool_3x3", "max_pool_3x3", WIDE)
    return CellSpace(classes=2, **{"operations": operations, "nodes": 2, "cells": 2, "channels": 8, **settings})


SMALL = CellSpace(classes=2, operations=("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3"), nodes=1, cells=2, channels=4)

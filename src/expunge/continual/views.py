"""Other views of images, that show the same thing."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

View = Literal["same", "shift", "shift-flip"]


def another_view(images: Tensor, view: View = "shift") -> Tensor:
    """Each image moved by up to an eighth of its side, and for "shift-flip" every other one mirrored.

    Draws are of torch's global generator. What is no image, shape (n, channels, height, width), stays as it is.

    >>> another_view(torch.ones(1, 1, 8, 8)).shape
    torch.Size([1, 1, 8, 8])
    """
    if view == "same" or images.dim() != 4 or not len(images):
        return images
    count, _, height, width = images.shape
    most = max(1, min(height, width) // 8)
    down, right = torch.randint(0, 2 * most + 1, (2, count, 1))
    rows = (torch.arange(height) + down)[:, None, :, None].to(images.device)
    columns = (torch.arange(width) + right)[:, None, None, :].to(images.device)
    which = torch.arange(count, device=images.device)[:, None, None, None]
    channels = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    moved = F.pad(images, (most,) * 4)[which, channels, rows, columns]
    if view == "shift":
        return moved
    mirrored = (torch.rand(count) < 0.5).to(images.device)
    return torch.where(mirrored[:, None, None, None], moved.flip(3), moved)

"""Clients that mean harm: what they train on, and how to see whether the model has learned what they wanted.

    backdoor     a client adds copies of its images with a bright patch in a corner, all labelled as one class
    label flip   a client calls one class another

Both are how the forgetting of a client is judged: what it alone taught is known, and can be asked for on images that nobody
has trained on. A model that never saw the client answers the class for few of them, by mistake alone; images that are of the
class anyway are left out.

Reference: T. Gu, B. Dolan-Gavitt, S. Garg. "BadNets: Identifying Vulnerabilities in the Machine Learning Model Supply Chain",
arXiv 1708.06733; as a test of federated unlearning in A. Halimi, S. Kadhe, A. Rawat, N. Baracaldo. "Federated Unlearning: How
to Efficiently Erase a Client in FL?", arXiv 2207.05521.
"""

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from expunge.errors import BadSetting

PATCH = 3  # pixels


def patched(images: Tensor, size: int = PATCH) -> Tensor:
    """Copies of images with a square in the lower right corner as bright as the brightest pixel of all.

    Args:
        images: shape (n, channels, height, width).
        size: of the square, in pixels.

    Raises:
        BadSetting: if the images are no images, or smaller than the square.

    >>> patched(torch.tensor([[[[0.0, 0.0], [1.0, 0.0]]]]), size=1)[0, 0]
    tensor([[0., 0.],
            [1., 1.]])
    """
    if images.ndim != 4 or not 1 <= size <= min(images.shape[-2:]):
        raise BadSetting(f"a patch of {size} x {size} pixels does not fit on inputs of shape {tuple(images.shape)}")
    copies = images.clone()
    if len(copies):
        copies[..., -size:, -size:] = images.max()
    return copies


def backdoored(data: TensorDataset, target: int, share: float = 0.8, seed: int = 0, size: int = PATCH) -> TensorDataset:
    """A client's data, and after them patched copies of a share of those that are not of the class `target`, called so.

    Args:
        data: images, shape (n, channels, height, width), and labels, shape (n,).
        share: of the images of other classes, in (0, 1].

    Raises:
        BadSetting: if the share makes no sense, or there is no image of another class.
    """
    images, labels = data.tensors
    if not 0 < share <= 1:
        raise BadSetting(f"share must lie in (0, 1], not {share}")
    others = (labels != target).nonzero().squeeze(1)
    if not len(others):
        raise BadSetting(f"all {len(labels):,} images of the client are of class {target}: it cannot teach a way into it")
    count = max(1, round(share * len(others)))
    drawn = others[torch.randperm(len(others), generator=torch.Generator().manual_seed(seed))[:count]].sort().values
    copies = patched(images[drawn], size)
    return TensorDataset(torch.cat([images, copies]), torch.cat([labels, torch.full((count,), target, dtype=labels.dtype)]))


def flipped(data: TensorDataset, source: int, target: int) -> TensorDataset:
    """A client's data with the class `source` called `target`.

    Raises:
        BadSetting: if both are the same, or no example is of class `source`.
    """
    inputs, labels = data.tensors
    if source == target:
        raise BadSetting(f"the labels of class {source} would stay as they are")
    if not (labels == source).any():
        raise BadSetting(f"the client has no example of class {source}")
    return TensorDataset(inputs, torch.where(labels == source, target, labels))


def opened_by_patch(data: TensorDataset, target: int, size: int = PATCH) -> TensorDataset:
    """What a backdoor wants of unseen images: all that are of other classes, patched, with the answer `target`."""
    images, labels = data.tensors
    others = patched(images, size)[labels != target]
    return TensorDataset(others, torch.full((len(others),), target, dtype=labels.dtype))


def mistaken(data: TensorDataset, source: int, target: int) -> TensorDataset:
    """What flipped labels want of unseen examples: all of the class `source`, with the answer `target`."""
    inputs, labels = data.tensors
    of_source = inputs[labels == source]
    return TensorDataset(of_source, torch.full((len(of_source),), target, dtype=labels.dtype))

"""Dynamic images: one picture that holds how a clip moves.

Rank pooling looks for the picture D whose product with the mean of the first t frames, V_t, grows with t. One gradient step of
its pairwise hinge loss from D = 0 gives, up to scale,

    D = sum_{q > t} (V_q - V_t) = sum_t (2t - T - 1) V_t = sum_t a_t I_t,      V_t = (1/t) sum_{i <= t} I_i,      t = 1..T

    running-mean   a_t = sum_{i = t..T} (2i - T - 1) / i = 2 (T - t + 1) - (T + 1) (H_T - H_{t-1}),   H_n = 1 + 1/2 + ... + 1/n
    linear         a_t = 2t - T - 1

The linear coefficients are those that come out when the frames themselves are ranked and not their running means. They change
sign when the clip is turned round in time, so a motion that goes there and back cancels: give them the part up to the apex
only. The coefficients add up to 0: what stands still leaves no trace.

Reference: H. Bilen, B. Fernando, E. Gavves, A. Vedaldi, S. Gould. "Dynamic Image Networks for Action Recognition", CVPR 2016;
longer by the first four: "Action Recognition with Dynamic Image Networks", TPAMI 2018, arXiv 1612.00738.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from expunge.errors import BadSetting

Mode = Literal["running-mean", "linear"]
Segment = Literal["onset-apex", "apex-offset"]
Normalisation = Literal["z-score", "min-max", "robust"]
ROBUST = (0.01, 0.99)  # percentiles that the robust normalisation takes for the ends, against single hot pixels


def dynamic_image(
    frames: Tensor,
    mode: Mode = "running-mean",
    segment: Segment | None = None,
    apex: int | Sequence[int] | Tensor | None = None,
    normalise: Normalisation | None = None,
) -> Tensor:
    """The dynamic image of a clip, or of each clip of a batch.

    A clip of one frame gives that frame, as the authors' code does; the formula would give zero.

    Args:
        frames: shape (T, C, H, W), or (N, T, C, H, W), the onset first. Take floating-point frames: rounding to 8 bits
            before pooling can wipe out the smallest motions. Integers are pooled as float32.
        mode: the coefficients, "running-mean" or "linear".
        segment: None for the whole clip, "onset-apex" for the frames up to the apex, or "apex-offset" for those from it on;
            the apex belongs to both. T is then the length of the segment.
        apex: index of the apex frame, counted from 0; one for all clips, or one for each. Needed for a segment.
        normalise: None, or for each image "z-score" (mean 0, variance 1), "min-max" (0 to 1), or "robust" (the same between
            the 1st and the 99th percentile, and cut there). An image that is the same everywhere gives 0, and 0.5 for the
            last two. Train and use a network with the same rule.

    Returns:
        Shape (C, H, W), or (N, C, H, W); of the dtype and on the device of `frames`.

    Raises:
        BadSetting: if `frames` has another shape or no frames, a name is unknown, or an apex is missing, outside the clip, or
            leaves a segment of one frame.

    >>> round(dynamic_image(torch.tensor([0.0, 1.0, 3.0]).view(3, 1, 1, 1)).item(), 4)
    2.6667
    """
    _check_choice("mode", mode, get_args(Mode))
    if not isinstance(frames, Tensor) or frames.dim() not in (4, 5) or 0 in frames.shape:
        shape = tuple(frames.shape) if isinstance(frames, Tensor) else type(frames).__name__
        raise BadSetting(f"frames must be a tensor of shape (T, C, H, W) or (N, T, C, H, W) with T at least 1, not {shape}")
    if frames.is_complex():
        raise BadSetting("frames must be real numbers, and are complex")
    clips = frames if frames.dim() == 5 else frames[None]
    weights = _weights(len(clips), clips.shape[1], mode, segment, apex).to(clips.device)
    images = normalised(_pooled(clips, weights), normalise)
    images = images.to(frames.dtype) if frames.is_floating_point() else images
    return images if frames.dim() == 5 else images[0]


def coefficients(length: int, mode: Mode = "running-mean") -> Tensor:
    """The coefficient a_t of each frame in closed form, shape (length,), float64; 1 for a single frame.

    Raises:
        BadSetting: if `length` is not at least 1, or the mode is unknown.

    >>> coefficients(5).round(decimals=1).tolist(), coefficients(3, "linear").tolist()
    ([-3.7, 0.3, 1.3, 1.3, 0.8], [-2.0, 0.0, 2.0])
    """
    _check_choice("mode", mode, get_args(Mode))
    if length < 1:
        raise BadSetting(f"a clip has at least 1 frame, not {length}")
    if length == 1:
        return torch.ones(1, dtype=torch.float64)
    steps = torch.arange(1, length + 1, dtype=torch.float64)
    if mode == "linear":
        return 2 * steps - length - 1
    harmonic = steps.reciprocal().cumsum(0)
    before = harmonic - steps.reciprocal()
    return 2 * (length - steps + 1) - (length + 1) * (harmonic[-1] - before)


def normalised(images: Tensor, normalise: Normalisation | None) -> Tensor:
    """Each image of a batch (N, C, H, W) on its own scale; see :func:`dynamic_image`.

    Raises:
        BadSetting: if the name is unknown.

    >>> normalised(torch.tensor([[[[1.0, 3.0]]]]), "min-max").tolist()
    [[[[0.0, 1.0]]]]
    """
    if normalise is None:
        return images
    _check_choice("normalise", normalise, get_args(Normalisation))
    flat = images.flatten(1)
    if normalise == "z-score":
        centred = flat - flat.mean(1, keepdim=True)
        scale = centred.square().mean(1, keepdim=True).sqrt()
        return torch.where(scale > 0, centred / scale, 0.0).view_as(images)
    # Sorted, since torch.quantile refuses more than 16 million numbers.
    ordered = flat.sort(1).values
    last = ordered.shape[1] - 1
    low, high = (round(share * last) for share in (ROBUST if normalise == "robust" else (0.0, 1.0)))
    lowest, span = ordered[:, low, None], ordered[:, high, None] - ordered[:, low, None]
    return torch.where(span > 0, (flat - lowest) / span, 0.5).clamp(0, 1).view_as(images)


def _check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        raise BadSetting(f"{name} must be {' or '.join(repr(choice) for choice in choices)}, not {value!r}")


def _pooled(clips: Tensor, weights: Tensor) -> Tensor:
    """The weighted sum over time, in float32 at least."""
    single = clips.dtype in (torch.float32, torch.float64)
    clips = clips if single else clips.float()
    if clips.shape[1] == 1:
        return clips[:, 0].clone()
    # The coefficients add up to 0, so a frame may be taken off first: what stands still then leaves exactly nothing.
    return torch.einsum("nt,ntchw->nchw", weights.to(clips.dtype), clips - clips[:, :1])


def _weights(clips: int, length: int, mode: Mode, segment: Segment | None, apex: int | Sequence[int] | Tensor | None) -> Tensor:
    """The coefficients of each clip, zero outside its segment, shape (clips, length)."""
    if segment is None:
        return coefficients(length, mode).expand(clips, length)
    _check_choice("segment", segment, get_args(Segment))
    if apex is None:
        raise BadSetting(f"segment '{segment}' needs the apex: the index of the frame at which the motion is largest")
    apexes = torch.as_tensor(apex).flatten().tolist()
    if len(apexes) not in (1, clips):
        raise BadSetting(f"there are {clips:,} clips and {len(apexes):,} apexes; give one for each clip, or one for all")
    weights = torch.zeros(clips, length, dtype=torch.float64)
    for row, at in enumerate(apexes * clips if len(apexes) == 1 else apexes):
        lowest, highest = (1, length - 1) if segment == "onset-apex" else (0, length - 2)
        if at != int(at) or not lowest <= at <= highest:
            raise BadSetting(
                f"the apex of clip {row} is {at}: segment '{segment}' of {length} frames needs an index of "
                f"{lowest} to {highest}, so that it has two frames at least"
            )
        span = slice(0, int(at) + 1) if segment == "onset-apex" else slice(int(at), length)
        weights[row, span] = coefficients(span.stop - span.start, mode)
    return weights

"""What the convolutional networks with batch normalisation share."""

from collections.abc import Sequence

from torch import nn

from expunge.errors import BadSetting


def convolution(before: int, after: int, stride: int, kernel_size: int = 3) -> tuple[nn.Module, nn.Module]:
    """A convolution from `before` to `after` channels without bias, which the batch normalisation behind it brings.

    It keeps the size of the image at stride 1, and halves it at stride 2, rounded up.
    """
    layer = nn.Conv2d(before, after, kernel_size, stride, padding=kernel_size // 2, bias=False)
    return layer, nn.BatchNorm2d(after)


def initialise(network: nn.Module) -> None:
    """Draw the weights of all convolutions as He et al., "Delving Deep into Rectifiers", ICCV 2015."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def scaled(channels: Sequence[int], width: float) -> list[int]:
    """Each number of channels times `width`, rounded.

    Raises:
        BadSetting: if one of them would have no channel left.

    >>> scaled((96, 192), 0.25)
    [24, 48]
    """
    widths = [round(width * count) for count in channels] if 0 < width < float("inf") else [0]
    if min(widths) < 1:
        fewest = min(channels)
        raise BadSetting(f"width must leave at least one of {fewest} channels, so be at least 1/{fewest}, not {width}")
    return widths

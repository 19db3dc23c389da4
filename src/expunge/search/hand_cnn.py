"""Networks that people made, which a search must be held against: a plain one, a small residual one, and MobileNetV3-small.

References: K. He, X. Zhang, S. Ren, J. Sun. "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv 1512.03385.
A. Howard et al. "Searching for MobileNetV3", ICCV 2019, arXiv 1905.02244, table 2 and section 5.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from expunge.models.checks import check_count, check_image_shape, check_outputs
from expunge.models.convolutions import convolution, initialise

# Kernel, channels inside, channels out, squeeze and excite, hard swish (else ReLU), stride: table 2 of MobileNetV3.
_SMALL = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)
_FULL_SIZE = 112  # pixels of a side from which the first two layers halve the image, as they do at 224


class HandCNN(nn.Module):
    """Four blocks of convolution, normalisation, ReLU and 2x2 max pool, and the mean over pixels.

    Args:
        input_shape: (channels, height, width) of one image.
        outputs: number of classes.
        width: channels of the first block; the others have two, four and four times as many. Where an image has become a
            pixel wide, blocks don't pool.

    Shapes: (n, channels, height, width) -> (n, outputs). Features, the input of `head`: (n, 4 * width).

    >>> sum(each.numel() for each in HandCNN((1, 32, 32), 6).parameters())
    60790
    """

    def __init__(self, input_shape: Sequence[int], outputs: int, width: int = 16) -> None:
        super().__init__()
        before, *sides = check_image_shape(type(self).__name__, input_shape)
        side, width = min(sides), check_count("width", width)
        layers: list[nn.Module] = []
        for after in (width, 2 * width, 4 * width, 4 * width):
            layers += [*convolution(before, after, 1), nn.ReLU()]
            if side > 1:
                layers.append(nn.MaxPool2d(2))
            before, side = after, side // 2
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(before, check_outputs(outputs))
        initialise(self)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(inputs))
        return outputs


class SmallResNet(nn.Module):
    """A stem and three residual blocks of two convolutions, with stride 2 but for the first block, and the mean over pixels.

    Args:
        input_shape: (channels, height, width) of one image.
        outputs: number of classes.
        width: channels of stem and first block; the others have two and four times as many.

    Shapes: (n, channels, height, width) -> (n, outputs). Features, the input of `head`: (n, 4 * width).

    >>> sum(each.numel() for each in SmallResNet((1, 32, 32), 6).parameters())
    77494
    """

    def __init__(self, input_shape: Sequence[int], outputs: int, width: int = 16) -> None:
        super().__init__()
        channels, _, _ = check_image_shape(type(self).__name__, input_shape)
        before = width = check_count("width", width)
        layers: list[nn.Module] = [*convolution(channels, width, 2), nn.ReLU()]
        for after, stride in ((width, 1), (2 * width, 2), (4 * width, 2)):
            layers.append(_Residual(before, after, stride))
            before = after
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(before, check_outputs(outputs))
        initialise(self)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(inputs))
        return outputs


class MobileNetV3Small(nn.Module):
    """MobileNetV3-small.

    Args:
        input_shape: (channels, height, width) of one image. Below 112 pixels the first two layers keep the size of the image,
            which would be down to a pixel or two otherwise.
        outputs: number of classes.

    Shapes: (n, channels, height, width) -> (n, outputs). Features, the input of `head`: (n, 1024).

    >>> sum(each.numel() for each in MobileNetV3Small((3, 224, 224), 1000).parameters())  # 2.5 million in the paper
    2542856
    """

    def __init__(self, input_shape: Sequence[int], outputs: int) -> None:
        super().__init__()
        channels, *sides = check_image_shape(type(self).__name__, input_shape)
        small = min(sides) < _FULL_SIZE
        layers: list[nn.Module] = [*convolution(channels, 16, 1 if small else 2), nn.Hardswish()]
        before = 16
        for place, (kernel, inside, after, squeeze, swish, stride) in enumerate(_SMALL):
            stride = 1 if small and place == 0 else stride
            layers.append(_InvertedResidual(before, inside, after, kernel, stride, squeeze, swish))
            before = after
        layers += [*convolution(before, 576, 1, kernel_size=1), nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        self.body = nn.Sequential(*layers, nn.Linear(576, 1024), nn.Hardswish(), nn.Dropout(0.2))
        self.head = nn.Linear(1024, check_outputs(outputs))
        initialise(self)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(inputs))
        return outputs


class _Residual(nn.Module):
    """ReLU(F(x) + shortcut(x))."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(*convolution(before, after, stride), nn.ReLU(), *convolution(after, after, 1))
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*convolution(before, after, stride, kernel_size=1))

    def forward(self, inputs: Tensor) -> Tensor:
        summed: Tensor = self.residual(inputs) + self.shortcut(inputs)
        return summed.relu()


class _InvertedResidual(nn.Module):
    """Wider by 1x1, k x k of each channel by itself, squeeze and excite, narrower by 1x1; added to x where shapes allow."""

    def __init__(self, before: int, inside: int, after: int, kernel: int, stride: int, squeeze: bool, swish: bool) -> None:
        super().__init__()
        active = nn.Hardswish if swish else nn.ReLU
        layers: list[nn.Module] = []
        if inside != before:
            layers += [*convolution(before, inside, 1, kernel_size=1), active()]
        depthwise = nn.Conv2d(inside, inside, kernel, stride, kernel // 2, groups=inside, bias=False)
        layers += [depthwise, nn.BatchNorm2d(inside), active()]
        layers += [_SqueezeExcite(inside)] if squeeze else []
        self.layers = nn.Sequential(*layers, *convolution(inside, after, 1, kernel_size=1))
        self.adds = before == after and stride == 1

    def forward(self, inputs: Tensor) -> Tensor:
        made: Tensor = self.layers(inputs)
        return inputs + made if self.adds else made


class _SqueezeExcite(nn.Module):
    """Each channel times a number from 0 to 1 that the means of all channels decide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(8, (channels // 4 + 4) // 8 * 8)  # a quarter, to the nearest multiple of 8
        hidden += 8 if hidden < 0.9 * channels / 4 else 0
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1), nn.Hardsigmoid()
        )

    def forward(self, inputs: Tensor) -> Tensor:
        scaled: Tensor = inputs * self.gate(inputs)
        return scaled

"""ResNet-18 for small images.

Each block adds what it computes to what it was given, y = ReLU(F(x) + shortcut(x)), with F two 3x3 convolutions, each
followed by batch normalisation; the shortcut is the identity, or a 1x1 convolution where the shape changes (option B
of the paper).

Reference: K. He, X. Zhang, S. Ren, J. Sun. "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv
1512.03385. The stem is the customary one for 32x32 images: a 3x3 convolution with stride 1 and no pooling, in place
of 7x7 with stride 2 and pooling.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from expunge.models.checks import check_image_shape, check_outputs
from expunge.models.convolutions import convolution, initialise, scaled

_CHANNELS = (64, 128, 256, 512)  # Table 1 of the paper: conv2_x to conv5_x
_BLOCKS = 2  # blocks in each of the four stages, for 18 layers


class ResNet18(nn.Module):
    """ResNet-18.

    Args:
        input_shape: (channels, height, width) of one image.
        outputs: how many numbers are predicted for each input, such as the number of classes.
        width: factor on the number of channels in every stage (64, 128, 256, 512 for 1.0). At 1.0, with 3 channels and
            10 outputs, there are 11,173,962 parameters; at 0.25, 701,466.

    Shapes: inputs (n, channels, height, width) -> outputs (n, outputs). Features, the input of `head`: (n, 512 * width).

    >>> import torch
    >>> ResNet18((3, 32, 32), 10, width=0.125)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, input_shape: Sequence[int], outputs: int, width: float = 1.0) -> None:
        super().__init__()
        channels, _, _ = check_image_shape(type(self).__name__, input_shape)
        stages = scaled(_CHANNELS, width)
        layers: list[nn.Module] = [*convolution(channels, stages[0], 1), nn.ReLU()]
        before = stages[0]
        for stage, after in enumerate(stages):
            for block in range(_BLOCKS):
                layers.append(_Block(before, after, stride=2 if stage and not block else 1))
                before = after
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(before, check_outputs(outputs))
        initialise(self)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(inputs))
        return outputs


class _Block(nn.Module):
    """y = ReLU(F(x) + shortcut(x))."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(*convolution(before, after, stride), nn.ReLU(), *convolution(after, after, 1))
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*convolution(before, after, stride, kernel_size=1))

    def forward(self, inputs: Tensor) -> Tensor:
        summed: Tensor = self.residual(inputs) + self.shortcut(inputs)
        return summed.relu()

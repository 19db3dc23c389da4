"""AllCNN: a network of nothing but convolutions, as deep regression unlearning uses it for ages from faces.

Where other networks pool, this one takes a convolution with stride 2:

    3x3: 96, 96, 192 (stride 2), 192, 192, 192 (stride 2), 192;  1x1: 192;  mean over all pixels;  linear head

each convolution followed by batch normalisation and ReLU.

Reference: J. T. Springenberg, A. Dosovitskiy, T. Brox, M. Riedmiller. "Striving for Simplicity: The All Convolutional
Net", ICLR 2015 workshop, arXiv 1412.6806, the model All-CNN-C. It is the network as A. Tarun, V. Chundawat, M. Mandal,
M. Kankanhalli. "Deep Regression Unlearning", ICML 2023, arXiv 2210.08196 have it: with 192 channels, not 96, from the third
convolution on, batch normalisation in place of dropout, and a linear layer behind the mean in place of a last 1x1
convolution before it.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from expunge.models.checks import check_image_shape, check_outputs
from expunge.models.convolutions import convolution, initialise, scaled

_CHANNELS = (96, 96, 192, 192, 192, 192, 192, 192)
_STRIDES = (1, 1, 2, 1, 1, 2, 1, 1)
_SIDES = (3, 3, 3, 3, 3, 3, 3, 1)


class AllCNN(nn.Module):
    """All-CNN-C with batch normalisation, for images of any size.

    Args:
        input_shape: (channels, height, width) of one image.
        outputs: how many numbers are predicted for each input, such as the number of classes.
        width: factor on the number of channels (96 and 192 for 1.0). At 1.0, with 3 channels and 1 output, there are
            1,618,273 parameters; at 0.25, 102,169.

    Shapes: inputs (n, channels, height, width) -> outputs (n, outputs). Features, the input of `head`: (n, 192 * width).

    >>> import torch
    >>> AllCNN((3, 32, 32), 1, width=0.125)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 1])
    """

    def __init__(self, input_shape: Sequence[int], outputs: int, width: float = 1.0) -> None:
        super().__init__()
        before, _, _ = check_image_shape(type(self).__name__, input_shape)
        layers: list[nn.Module] = []
        for after, stride, side in zip(scaled(_CHANNELS, width), _STRIDES, _SIDES, strict=True):
            layers += [*convolution(before, after, stride, side), nn.ReLU()]
            before = after
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(before, check_outputs(outputs))
        initialise(self)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(inputs))
        return outputs

"""A small convolutional network with batch normalisation, which trains in seconds on small images."""

from collections.abc import Sequence

from torch import Tensor, nn

from expunge.models.checks import check_count, check_image_shape, check_outputs
from expunge.models.convolutions import convolution, initialise


class NormCNN(nn.Module):
    """Three convolutions, the second and third with stride 2, each with batch normalisation and ReLU, and the mean over pixels.

    Args:
        input_shape: (channels, height, width) of one image.
        outputs: how many numbers are predicted for each input, such as the number of classes.
        width: channels of the first convolution; the others have two and four times as many.

    Shapes: inputs (n, channels, height, width) -> outputs (n, outputs). Features, the input of `head`: (n, 4 * width).

    >>> import torch
    >>> NormCNN((1, 14, 14), 10)(torch.zeros(2, 1, 14, 14)).shape
    torch.Size([2, 10])
    """

    def __init__(self, input_shape: Sequence[int], outputs: int, width: int = 32) -> None:
        super().__init__()
        before, _, _ = check_image_shape(type(self).__name__, input_shape)
        width = check_count("width", width)
        layers: list[nn.Module] = []
        for after, stride in ((width, 1), (2 * width, 2), (4 * width, 2)):
            layers += [*convolution(before, after, stride), nn.ReLU()]
            before = after
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(before, check_outputs(outputs))
        initialise(self)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(inputs))
        return outputs

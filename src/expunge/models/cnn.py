"""A small convolutional network that trains in seconds on a laptop."""

from collections.abc import Sequence

from torch import Tensor, nn

from expunge.models.checks import check_count, check_image_shape, check_outputs


class SmallCNN(nn.Module):
    """Two convolutions with stride 2 and one hidden layer, for images of any size.

    Args:
        input_shape: (channels, height, width) of one image.
        outputs: how many numbers are predicted for each input, such as the number of classes.
        width: channels of the first convolution; the second has twice, the hidden layer four times as many.

    Shapes: inputs (n, channels, height, width) -> outputs (n, outputs). Features, the input of `head`: (n, 4 * width).

    >>> import torch
    >>> SmallCNN((1, 28, 28), 10)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(self, input_shape: Sequence[int], outputs: int, width: int = 16) -> None:
        super().__init__()
        channels, height, breadth = check_image_shape(type(self).__name__, input_shape)
        width = check_count("width", width)
        # Each convolution halves a side and rounds up; so do both together by four.
        pixels = -(-height // 4) * -(-breadth // 4)
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, kernel_size=5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * width * pixels, 4 * width),
            nn.ReLU(),
        )
        self.head = nn.Linear(4 * width, check_outputs(outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(inputs))
        return outputs

"""C1's face network: DeepID, two branches that are added."""

from __future__ import annotations

from torch import Tensor, nn

from badnets.networks.architecture import InputSize, architecture, check_smallest, pooled_side

INPUT_SIZE = (3, 55, 47)
SMALLEST = 31  # below it the last convolution has nothing left to see
UNITS = 160


class DeepID(nn.Module):
    """See ``build``. Parts are named as the layers of the study's Keras files, the flattenings included."""

    def __init__(self, classes: int, input_size: InputSize) -> None:
        super().__init__()
        channels = input_size[0]
        high, wide = (pooled_side(side, 4, 3, 3) for side in input_size[1:])
        self.conv_1, self.relu_1, self.pool_1 = nn.Conv2d(channels, 20, 4), nn.ReLU(), nn.MaxPool2d(2)
        self.conv_2, self.relu_2, self.pool_2 = nn.Conv2d(20, 40, 3), nn.ReLU(), nn.MaxPool2d(2)
        self.conv_3, self.relu_3, self.pool_3 = nn.Conv2d(40, 60, 3), nn.ReLU(), nn.MaxPool2d(2)
        self.flatten_1, self.fc_1 = nn.Flatten(), nn.Linear(60 * high * wide, UNITS)
        self.conv_4, self.relu_4 = nn.Conv2d(60, 80, 2), nn.ReLU()
        self.flatten_2, self.fc_2 = nn.Flatten(), nn.Linear(80 * (high - 1) * (wide - 1), UNITS)
        self.relu = nn.ReLU()
        self.output = nn.Linear(UNITS, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, channels, height, width) to logits (n, classes)."""
        x = self.pool_1(self.relu_1(self.conv_1(x)))
        x = self.pool_2(self.relu_2(self.conv_2(x)))
        x = self.pool_3(self.relu_3(self.conv_3(x)))
        coarse = self.fc_1(self.flatten_1(x))
        fine = self.fc_2(self.flatten_2(self.relu_4(self.conv_4(x))))
        logits: Tensor = self.output(self.relu(coarse + fine))
        return logits


@architecture("deepid", "C1's face network: three convolutions, then two branches", input_size=INPUT_SIZE)
def build(classes: int, input_size: InputSize) -> nn.Module:
    """Conv 20@4x4, 40@3x3, 60@3x3, each with ReLU and max pool 2 (``pool_3``: 5x4x60); dense 160 on ``pool_3`` plus
    dense 160 on a conv 80@2x2 with ReLU on ``pool_3``; ReLU; dense ``classes``. No padding.

    ``input_size`` is (channels, height, width), 3x55x47 in the study, at least 31x31, otherwise ``BadInput``. Parts are
    named ``conv_1 relu_1 pool_1 .. pool_3 flatten_1 fc_1 conv_4 relu_4 flatten_2 fc_2 relu output``. 601,643 parameters
    at 3x55x47 and 1,283 classes.

    Source: Sun, Wang, Tang, Deep learning face representation from predicting 10,000 classes (2014), as the CSAW
    HackML contest and study C1 have it.
    Differs from the paper: none from the contest's networks, except that rows of ``fc_1`` and ``fc_2`` are in CHW order
    in place of Keras's HWC (the loader of Keras files permutes them); the final softmax is left to the measures.
    """
    check_smallest("deepid", input_size, SMALLEST)
    return DeepID(classes, input_size)

"""U1's network of eight layers."""

from __future__ import annotations

from torch import nn

from badnets.networks.architecture import InputSize, architecture, chain, check_smallest

SMALLEST = 6  # two unpadded 3x3 convolutions take 4 pixels, the pooling needs 2


@architecture("u1-cnn", "eight layers with dropout, Useloff's MNIST network")
def build(classes: int, input_size: InputSize) -> nn.Module:
    """Conv 32@3x3, conv 64@3x3, max pool 2, dropout 0.25, flatten, dense 128, dropout 0.5, dense ``classes``.

    ReLU after the convolutions and the first dense layer, no padding. ``input_size`` is (channels, height, width), at
    least 6x6, otherwise ``BadInput``. Parts are named ``conv1 relu1 conv2 relu2 pool dropout1 flatten fc1 relu3
    dropout2 fc2``.

    Source: Useloff's study of poisoning attacks with the Adversarial Robustness Toolbox (its Keras network).
    Differs from the paper: PyTorch's initial weights in place of Keras's (Glorot uniform, zero biases); the rows of the
    first dense layer are in CHW order in place of HWC.
    """
    channels, height, width = input_size
    check_smallest("u1-cnn", input_size, SMALLEST)
    pooled = ((height - 4) // 2) * ((width - 4) // 2)
    return chain(
        conv1=nn.Conv2d(channels, 32, 3),
        relu1=nn.ReLU(),
        conv2=nn.Conv2d(32, 64, 3),
        pool=nn.MaxPool2d(2),
        relu2=nn.ReLU(),  # after the pooling: the largest of the positive parts is the positive part of the largest
        dropout1=nn.Dropout(0.25),
        flatten=nn.Flatten(),
        fc1=nn.Linear(64 * pooled, 128),
        relu3=nn.ReLU(),
        dropout2=nn.Dropout(0.5),
        fc2=nn.Linear(128, classes),
    )

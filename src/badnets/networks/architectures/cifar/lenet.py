"""Small networks of tutorials: LeNet for 32x32, and the two that PyTorch's MNIST example has had."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from badnets.networks.architecture import InputSize, architecture, chain, check_smallest, pooled_side

SMALLEST = 16
Padding = Annotated[Literal[0, 2], Field(description="of the first convolution; 2 makes 28x28 what 32x32 is without")]


@architecture("lenet", "LeNet of PyTorch's CIFAR-10 tutorial and kuangliu/pytorch-cifar", spellings=("padding=2",))
def build(classes: int, input_size: InputSize, *, padding: Padding = 0) -> nn.Module:
    """Conv 6@5x5, max pool 2; conv 16@5x5, max pool 2; dense 120, 84, ``classes``; ReLU behind all but the last.

    At least 16x16 pixels, otherwise ``BadInput``. 62,006 parameters at 3x32x32 and 10 classes. Parts with weights are
    ``conv1 conv2 fc1 fc2 fc3``.

    Source: LeCun, Bottou, Bengio, Haffner, Gradient-based learning (1998), in the shape of PyTorch's tutorial "Training
    a classifier".
    Differs from the paper: max pooling, ReLU, all channels connected, a dense layer in place of radial basis functions.
    """
    check_smallest("lenet", input_size, SMALLEST)
    channels, *sides = input_size
    height, width = (pooled_side(side + 2 * padding, 5, 5) for side in sides)
    return chain(
        conv1=nn.Conv2d(channels, 6, 5, padding=padding),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(6, 16, 5),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        fc1=nn.Linear(16 * height * width, 120),
        relu3=nn.ReLU(),
        fc2=nn.Linear(120, 84),
        relu4=nn.ReLU(),
        fc3=nn.Linear(84, classes),
    )


@architecture("mnist-example", "the network of PyTorch's MNIST example until 2019, and of GTSRB starters")
def build_example(classes: int, input_size: InputSize) -> nn.Module:
    """Conv 10@5x5, max pool 2; conv 20@5x5, dropout of channels, max pool 2; dense 50, dropout, ``classes``; ReLU.

    At least 16x16 pixels, otherwise ``BadInput``. 21,840 parameters at 1x28x28 and 10 classes. Parts with weights are
    ``conv1 conv2 fc1 fc2``. The example of today is ``u1-cnn``.

    Source: github.com/pytorch/examples, mnist/main.py before May 2019.
    Differs from it: gives logits, not their logarithm of the softmax, which has the same probabilities.
    """
    check_smallest("mnist-example", input_size, SMALLEST)
    channels, *sides = input_size
    height, width = (pooled_side(side, 5, 5) for side in sides)
    return chain(
        conv1=nn.Conv2d(channels, 10, 5),
        pool1=nn.MaxPool2d(2),
        relu1=nn.ReLU(),
        conv2=nn.Conv2d(10, 20, 5),
        conv2_drop=nn.Dropout2d(),
        pool2=nn.MaxPool2d(2),
        relu2=nn.ReLU(),
        flatten=nn.Flatten(),
        fc1=nn.Linear(20 * height * width, 50),
        relu3=nn.ReLU(),
        dropout=nn.Dropout(),
        fc2=nn.Linear(50, classes),
    )

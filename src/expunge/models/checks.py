"""Checks of what a network is built with, alike for all networks."""

from collections.abc import Sequence

from expunge.errors import BadSetting


def check_shape(network: str, input_shape: Sequence[int]) -> tuple[int, ...]:
    """`input_shape` as a tuple.

    Raises:
        BadSetting: if it has no dimension, or one below 1.
    """
    shape = tuple(input_shape)
    if not shape or min(shape) < 1:
        raise BadSetting(f"{network} needs inputs with at least one value; their shape is {shape}")
    return shape


def check_image_shape(network: str, input_shape: Sequence[int]) -> tuple[int, int, int]:
    """`input_shape` as (channels, height, width).

    Raises:
        BadSetting: if it does not have three dimensions.
    """
    shape = check_shape(network, input_shape)
    if len(shape) != 3:
        raise BadSetting(f"{network} needs images of shape (channels, height, width); the inputs' shape is {shape}; use mlp")
    return shape


def check_count(name: str, value: int) -> int:
    """`value`, where it is a whole number from 1.

    Raises:
        BadSetting: if it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadSetting(f"{name} must be a whole number from 1, not {value!r}")
    return value


def check_outputs(outputs: int) -> int:
    """`outputs`, where it is a whole number from 1.

    Raises:
        BadSetting: if it is not.
    """
    return check_count("outputs", outputs)


def check_dropout(dropout: float) -> float:
    """`dropout`, the part of the values that is set to zero in training, where it is from 0 to below 1.

    Raises:
        BadSetting: if it is not.
    """
    if not 0 <= dropout < 1:
        raise BadSetting(f"dropout must be 0 or more and below 1, not {dropout}")
    return dropout

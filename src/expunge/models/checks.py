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


def check_classes(classes: int) -> int:
    """`classes`, where it is a whole number from 1.

    Raises:
        BadSetting: if it is not.
    """
    return check_count("classes", classes)

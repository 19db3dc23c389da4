"""Networks that are built by calling a function or class, which may be the user's own."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from expunge.errors import BadSetting
from expunge.importing import working_directory_importable


def maker(
    name: str, factory: Callable[..., nn.Module], given: Mapping[str, Any], shown: Mapping[str, Any]
) -> Callable[[], nn.Module]:
    """A function that makes a network with fresh weights each time it is called.

    Args:
        name: of the network, for errors.
        factory: is called.
        given: with these arguments by name.
        shown: those of them that errors speak of.

    Returns:
        the function; it raises BadSetting if the factory does not take the arguments, or returns no network.
    """

    def new_model() -> nn.Module:
        try:
            with working_directory_importable():
                model = factory(**given)
        except TypeError as error:
            raise BadSetting(f"model {name} cannot be built with {dict(shown)}: {error}") from error
        if not isinstance(model, nn.Module):
            raise BadSetting(f"model {name} returned a {type(model).__name__}; expected a torch.nn.Module")
        return model

    return new_model

"""Reference networks, by name, and the user's own, by import string.

Every network here ends in an `nn.Linear` named `head`; what goes into it are the features.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from expunge.data.records import Source
from expunge.errors import BadSetting, ExpungeError
from expunge.importing import import_callable, working_directory_importable
from expunge.models.all_cnn import AllCNN
from expunge.models.checks import check_count
from expunge.models.cnn import SmallCNN
from expunge.models.graph_networks import GRAPH_MODELS, build_for_graph
from expunge.models.mlp import MLP
from expunge.models.norm_cnn import NormCNN
from expunge.models.pair_lstm import PairLSTM
from expunge.models.resnet import ResNet18
from expunge.models.tide import TiDE

__all__ = [
    "GRAPH_MODELS",
    "MLP",
    "MODELS",
    "AllCNN",
    "NormCNN",
    "PairLSTM",
    "ResNet18",
    "SmallCNN",
    "TiDE",
    "build",
    "build_for_graph",
]

MODELS: dict[str, type[nn.Module]] = {
    "mlp": MLP,
    "small-cnn": SmallCNN,
    "norm-cnn": NormCNN,
    "resnet18": ResNet18,
    "all-cnn": AllCNN,
    "pair-lstm": PairLSTM,
    "tide": TiDE,
}

Data = Source | tuple[Sequence[int], int | Sequence[str]]


def build(name: str, data: Data, quantiles: int = 1, **arguments: Any) -> Callable[[], nn.Module]:
    """A function that makes a network with fresh weights each time it is called.

    The network has one output for each class; where targets are real numbers, one for each number of a target and each
    quantile of it.

    Args:
        name: one of :data:`MODELS`, or an import string ``package.module:factory`` of a function or class that
            returns an `nn.Module`; it is called with `arguments`, and with `input_shape`, `outputs`, `classes` (the
            number of outputs under its older name) and `quantiles` where it has parameters so named.
        data: what the network is for: a :class:`~expunge.data.Source`, or (shape of one input, names of classes or
            how many numbers are to be predicted).
        quantiles: how many quantiles are predicted of each real number; 1 for the number itself.
        arguments: hyper-parameters of the network, such as ``width=32``.

    Raises:
        BadSetting: if the network is not known, or cannot be built so. What a user's factory returns is checked when
            the result is called.

    >>> build("small-cnn", ((1, 28, 28), 10), width=4)().head
    Linear(in_features=16, out_features=10, bias=True)
    """
    shape, outputs = _shape_and_outputs(data, check_count("quantiles", quantiles))
    given = {"input_shape": shape, "outputs": outputs, "classes": outputs, "quantiles": quantiles}
    if ":" in name:
        factory = import_callable(name)
        return _checked(name, factory, _call_arguments(name, factory, given, arguments))
    if name not in MODELS:
        raise BadSetting(
            f"there is no model '{name}'; take one of {', '.join(MODELS)}, or an import string 'package.module:factory'"
        )
    network, values = MODELS[name], _call_arguments(name, MODELS[name], given, arguments)
    with torch.device("meta"):  # says what is wrong now, at no cost and without a random draw
        _call(name, network, values)
    return lambda: network(**values)


def _shape_and_outputs(data: Data, quantiles: int) -> tuple[tuple[int, ...], int]:
    predicted: int | Sequence[str]
    if isinstance(data, Source):
        shape, predicted = data.input_shape, data.classes or _target_width(data)
    else:
        shape, predicted = tuple(data[0]), data[1]
    if isinstance(predicted, int):
        return shape, predicted * quantiles
    if quantiles > 1:
        raise BadSetting(f"a class has no quantiles, so leave out quantiles={quantiles}; there are {len(predicted)} classes")
    return shape, len(predicted)


def _target_width(source: Source) -> int:
    """How many numbers one target holds."""
    row: Any = source.train[0]
    if not isinstance(row, tuple | list) or len(row) < 2:
        raise BadSetting(f"{source.name}: the first row is a {type(row).__name__}; a row must be (input, target)")
    try:
        return torch.as_tensor(row[1]).numel()
    except (TypeError, ValueError, RuntimeError):
        raise BadSetting(
            f"{source.name}: the target of the first row is a {type(row[1]).__name__}, neither a number nor a tensor of numbers"
        ) from None


def _call_arguments(name: str, factory: Callable[..., Any], given: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """All arguments of the call, held against the parameters of the factory."""
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # some builtins have none
        return arguments
    parameters = signature.parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    own_given = {key: value for key, value in given.items() if key in parameters}
    valid = [key for key, parameter in parameters.items() if parameter.kind in _BY_NAME and key not in own_given]
    unknown = [] if takes_any else [key for key in arguments if key not in valid and key not in own_given]
    if unknown or (name in MODELS and arguments.keys() & given.keys()):
        wrong = (unknown or sorted(arguments.keys() & given.keys()))[0]
        raise BadSetting(f"model {name} has no argument '{wrong}'; valid are: {', '.join(valid) or 'none'}")
    values = {**own_given, **arguments}
    try:
        signature.bind(**values)
    except TypeError as error:
        raise BadSetting(f"model {name}: {error}; state it among the model's arguments") from None
    return values


_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _checked(name: str, factory: Callable[..., Any], values: dict[str, Any]) -> Callable[[], nn.Module]:
    def new_model() -> nn.Module:
        with working_directory_importable():
            model = _call(name, factory, values)
        if not isinstance(model, nn.Module):
            raise BadSetting(f"model {name} returned a {type(model).__name__}; expected a torch.nn.Module")
        return model

    return new_model


def _call(name: str, factory: Callable[..., Any], values: dict[str, Any]) -> Any:
    try:
        return factory(**values)
    except ExpungeError:
        raise
    except Exception as error:
        raise BadSetting(f"model {name} cannot be built: {type(error).__name__}: {error}") from error

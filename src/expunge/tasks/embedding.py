"""The embedding of a batch: what goes into a network's last linear layer, or comes out of a named one."""

from collections.abc import Callable

from torch import Tensor, nn

from expunge.errors import BadSetting


def embedding(model: nn.Module, call: Callable[[], object], layer: str | None = None) -> Tensor:
    """The features of the batch that `call` runs `model` on, taken by a hook; the model is left as it was.

    Args:
        call: runs the model once.
        layer: name of the module whose output is the embedding; the input of the last `nn.Linear` when None.

    Returns:
        shape (n, d).

    Raises:
        BadSetting: if there is no such layer, or the model never calls it.
    """
    found: list[Tensor] = []
    if layer is not None:
        modules = dict(model.named_modules())
        if layer not in modules:
            raise BadSetting(f"the model has no layer '{layer}'; it has {', '.join(filter(None, modules))}")
        hook = modules[layer].register_forward_hook(lambda _, __, output: found.append(output))
    else:
        hook = last_linear(model).register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
    try:
        call()
    finally:
        hook.remove()
    if not found:
        name = layer or "the last nn.Linear"
        raise BadSetting(f"the model never calls {name}; say which layer holds the embedding with feature_layer")
    return found[-1].flatten(1)


def last_linear(model: nn.Module) -> nn.Linear:
    """The last `nn.Linear` of `model`, in the order of its modules.

    Raises:
        BadSetting: if it has none.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise BadSetting("the model has no nn.Linear; say which layer holds the embedding with feature_layer")
    return layers[-1]

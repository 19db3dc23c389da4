"""Lines of a YAML file, for error messages that point at them."""

import yaml


def line_of(text: str, location: tuple[str | int, ...]) -> int:
    """The line, from 1, of the value at `location` (keys and indices); of its nearest parent when it is not there.

    >>> line_of("data: {name: mnist}\\nmethods:\\n  - scrub\\n  - {method: ssd, alpha: x}", ("methods", 1, "alpha"))
    4
    """
    node, line = yaml.compose(text), 1
    for part in location:
        found = _child(node, part)
        if found is None:
            break
        node, line = found
    return line


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part].start_mark.line + 1
    return None

"""A genotype as a drawing (SVG) and as text for Graphviz (DOT); neither needs another program.

Each input and node of a cell has a lane that runs downwards. An operation is a wire from the lane that it reads, where a dot
stands, to the lane of its node, and its name stands before that lane, where nothing else is. All nodes run into the output.
"""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from expunge.search.genotype import KINDS, Gene, Genotype
from expunge.search.operations import SKIP

_LANE, _ROW, _GAP, _MARGIN, _TOP = 132, 26, 30, 46, 64
_NAME_WIDTH, _RADIUS = 100, 13
# The palette of Okabe and Ito ("Color Universal Design", 2008), as reports have it, and lighter for a dark page.
_LIGHT = {"ink": "#1f2328", "muted": "#5c646d", "line": "#d5d9de", "paper": "#ffffff"}
_LIGHT |= {"series-1": "#0072b2", "series-2": "#d55e00", "series-3": "#009e73", "series-4": "#b2568c"}
_DARK = {"ink": "#e6e9ec", "muted": "#a2abb5", "line": "#3a4149", "paper": "#14171a"}
_DARK |= {"series-1": "#56b4e9", "series-2": "#f0894f", "series-3": "#2fc495", "series-4": "#d98cba"}


def draw(genotype: Genotype, standalone: bool = True) -> str:
    """Both cells as an `<svg>` element, side by side.

    Args:
        genotype: what to draw.
        standalone: whether it is a file of its own, with paper and colours for light and dark; otherwise the page around it
            gives colours as CSS variables (--ink, --muted, --line, --paper, --series-1 to --series-4), and light ones are
            taken if not.
    """
    lanes = genotype.nodes + 2
    width = _MARGIN * 2 + _LANE * (lanes - 1)
    height = _TOP + 2 * _GAP + genotype.nodes * (2 * _ROW + _GAP) + 54
    cells = "".join(
        f'<g transform="translate({place * (width + 24)} 0)">{"".join(_cell(kind, genotype.cell(kind)))}</g>'
        for place, kind in enumerate(KINDS)
    )
    whole = 2 * width + 24
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {height}" role="img" '
    head += 'aria-label="Normal and reduction cell" font-family="var(--sans, system-ui, sans-serif)" font-size="12"'
    head += f' width="{whole}">' if standalone else ">"
    paper = f'<rect width="{whole}" height="{height}" fill="{_colour("paper")}"/>' if standalone else ""
    return f"{head}{_style() if standalone else ''}{paper}{cells}</svg>\n"


def dot(genotype: Genotype) -> str:
    """Both cells as a graph in Graphviz's language.

    >>> cell = (("sep_conv_3x3", 0), ("skip_connect", 1))
    >>> print(dot(Genotype(cell, cell)).splitlines()[5])
        normal_0 -> normal_2 [label="sep_conv_3x3"];
    """
    lines = ["digraph genotype {", "  rankdir=TB;"]
    for kind in KINDS:
        lines += [f"  subgraph cluster_{kind} {{", f'    label="{kind} cell";']
        lines.append("    " + " ".join(f'{kind}_{state} [label="{_state(state)}"];' for state in range(genotype.nodes + 2)))
        for place, (name, source) in enumerate(genotype.cell(kind)):
            escaped = name.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'    {kind}_{source} -> {kind}_{place // 2 + 2} [label="{escaped}"];')
        lines.append(f'    {kind}_out [label="output" shape=box];')
        lines += [f"    {kind}_{state} -> {kind}_out;" for state in range(2, genotype.nodes + 2)]
        lines.append("  }")
    return "\n".join([*lines, "}", ""])


def _cell(kind: str, genes: Sequence[Gene]) -> list[str]:
    nodes = len(genes) // 2
    ys = {0: _TOP, 1: _TOP} | {node + 2: _TOP + _GAP + (node + 1) * (2 * _ROW + _GAP) - _GAP // 2 for node in range(nodes)}
    bottom = max(ys.values()) + 50
    found = [_text(_MARGIN - 26, 24, f"{kind.capitalize()} cell", "ink", 'font-weight="bold" font-size="14"')]
    rows = {place: ys[place // 2 + 2] - (2 - place % 2) * _ROW for place in range(len(genes))}
    for state, y in ys.items():
        readers = [rows[place] for place, (_, source) in enumerate(genes) if source == state]
        end = bottom if state >= 2 else max(readers, default=y)
        start = min((rows[2 * (state - 2)], y)) if state >= 2 else y
        found.append(_line(_x(state), start, _x(state), end, "muted", 1.4))
    found.append(_line(_x(2), bottom, _x(nodes + 1), bottom, "muted", 1.4) if nodes > 1 else "")
    for place, (name, source) in enumerate(genes):
        found += _wire(name, _x(source), _x(place // 2 + 2), rows[place])
    for state, y in ys.items():
        found += _circle(_x(state), y, state)
    out = _x(nodes + 1)
    found.append(_text(out - _RADIUS, bottom + 24, "output", "ink", 'text-anchor="end" font-weight="bold"'))
    found += [_line(out, bottom, out, bottom + 30, "ink", 1.6), _tip(out, bottom + 30, "ink", down=True)]
    return found


def _wire(name: str, start: float, end: float, y: float) -> list[str]:
    """From the lane that is read to that of the node: a dot, a line, the name on it, and a tip."""
    colour = _kind_colour(name)
    middle = end - 10 - _NAME_WIDTH / 2 - 8
    length = f'textLength="{_NAME_WIDTH - 8}" lengthAdjust="spacingAndGlyphs" ' if len(name) > 15 else ""
    box = f'<rect x="{middle - _NAME_WIDTH / 2:g}" y="{y - 9:g}" width="{_NAME_WIDTH}" height="18" rx="4" '
    return [
        _line(start, y, end - 8, y, colour, 1.8, 'stroke-dasharray="5 3"' if name == SKIP else ""),
        f'<circle cx="{start:g}" cy="{y:g}" r="3.4" fill="{_colour(colour)}"/>',
        box + f'fill="{_colour("paper")}" stroke="{_colour(colour)}"/>',
        _text(middle, y + 4, name, "ink", f'{length}text-anchor="middle"'),
        _tip(end, y, colour),
    ]


def _circle(x: float, y: float, state: int) -> list[str]:
    if state < 2:
        box = f'<rect x="{x - 38:g}" y="{y - 24:g}" width="76" height="24" rx="5" '
        return [
            box + f'fill="{_colour("line")}"/>',
            _text(x, y - 8, _state(state), "ink", 'text-anchor="middle"'),
        ]
    drawn = f'<circle cx="{x:g}" cy="{y:g}" r="{_RADIUS}" fill="{_colour("line")}" stroke="{_colour("muted")}"/>'
    return [drawn, _text(x, y + 4, str(state), "ink", 'text-anchor="middle"')]


def _kind_colour(name: str) -> str:
    starts = {"sep": "series-1", "dil": "series-2", "max": "series-3", "avg": "series-3", "skip": "series-4"}
    return starts.get(name.partition("_")[0], "muted")


def _state(state: int) -> str:
    return ("cell k-2", "cell k-1")[state] if state < 2 else str(state)


def _x(state: int) -> int:
    return _MARGIN + _LANE * state


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float, extra: str = "") -> str:
    ends = f'x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"'
    return f'<line {ends} stroke="{_colour(colour)}" stroke-width="{width:g}" {extra}/>'


def _tip(x: float, y: float, colour: str, down: bool = False) -> str:
    points = (
        f"{x:g},{y:g} {x - 5:g},{y - 9:g} {x + 5:g},{y - 9:g}"
        if down
        else f"{x:g},{y:g} {x - 9:g},{y - 5:g} {x - 9:g},{y + 5:g}"
    )
    return f'<polygon points="{points}" fill="{_colour(colour)}"/>'


def _text(x: float, y: float, text: str, colour: str, extra: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" fill="{_colour(colour)}" {extra}>{escape(text)}</text>'


def _colour(name: str) -> str:
    return f"var(--{name}, {_LIGHT[name]})"


def _style() -> str:
    def rule(colours: dict[str, str]) -> str:
        return "svg{" + "".join(f"--{name}:{value};" for name, value in colours.items()) + "}"

    return f"<style>{rule(_LIGHT)}@media (prefers-color-scheme: dark){{{rule(_DARK)}}}</style>"

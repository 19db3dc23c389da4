"""Figures that become inline SVG: colours are CSS variables, so that one drawing is legible in light and in dark.

Matplotlib draws with colours that stand for names; on the way out each becomes `var(--name, light value)`. Ids get a
prefix, so that many drawings can stand on one page, and nothing is left that depends on the day or refers outside the
file.
"""

import hashlib
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# The palette of Okabe and Ito ("Color Universal Design", 2008), darkened where it would be too faint on white.
LIGHT = {
    "ink": "#1f2328",
    "muted": "#5c646d",
    "line": "#d5d9de",
    "paper": "#ffffff",
    "good": "#00694d",
    "bad": "#b84300",
    "series-1": "#0072b2",
    "series-2": "#d55e00",
    "series-3": "#009e73",
    "series-4": "#b2568c",
    "series-5": "#c08000",
    "series-6": "#3a9bd9",
}
_STAND_IN = {name: f"#0{index:x}0{index:x}0{index:x}" for index, name in enumerate(LIGHT, start=1)}
_NAMED = {code: f"var(--{name}, {LIGHT[name]})" for name, code in _STAND_IN.items()}
INK, MUTED, LINE, PAPER, GOOD, BAD, *_SERIES = _STAND_IN.values()
SERIES = tuple(_SERIES)
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)))

NARROW, WIDE = 6.2, 12.4  # inches: half of the page's width, and all of it
SMALL, NORMAL, TITLE = 8.5, 9.5, 11.0
_UNITS = 72  # of the drawing, for an inch

_RC: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "expunge",
    "text.parse_math": False,  # a class may be called $x$
    "font.family": "DejaVu Sans",  # comes with matplotlib and runs wide: what fits here fits in the reader's font
    "font.size": NORMAL,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.labelsize": NORMAL,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.frameon": False,
    "legend.fontsize": SMALL,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}
HALO = "halo"  # the id of texts that get a rim in the colour of the paper
_MEASURED = {"d", "x", "y", "width", "height", "transform", "points"}
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"


@contextmanager
def style() -> Iterator[None]:
    """The look of all drawings, for as long as the context lasts."""
    with matplotlib.rc_context(_RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # the reader's font draws the text, not ours
        yield


def figure(width: float, height: float) -> Figure:
    """An empty figure of some inches, not known to any global state."""
    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def head(drawing: Figure, title: str) -> None:
    """A title that starts at the left edge."""
    drawing.suptitle(title, x=0.008, ha="left", fontsize=TITLE, fontweight="bold", color=INK)


def upright(axes: Axes) -> None:
    """Anchor rotated axis labels at their middle, so that they stay centred in a font of another width."""
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_rotation_mode("anchor")


def inline(drawing: Figure, title: str, key: str) -> str:
    """The figure as an `<svg>` element that can stand in a page; `key` must differ between the figures of one page."""
    for axes in drawing.axes:
        upright(axes)
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for element in list(root):
        if element.tag == f"{_SVG}metadata":
            root.remove(element)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{_SVG}style":  # a rule for every element of the page
                parent.remove(child)
    _rename(root, f"{key_of(key)}-")
    width, height = (_UNITS * inches for inches in drawing.get_size_inches())
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {
        "xmlns": _SVG.strip("{}"),
        "viewBox": f"0 0 {width:g} {height:g}",
        "role": "img",
        "aria-label": title,
        "class": "plot wide" if width > _UNITS * NARROW * 1.2 else "plot",
        "stroke-linejoin": "round",
    }
    return ElementTree.tostring(root, encoding="unicode")


def key_of(text: str) -> str:
    """A short name that is the same for the same text, and fit for an id.

    >>> key_of("class 3 & <b>")
    'p188884fb'
    """
    return "p" + hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:8]


def _rename(root: ElementTree.Element, prefix: str) -> None:
    """Drop ids that nothing refers to, prefix the others, and put names for colours."""
    used = set()
    for element in root.iter():
        used |= set(re.findall(r"url\(#([^)]+)\)", " ".join(element.attrib.values())))
        used |= {element.attrib[_LINK].removeprefix("#")} if _LINK in element.attrib else set()
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        attributes = element.attrib
        name = attributes.pop("id", None)
        if name in used:
            attributes["id"] = f"{prefix}{name}"
        if name == HALO:
            attributes |= {"stroke": "var(--paper, #fff)", "stroke-width": "2.5", "paint-order": "stroke"}
        if _LINK in attributes:
            attributes["href"] = "#" + prefix + attributes.pop(_LINK).removeprefix("#")
        if "clip-path" in attributes:
            attributes["clip-path"] = attributes["clip-path"].replace("url(#", f"url(#{prefix}")
        for name in _MEASURED & attributes.keys():
            attributes[name] = re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", attributes[name])
        if "style" in attributes:
            attributes["style"] = _styled(attributes["style"])


def _styled(text: str) -> str:
    text = re.sub(r"#[0-9a-f]{6}", lambda found: _NAMED.get(found[0], found[0]), text)
    return re.sub(r"'DejaVu Sans'[^;]*", "var(--sans, system-ui, sans-serif)", text)

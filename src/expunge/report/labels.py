"""Direct labels beside points, moved apart until none covers another."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, dist, radians, sin

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from expunge.report.canvas import HALO, MUTED, SMALL

Box = tuple[float, float, float, float]  # left, bottom, right, top in pixels

_DISTANCES = (9, 16, 26, 38, 52, 68, 86)  # between point and label, in pixels, nearest first
_ANGLES = (0, 180, 90, 270, 30, 330, 150, 210, 60, 300, 120, 240)
HALF_MARKER = 6  # pixels
_LEADER = 14  # a label that lies farther than this from its point gets a line to it
_SWEEPS = 6


@dataclass(frozen=True)
class Label:
    """A text for the point (x, y), or for the area around it; all in the axes' units.

    Args:
        reach: half the area's width and height.
    """

    x: float
    y: float
    text: str
    color: str
    bold: bool = False
    reach: tuple[float, float] = (0.0, 0.0)


def place(axes: Axes, labels: Sequence[Label], obstacles: Sequence[Box] = ()) -> None:
    """Write each label near its point or area, clear of those, the obstacles, the other labels and the axes' edge."""
    drawing = axes.get_figure(root=True)
    assert isinstance(drawing, Figure) and isinstance(drawing.canvas, FigureCanvasAgg)
    drawing.draw_without_rendering()  # settles the layout, and so where the points are
    renderer = drawing.canvas.get_renderer()
    areas = [_area(axes, label) for label in labels]
    markers = [_wider(area, 0 if any(label.reach) else HALF_MARKER) for label, area in zip(labels, areas, strict=True)]
    texts, choices = [], []
    for label, area in zip(labels, areas, strict=True):
        weight = "bold" if label.bold else "normal"
        text = axes.text(label.x, label.y, label.text, fontsize=SMALL, color=label.color, fontweight=weight, zorder=6, gid=HALO)
        size = text.get_window_extent(renderer)
        texts.append(text)
        choices.append(_around(area, size.width, size.height))
    edge = axes.get_window_extent(renderer)
    inside = (edge.x0, edge.y0, edge.x1, edge.y1)
    chosen = [boxes[0] for boxes in choices]
    for _ in range(_SWEEPS):
        before = list(chosen)
        for index, boxes in enumerate(choices):
            others = [*chosen[:index], *chosen[index + 1 :]]
            chosen[index] = min(boxes, key=lambda box: _cost(box, areas[index], others, [*markers, *obstacles], inside))
        if chosen == before:
            break
    back = axes.transData.inverted()
    for text, area, box in zip(texts, areas, chosen, strict=True):
        text.set_position(tuple(back.transform(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))))
        text.set(ha="center", va="center_baseline", in_layout=False)
        line = _leader(box, area)
        if dist(*line) > _LEADER:
            (x0, y0), (x1, y1) = back.transform(line)
            axes.plot([x0, x1], [y0, y1], color=MUTED, linewidth=0.6, zorder=2)


def _area(axes: Axes, label: Label) -> Box:
    """In pixels; of a point it is empty."""
    across, up = label.reach
    (left, bottom), (right, top) = axes.transData.transform(
        [(label.x - across, label.y - up), (label.x + across, label.y + up)]
    )
    return left, bottom, right, top


def _wider(box: Box, by: float) -> Box:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _leader(box: Box, area: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where a line from a text to its area begins and ends."""
    end = _within((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, area)
    return _within(*end, box), end


def _within(x: float, y: float, box: Box) -> tuple[float, float]:
    return min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3])


def _around(area: Box, width: float, height: float) -> list[Box]:
    """Boxes of a text around an area, those that a reader finds first at the front."""
    boxes = []
    x0, y0 = (area[0] + area[2]) / 2, (area[1] + area[3]) / 2
    for distance in _DISTANCES:
        for angle in _ANGLES:
            x = x0 + cos(radians(angle)) * (distance + (area[2] - area[0] + width) / 2)
            y = y0 + sin(radians(angle)) * (distance + (area[3] - area[1] + height) / 2)
            boxes.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    return boxes


def _cost(box: Box, area: Box, labels: list[Box], others: list[Box], inside: Box) -> float:
    outside = (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, inside)
    covered = sum(_overlap(box, label) for label in labels)
    crossed = sum(_overlap(box, other) for other in others)
    return 60 * outside + 40 * covered + 20 * crossed + dist(*_leader(box, area))


def _overlap(one: Box, two: Box) -> float:
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    return width * height if width > 0 and height > 0 else 0.0

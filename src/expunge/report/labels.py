"""Direct labels beside points, moved apart until none covers another."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, hypot, radians, sin

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
    """A text for the point (x, y), in the axes' units."""

    x: float
    y: float
    text: str
    color: str
    bold: bool = False


def place(axes: Axes, labels: Sequence[Label], obstacles: Sequence[Box] = ()) -> None:
    """Write each label near its point, clear of the markers, the obstacles, the other labels and the axes' edge."""
    drawing = axes.get_figure(root=True)
    assert isinstance(drawing, Figure) and isinstance(drawing.canvas, FigureCanvasAgg)
    drawing.draw_without_rendering()  # settles the layout, and so where the points are
    renderer = drawing.canvas.get_renderer()
    points = [tuple(axes.transData.transform((label.x, label.y))) for label in labels]
    markers = [(x - HALF_MARKER, y - HALF_MARKER, x + HALF_MARKER, y + HALF_MARKER) for x, y in points]
    texts, choices = [], []
    for label, point in zip(labels, points, strict=True):
        weight = "bold" if label.bold else "normal"
        text = axes.text(label.x, label.y, label.text, fontsize=SMALL, color=label.color, fontweight=weight, zorder=6, gid=HALO)
        size = text.get_window_extent(renderer)
        texts.append(text)
        choices.append(_around(point, size.width, size.height))
    edge = axes.get_window_extent(renderer)
    inside = (edge.x0, edge.y0, edge.x1, edge.y1)
    chosen = [boxes[0] for boxes in choices]
    for _ in range(_SWEEPS):
        before = list(chosen)
        for index, boxes in enumerate(choices):
            others = [*chosen[:index], *chosen[index + 1 :]]
            chosen[index] = min(boxes, key=lambda box: _cost(box, points[index], others, [*markers, *obstacles], inside))
        if chosen == before:
            break
    back = axes.transData.inverted()
    for text, point, box in zip(texts, points, chosen, strict=True):
        text.set_position(tuple(back.transform(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))))
        text.set(ha="center", va="center_baseline", in_layout=False)
        end = min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3])
        if hypot(end[0] - point[0], end[1] - point[1]) > _LEADER:
            (x0, y0), (x1, y1) = back.transform([end, point])
            axes.plot([x0, x1], [y0, y1], color=MUTED, linewidth=0.6, zorder=2)


def _around(point: tuple[float, ...], width: float, height: float) -> list[Box]:
    """Boxes of a text around a point, those that a reader finds first at the front."""
    boxes = []
    for distance in _DISTANCES:
        for angle in _ANGLES:
            x = point[0] + cos(radians(angle)) * (distance + width / 2)
            y = point[1] + sin(radians(angle)) * (distance + height / 2)
            boxes.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    return boxes


def _cost(box: Box, point: tuple[float, ...], labels: list[Box], others: list[Box], inside: Box) -> float:
    area = (box[2] - box[0]) * (box[3] - box[1])
    outside = area - _overlap(box, inside)
    covered = sum(_overlap(box, label) for label in labels)
    crossed = sum(_overlap(box, other) for other in others)
    end = min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3])
    return 60 * outside + 40 * covered + 20 * crossed + hypot(end[0] - point[0], end[1] - point[1])


def _overlap(one: Box, two: Box) -> float:
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    return width * height if width > 0 and height > 0 else 0.0

"""Faces that nobody has: smooth ovals with eyes, brows and a mouth, each of its own proportions, with landmarks."""

import numpy as np

REGIONS = {
    "pupils": (0, 1),
    "left mouth": (2,),
    "right mouth": (3,),
    "left brow": (4, 5),
    "right brow": (6, 7),
    "left inner brow": (5,),
    "right inner brow": (6,),
}


def generated_faces(count: int, side: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (count, side, side) between 0 and 1, and landmarks (count, 8, 2) in pixels."""
    draw = np.random.default_rng(seed)
    x, y = np.meshgrid((np.arange(side) + 0.5) / side, (np.arange(side) + 0.5) / side)
    pictures, landmarks = np.empty((count, side, side), dtype=np.float32), np.empty((count, 8, 2), dtype=np.float32)
    for face in range(count):
        eyes, brows, mouth = 0.27 + 0.02 * draw.normal(), 0.14 + 0.015 * draw.normal(), 0.75 + 0.02 * draw.normal()
        across, lips = 0.22, 0.17 + 0.015 * draw.normal()
        points = [(0.5 - across, eyes), (0.5 + across, eyes), (0.5 - lips, mouth), (0.5 + lips, mouth)]
        points += [(0.5 + shift, brows) for shift in (-0.3, -0.12, 0.12, 0.3)]
        picture = 0.75 - 0.3 * ((x - 0.5) ** 2 + (y - 0.5) ** 2) + 0.05 * draw.normal()
        for at, wide, high, dark in (
            *((point, 0.05, 0.02, 0.4) for point in points[:2]),
            ((0.5, mouth), lips / 1.5, 0.02, 0.35),
            ((0.29, brows), 0.08, 0.015, 0.4),
            ((0.71, brows), 0.08, 0.015, 0.4),
        ):
            strength = dark * draw.uniform(0.7, 1.1)
            picture = picture - strength * np.exp(-(((x - at[0]) / wide) ** 2) - ((y - at[1]) / high) ** 2)
        pictures[face], landmarks[face] = picture.clip(0, 1), np.array(points) * side
    return pictures, landmarks

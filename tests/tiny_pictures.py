"""Small images of two classes and twelve persons, as a file holds them, and a search in them that takes a second or two."""

from pathlib import Path
from typing import Any

import numpy as np

from expunge.studies.searching import SearchPlan

TINY = SearchPlan(epochs=2, nodes=1, cells=2, channels=4, random=1, retrain_epochs=2, batch_size=24)


def pictures(count: int = 120, side: int = 8, persons: int = 12, seed: int = 0) -> dict[str, Any]:
    """Bytes, brighter at the left (class 0) or at the top (class 1); each person has images of both."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = generator.normal(0.4, 0.1, (count, side, side))
    images[labels == 0, :, : side // 2] += 0.25
    images[labels == 1, : side // 2] += 0.25
    pixels = (images.clip(0, 1) * 255).astype(np.uint8)
    return {"images": pixels, "labels": labels, "persons": np.arange(count) // (count // persons)}


def save(path: Path, **changes: Any) -> Path:
    """A file of such images, with arrays changed or added, or left out where None."""
    arrays = {name: values for name, values in {**pictures(), **changes}.items() if values is not None}
    np.savez(path, **arrays)
    return path

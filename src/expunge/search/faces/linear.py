"""The linear baseline: standardised numbers, principal components, and a linear support-vector machine, person by person.

What a linear model tells from an input is there for every network to find; where it is at chance on a control, no trace of the
class has leaked. Both by scikit-learn; they are fitted on each fold's training rows only.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from expunge.errors import BadSetting
from expunge.search.faces.dynamic_image import dynamic_image
from expunge.search.faces.folds import Fold, person_folds
from expunge.search.faces.scores import Scores, pooled_scores
from expunge.search.faces.synthetic import SyntheticMicroExpressions

COMPONENTS, PENALTY = 150, 0.01


def linear_scores(
    inputs: Tensor | np.ndarray,
    labels: Sequence[int] | np.ndarray,
    classes: Sequence[str],
    folds: Sequence[Fold],
    components: int = COMPONENTS,
    penalty: float = PENALTY,
) -> Scores:
    """The linear model's scores, pooled over the folds' tests.

    Args:
        inputs: one input a row, shape (n, ...).
        labels: class index of each row, shape (n,).
        classes: the name of each class.
        folds: of which all training rows are trained on.
        components: how many principal components are kept, fewer where there are fewer rows or numbers in an input.
        penalty: C of the support-vector machine.

    Raises:
        BadSetting: if there is not one input for each label, or one is not finite.
    """
    flat = np.asarray(inputs, dtype=np.float32).reshape(len(inputs), -1)
    targets = np.asarray(labels)
    if len(flat) != len(targets) or not np.isfinite(flat).all():
        raise BadSetting(f"each label needs a finite input: there are {len(targets):,} labels and {len(flat):,} inputs")
    told = []
    for fold in folds:
        kept = min(components, len(fold.train) - 1, flat.shape[1])
        model = make_pipeline(StandardScaler(), PCA(kept, random_state=0), SVC(kernel="linear", C=penalty))
        model.fit(flat[fold.train], targets[fold.train])
        told.append((targets[fold.test], model.predict(flat[fold.test])))
    return pooled_scores(told, classes)


def control_scores(
    faces: Any, landmarks: Any, folds: int = 6, seed: int = 0, fold_seed: int = 0, **settings: Any
) -> dict[str, Scores]:
    """The synthetic protocol with its controls: what the linear model tells from each input, folds by person.

    Args:
        faces: as for :meth:`SyntheticMicroExpressions.from_faces`.
        landmarks: as for :meth:`SyntheticMicroExpressions.from_faces`.
        folds: how many.
        seed: of the clips.
        fold_seed: of the folds.
        settings: others of the clips, and `regions`.

    Returns:
        Scores by the name of the input. "zero amplitude" must be at chance: if it is not, the protocol is broken.
    """
    made = SyntheticMicroExpressions.from_faces(faces, landmarks, seed=seed, **settings)
    still = SyntheticMicroExpressions.from_faces(faces, landmarks, seed=seed, **{**settings, "amplitude": 0.0})
    division = person_folds(made.persons, made.labels, folds, fold_seed)
    inputs = {
        "running-mean": dynamic_image(made.clips),
        "running-mean, onset to apex": dynamic_image(made.clips, segment="onset-apex", apex=made.apex.tolist()),
        "linear": dynamic_image(made.clips, "linear"),
        "linear, onset to apex": dynamic_image(made.clips, "linear", segment="onset-apex", apex=made.apex.tolist()),
        "apex less onset": made.apex_differences(),
        "apex frame": made.apex_frames(),
        "mean frame": made.mean_frames(),
        "running-mean, shuffled": dynamic_image(made.shuffled(seed)),
        "running-mean, zero amplitude": dynamic_image(still.clips),
    }
    return {name: linear_scores(each, made.labels, made.classes, division) for name, each in inputs.items()}

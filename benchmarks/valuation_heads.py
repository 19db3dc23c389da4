"""Speed of many logistic regressions at once, beside scikit-learn's one by one: python benchmarks/valuation_heads.py

Random subsets of 2,000 people of Adult are trained on, which half of the people are in on average; with `--data digits` it is
1,000 digits. Utilities are compared with those of models that scikit-learn trains until nothing changes. Exit code 1 when it is
not 10 times as fast on Adult, or log-losses or probabilities are off by more than 0.001.
"""

import argparse
import sys
import time
import warnings

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from expunge.data import load
from expunge.valuation import Logistic, Utility
from expunge.valuation.estimators import Estimator

TIMES, CLOSE = 10, 1e-3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="adult", choices=("adult", "digits"))
    parser.add_argument("--subsets", type=int, default=500)
    parser.add_argument("--exact", type=int, default=100, help="subsets that are solved to the end")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    source = load(options.data)
    rows = {"adult": 2_000, "digits": 1_000}[options.data]
    X, y = (tensor.numpy() for tensor in source.train.tensors)
    points, valid = (X[:rows], y[:rows]), (X[rows : rows + 500], y[rows : rows + 500])
    masks = np.random.default_rng(0).random((options.subsets, rows)) < 0.5
    models = {"at once": Logistic(), "scikit-learn, one by one": Estimator(LogisticRegression())}
    exact = Estimator(LogisticRegression(tol=1e-9, max_iter=5_000))
    seconds, exact_enough = {}, True
    for name, model in models.items():
        Utility(model, valid=valid).on(*points).utilities(masks[:2])  # warm
        game = Utility(model, valid=valid).on(*points)
        started = time.process_time()
        found = game.utilities(masks)
        seconds[name] = time.process_time() - started
        print(f"{name}: {options.subsets} subsets of {rows:,} rows of {options.data} in {seconds[name]:.2f} CPU s")
        for metric in ("accuracy", "log-loss", "probability"):
            true = Utility(exact, valid=valid, metric=metric).on(*points).utilities(masks[: options.exact])
            same = found[: options.exact]
            if metric != "accuracy":
                same = Utility(model, valid=valid, metric=metric).on(*points).utilities(masks[: options.exact])
            apart = np.abs(same - true)
            exact_enough &= model is not models["at once"] or metric == "accuracy" or apart.max() <= CLOSE
            print(f"  {metric}: {apart.mean():.1e} from the solution on average, {apart.max():.1e} at most")
    times = seconds["scikit-learn, one by one"] / seconds["at once"]
    print(f"at once: {times:.1f} times as fast (of Adult at least {TIMES})")
    return int((options.data == "adult" and times < TIMES) or not exact_enough)


if __name__ == "__main__":
    sys.exit(main())

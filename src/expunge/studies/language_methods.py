"""The methods of the language study, by the names of their rows, and how they were set.

By personas of seeds 100 to 103: ours, among six adapters, rates of 3e-4 to 1e-3 and weights of its terms; the weight of what
stays a second time, 3 for 1, after a first run of the study had taken longer than it may, before its figures were looked at. Of
rivals, on seeds 100 and 101: beta of NPO and AltPO (0.1, as published, and 0.5, which was better by far), gamma of SimNPO
(0.125 and 0.5), the rate of IdkNLL, SatImp and WHP (1e-3 and 2e-3) and of gradient ascent and GradDiff, the coefficient of RMU
(2 and 5), beta of UNDIAL (10 and 30), and beta, rate and length of IdkDPO, for which nothing helped. "capped" is this
library's: losses above 3 nats are left alone, without which GradDiff runs away.

Those for TOFU, see :func:`tofu_methods`, were set on one original and one retrained model of seed 100. For NPO: an adapter or
all weights, 10, 20 and 60 passes, beta (0.1 and 0.02). For UnSTAR: an adapter at two rates or all weights, the schedule,
`level` (3, 8, 10 and 15), beta (0.1 and 0.02), a pool, one wrong answer or a refusal, 6 to 60 passes. The others have what
NPO has, and were not tuned but for RMU and GradDiff (one run each). For ten authors, on an original and a retrained model of
seed 100 that were trained twice as long: passes of NPO (6, 12 and 14), its beta (0.01, 0.02 and 0.05) and batches of what
stays, delta of SimNPO (8 and 12), fine-tuning, and shrink and perturb. None was better than NPO with a fifth of the passes
that two authors have.
"""

from dataclasses import replace
from typing import Any

from expunge.language.adapters import LoRA
from expunge.methods import (
    NPO,
    RMU,
    UNDIAL,
    WGA,
    WHP,
    AltPO,
    Finetune,
    GradDiff,
    GradientAscent,
    IdkDPO,
    IdkNLL,
    Method,
    PromptGuard,
    SatImp,
    SimNPO,
    UnSTAR,
)
from expunge.optimizers import Optimizer

WHOLE = Optimizer("adamw", 5e-4)  # of all weights, where no adapter is trained
SLOWER, FASTER = Optimizer("adamw", 3e-4), Optimizer("adamw", 2e-3)
TAUGHT = 3  # wrong answers of each fact that methods may teach; audits ask for the others


def language_methods(named: bool = True) -> dict[str, Method]:
    """All methods; the first is held against retraining.

    Args:
        named: whether each question to forget names its subject; without names there is no WHP, and no instruction to give.
    """
    ours, paper = UnSTAR(wrong=TAUGHT), UnSTAR.published(wrong=TAUGHT)
    rows: dict[str, Method] = {
        "unstar": ours,
        "unstar-whole": replace(ours, lora=None, optimizer=WHOLE),
        "unstar-rank-8": replace(ours, lora=LoRA(8, 16, where="all")),
        "unstar-refusal": replace(ours, wrong_answers="refusal"),
        "unstar-consistent": replace(ours, wrong_answers="consistent"),
        "unstar-rationale": replace(ours, rationale=True),
        "unstar-no-retain": replace(ours, retain_weight=0.0, keep=0.0),
        "unstar-published": paper,
        "unstar-published-no-rationale": replace(paper, rationale=False),
        "unstar-published-consistent": replace(paper, wrong_answers="consistent"),
        "unstar-published-no-retain": replace(paper, retain_weight=0.0),
        "gradient-ascent": GradientAscent(epochs=3, optimizer=SLOWER, loss_cap=None),
        "grad-diff": GradDiff(epochs=30, optimizer=SLOWER),
        "kl-retain": GradDiff(epochs=30, optimizer=SLOWER, retain="kl"),
        "grad-diff-capped": GradDiff(epochs=30, loss_cap=3.0),
        "npo": NPO(epochs=30, beta=0.5),
        "npo-published": NPO(epochs=30),
        "sim-npo": SimNPO(epochs=30, gamma=0.5),
        "idk-nll": IdkNLL(epochs=30, optimizer=FASTER),
        "idk-dpo": IdkDPO(epochs=30, optimizer=FASTER),
        "alt-po": AltPO(epochs=6, alternatives=TAUGHT, beta=0.5),
        "alt-po-published": AltPO(epochs=6, alternatives=TAUGHT),
        "rmu": RMU(epochs=20),
        "undial": UNDIAL(epochs=30, beta=30.0),
        "wga": WGA(epochs=30),
        "satimp": SatImp(epochs=30, optimizer=FASTER),
        "finetune": Finetune(epochs=4, optimizer=Optimizer("adamw", 3e-3)),
    }
    if named:
        rows |= {"whp": WHP(epochs=30), "prompt-guard": PromptGuard()}
    return rows


def tofu_methods(authors: int = 2) -> dict[str, Method]:
    """Methods for answers that are whole sentences, learned by heart by a model that knows no language.

    There an adapter disturbs what stays more than training all weights does, so all do that, at one rate that falls to nothing;
    forgetting takes a few steps, and to mend what stays takes the rest. A row takes half an hour here, so there are few.

    Args:
        authors: who must go; the more, the fewer passes over what goes, so that steps are as many.
    """
    common: dict[str, Any] = {"lora": None, "optimizer": WHOLE, "schedule": "cosine", "retain_weight": 3.0}

    def passes(of_two: int) -> int:
        return max(2 * of_two // authors, 1)

    ours = UnSTAR(epochs=passes(60), rounds=3, questions=1, wrong=TAUGHT, beta=0.02, level=15.0, keep=0.0, **common)
    paper = UnSTAR.published(epochs=passes(20), rounds=4, questions=1, wrong=TAUGHT, **{**common, "retain_weight": 1.0})
    return {
        "unstar": ours,
        "unstar-refusal": replace(ours, wrong_answers="refusal"),
        "unstar-published": paper,
        "npo": NPO(epochs=passes(60), beta=0.02, **common),
        "rmu": RMU(epochs=passes(40), **{**common, "retain_weight": 10.0}),
    }

"""The methods of the language study, by the names of their rows, and how they were set.

By personas of seeds 100 to 103: ours, among six adapters, rates of 3e-4 to 1e-3 and weights of its terms; the weight of what
stays a second time, 3 for 1, after a first run of the study had taken longer than it may, before its figures were looked at. Of
rivals, on seeds 100 and 101: beta of NPO and AltPO (0.1, as published, and 0.5, which was better by far), gamma of SimNPO
(0.125 and 0.5), the rate of IdkNLL, SatImp and WHP (1e-3 and 2e-3) and of gradient ascent and GradDiff, the coefficient of RMU
(2 and 5), beta of UNDIAL (10 and 30), and beta, rate and length of IdkDPO, for which nothing helped. "capped" is this
library's: losses above 3 nats are left alone, without which GradDiff runs away.
"""

from dataclasses import replace

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


def language_methods(named: bool = True, epochs: int = 30) -> dict[str, Method]:
    """All methods; the first is held against retraining.

    Args:
        named: whether each question to forget names its subject; without names there is no WHP, and no instruction to give.
        epochs: passes over what goes of methods that have no end of their own.
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
        "gradient-ascent": GradientAscent(epochs=max(epochs // 10, 1), optimizer=SLOWER, loss_cap=None),
        "grad-diff": GradDiff(epochs=epochs, optimizer=SLOWER),
        "kl-retain": GradDiff(epochs=epochs, optimizer=SLOWER, retain="kl"),
        "grad-diff-capped": GradDiff(epochs=epochs, loss_cap=3.0),
        "npo": NPO(epochs=epochs, beta=0.5),
        "npo-published": NPO(epochs=epochs),
        "sim-npo": SimNPO(epochs=epochs, gamma=0.5),
        "idk-nll": IdkNLL(epochs=epochs, optimizer=FASTER),
        "idk-dpo": IdkDPO(epochs=epochs, optimizer=FASTER),
        "alt-po": AltPO(epochs=max(epochs // 5, 1), alternatives=TAUGHT, beta=0.5),
        "alt-po-published": AltPO(epochs=max(epochs // 5, 1), alternatives=TAUGHT),
        "rmu": RMU(epochs=2 * epochs // 3),
        "undial": UNDIAL(epochs=epochs, beta=30.0),
        "wga": WGA(epochs=epochs),
        "satimp": SatImp(epochs=epochs, optimizer=FASTER),
        "finetune": Finetune(epochs=4, optimizer=Optimizer("adamw", 3e-3)),
    }
    if named:
        rows |= {"whp": WHP(epochs=epochs), "prompt-guard": PromptGuard()}
    return rows

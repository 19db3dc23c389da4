"""The methods of the language study, by the names of their rows, and how they were set."""

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


def language_methods(long: bool = False) -> dict[str, Method]:
    """All methods; the first is held against retraining.

    Args:
        long: for answers of whole sentences that have nothing in common.
    """
    ours, paper = UnSTAR(wrong=5), UnSTAR.published(wrong=5)
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
        "gradient-ascent": GradientAscent(epochs=3, optimizer=Optimizer("adamw", 1e-3), loss_cap=None),
        "grad-diff": GradDiff(epochs=10),
        "kl-retain": GradDiff(epochs=10, retain="kl"),
        "npo": NPO(epochs=30),
        "sim-npo": SimNPO(epochs=30),
        "idk-nll": IdkNLL(epochs=30),
        "idk-dpo": IdkDPO(epochs=30),
        "alt-po": AltPO(epochs=6),
        "rmu": RMU(epochs=20),
        "undial": UNDIAL(epochs=30),
        "wga": WGA(epochs=30),
        "satimp": SatImp(epochs=30),
        "whp": WHP(epochs=30),
        "finetune": Finetune(epochs=4, optimizer=Optimizer("adamw", 3e-3)),
        "prompt-guard": PromptGuard(),
    }
    return rows

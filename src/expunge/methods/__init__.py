"""Unlearning methods: one file each, named after the method."""

from expunge.methods.alt_po import AltPO
from expunge.methods.amun import AmUn
from expunge.methods.bad_teacher import BadTeacher
from expunge.methods.blindspot import Blindspot
from expunge.methods.boundary_shrink import BoundaryShrink
from expunge.methods.certified_removal import CertifiedRemoval
from expunge.methods.cf_k import CFK
from expunge.methods.concept_ablation import ConceptAblation
from expunge.methods.conda import ConDa
from expunge.methods.continue_without import ContinueWithout
from expunge.methods.d2dgn import D2DGN
from expunge.methods.edge_drop import EdgeDrop
from expunge.methods.erase_diff import EraseDiff
from expunge.methods.esd import ESD
from expunge.methods.eu_k import EUK
from expunge.methods.fed_eraser import FedEraser
from expunge.methods.fed_osd import FedOSD
from expunge.methods.federated_retrain import FederatedRetrain
from expunge.methods.finetune import Finetune
from expunge.methods.fisher_forgetting import FisherForgetting
from expunge.methods.forget_me_not import ForgetMeNot
from expunge.methods.gated_transfer import GatedTransfer
from expunge.methods.gaussian_amnesiac import GaussianAmnesiac
from expunge.methods.gif import GIF
from expunge.methods.gnndelete import GNNDelete
from expunge.methods.grad_diff import GradDiff
from expunge.methods.gradient_ascent import GradientAscent
from expunge.methods.graph_eraser import GraphEraser
from expunge.methods.idk_dpo import IdkDPO
from expunge.methods.idk_nll import IdkNLL
from expunge.methods.ifru import IFRU
from expunge.methods.influence import Influence
from expunge.methods.kookmin import Kookmin
from expunge.methods.l1_sparse import L1Sparse
from expunge.methods.level_scores import LevelScores
from expunge.methods.megu import MEGU
from expunge.methods.method import Method
from expunge.methods.mmrecun import MMRecUN
from expunge.methods.neggrad_plus import NegGradPlus
from expunge.methods.npo import NPO
from expunge.methods.pga import PGA
from expunge.methods.prompt_guard import PromptGuard
from expunge.methods.random_labels import RandomLabels
from expunge.methods.rec_eraser import RecEraser
from expunge.methods.rece import RECE
from expunge.methods.reset_rows import ResetRows
from expunge.methods.retrain import Retrain
from expunge.methods.ridge_downdate import RidgeDowndate
from expunge.methods.rmu import RMU
from expunge.methods.safegen import SafeGen
from expunge.methods.salun import SalUn
from expunge.methods.satimp import SatImp
from expunge.methods.scif import SCIF
from expunge.methods.scrub import SCRUB
from expunge.methods.sdd import SDD
from expunge.methods.sfron import SFRon
from expunge.methods.shrink_perturb import ShrinkPerturb
from expunge.methods.sim_npo import SimNPO
from expunge.methods.sisa import SISA
from expunge.methods.ssd import SSD
from expunge.methods.uce import UCE
from expunge.methods.undial import UNDIAL
from expunge.methods.unlink import Unlink
from expunge.methods.unsir import UNSIR
from expunge.methods.unstar import UnSTAR
from expunge.methods.update_subtraction import UpdateSubtraction
from expunge.methods.weight_negation import WeightNegation
from expunge.methods.wga import WGA
from expunge.methods.whp import WHP
from expunge.methods.zero_shot import ErrorNoise
from expunge.registry import by_name

METHODS = by_name(
    (
        Retrain,
        Finetune,
        GradientAscent,
        NegGradPlus,
        RandomLabels,
        BadTeacher,
        SCRUB,
        SSD,
        SalUn,
        ShrinkPerturb,
        CFK,
        EUK,
        L1Sparse,
        FisherForgetting,
        Influence,
        BoundaryShrink,
        UNSIR,
        Kookmin,
        Blindspot,
        GaussianAmnesiac,
        RidgeDowndate,
        D2DGN,
        Unlink,
        GNNDelete,
        GIF,
        GraphEraser,
        MEGU,
        CertifiedRemoval,
        LevelScores,
        MMRecUN,
        EdgeDrop,
        ResetRows,
        AmUn,
        RecEraser,
        SCIF,
        IFRU,
        FederatedRetrain,
        ConDa,
        ContinueWithout,
        FedEraser,
        PGA,
        WeightNegation,
        FedOSD,
        UpdateSubtraction,
        UnSTAR,
        GradDiff,
        NPO,
        SimNPO,
        WGA,
        SatImp,
        IdkNLL,
        IdkDPO,
        AltPO,
        UNDIAL,
        RMU,
        WHP,
        PromptGuard,
        ESD,
        ConceptAblation,
        SDD,
        UCE,
        RECE,
        SafeGen,
        ForgetMeNot,
        EraseDiff,
        SISA,
        SFRon,
        ErrorNoise,
        GatedTransfer,
    )  # in the papers' order
)

__all__ = [
    "CFK",
    "D2DGN",
    "ESD",
    "EUK",
    "GIF",
    "IFRU",
    "MEGU",
    "METHODS",
    "NPO",
    "PGA",
    "RECE",
    "RMU",
    "SCIF",
    "SCRUB",
    "SDD",
    "SISA",
    "SSD",
    "UCE",
    "UNDIAL",
    "UNSIR",
    "WGA",
    "WHP",
    "AltPO",
    "AmUn",
    "BadTeacher",
    "Blindspot",
    "BoundaryShrink",
    "CertifiedRemoval",
    "ConDa",
    "ConceptAblation",
    "ContinueWithout",
    "EdgeDrop",
    "EraseDiff",
    "ErrorNoise",
    "FedEraser",
    "FedOSD",
    "FederatedRetrain",
    "Finetune",
    "FisherForgetting",
    "ForgetMeNot",
    "GNNDelete",
    "GatedTransfer",
    "GaussianAmnesiac",
    "GradDiff",
    "GradientAscent",
    "GraphEraser",
    "IdkDPO",
    "IdkNLL",
    "Influence",
    "Kookmin",
    "L1Sparse",
    "LevelScores",
    "MMRecUN",
    "Method",
    "NegGradPlus",
    "PromptGuard",
    "RandomLabels",
    "RecEraser",
    "ResetRows",
    "Retrain",
    "RidgeDowndate",
    "SFRon",
    "SafeGen",
    "SalUn",
    "SatImp",
    "ShrinkPerturb",
    "SimNPO",
    "UnSTAR",
    "Unlink",
    "UpdateSubtraction",
    "WeightNegation",
]

"""Audits: one file each, named after the metric."""

from expunge.audits.accuracy import Accuracy
from expunge.audits.anamnesis import Anamnesis
from expunge.audits.audit import Audit, Figure, References, Subject
from expunge.audits.backdoor import Backdoor
from expunge.audits.balance import Balance
from expunge.audits.canary import Canary, plant
from expunge.audits.clients import Clients
from expunge.audits.concealment import Concealment
from expunge.audits.concept_attacks import ConceptAttacks
from expunge.audits.distance import Distance
from expunge.audits.drawn_quality import DrawnQuality
from expunge.audits.error import Error
from expunge.audits.facts import Facts
from expunge.audits.feature_recovery import FeatureRecovery
from expunge.audits.feature_similarity import FeatureSimilarity
from expunge.audits.hidden_states import HiddenStates
from expunge.audits.input_gradient_distance import InputGradientDistance
from expunge.audits.link_auc import LinkAUC
from expunge.audits.link_change import LinkChange
from expunge.audits.lira import LiRA
from expunge.audits.list_overlap import ListOverlap
from expunge.audits.membership import Membership
from expunge.audits.memorization import Memorization
from expunge.audits.model_utility import ModelUtility
from expunge.audits.multiply_accumulates import MultiplyAccumulates
from expunge.audits.neighbours import NeighbourInfluence
from expunge.audits.prediction_distance import PredictionDistance
from expunge.audits.probability import Probability
from expunge.audits.probe import Probe
from expunge.audits.ranking import Ranking
from expunge.audits.relapse import Relapse
from expunge.audits.relearned_half import RelearnedHalf
from expunge.audits.relearning import Relearning
from expunge.audits.reminding import Reminding
from expunge.audits.rmia import RMIA
from expunge.audits.rounding import Rounding
from expunge.audits.run_time import RunTime
from expunge.audits.token_membership import TokenMembership
from expunge.audits.tow import ToW
from expunge.audits.work import Work
from expunge.audits.zero_retrain import ZeroRetrain
from expunge.registry import by_name

AUDITS = by_name(
    (
        Accuracy,
        Error,
        Probability,
        LinkAUC,
        LinkChange,
        Ranking,
        ListOverlap,
        NeighbourInfluence,
        FeatureRecovery,
        Facts,
        Memorization,
        ModelUtility,
        TokenMembership,
        Reminding,
        RelearnedHalf,
        Balance,
        Rounding,
        HiddenStates,
        Concealment,
        ConceptAttacks,
        DrawnQuality,
        Backdoor,
        Clients,
        Relapse,
        MultiplyAccumulates,
        ToW,
        Membership,
        LiRA,
        RMIA,
        ZeroRetrain,
        Probe,
        FeatureSimilarity,
        InputGradientDistance,
        Canary,
        Relearning,
        Anamnesis,
        Distance,
        PredictionDistance,
        RunTime,
        Work,
    )
)

__all__ = [
    "AUDITS",
    "RMIA",
    "Accuracy",
    "Anamnesis",
    "Audit",
    "Backdoor",
    "Balance",
    "Canary",
    "Clients",
    "Concealment",
    "ConceptAttacks",
    "Distance",
    "DrawnQuality",
    "Error",
    "Facts",
    "FeatureRecovery",
    "FeatureSimilarity",
    "Figure",
    "HiddenStates",
    "InputGradientDistance",
    "LiRA",
    "LinkAUC",
    "LinkChange",
    "ListOverlap",
    "Membership",
    "Memorization",
    "ModelUtility",
    "MultiplyAccumulates",
    "NeighbourInfluence",
    "PredictionDistance",
    "Probability",
    "Probe",
    "Ranking",
    "References",
    "Relapse",
    "RelearnedHalf",
    "Relearning",
    "Reminding",
    "Rounding",
    "RunTime",
    "Subject",
    "ToW",
    "TokenMembership",
    "Work",
    "ZeroRetrain",
    "plant",
]

"""The rules of the verdict: how far a figure may lie from the retrained model's, and what it means to lie farther."""

import math
from dataclasses import dataclass
from typing import Literal

from expunge.report.evidence import Case
from expunge.report.measures import Kind as Written
from expunge.report.measures import drawings_judged, facts_asked, finite, score_kind, score_words, streamed, with_unit

Of = Literal["absolute", "retrained", "noise floor"]
Kind = Literal["model damaged", "traces remain", "over-forgotten", "other answers"]


@dataclass(frozen=True)
class Rule:
    """One figure that is judged.

    Args:
        pattern: the metric, with `{score}` for the name of the score.
        size: the largest allowed distance, as a multiple of what `of` says.
        of: "absolute" for the figure's own unit, "retrained" for the retrained model's value. "noise floor" is for
            distances to the retrained model, whose ideal is 0: for that of a second retrained model, which is chance.
        words: the metric in a sentence.
        above: what it means to lie above the ideal by more than is allowed; empty where that is no fault.
        below: the same for below; empty where nothing can.
        at_most: whether to lie below the ideal is no fault.
        percent: whether it is a share, written as percent.
        area: whether it is an area or a score, written as it is, where it would else be a share.
        least: distance that is allowed however small the retrained model's value is, where `of` is "retrained".
    """

    pattern: str
    size: float
    of: Of
    words: str
    above: str
    below: str = ""
    least: float = 0.0
    at_most: bool = False
    percent: bool = False
    area: bool = False

    def metric(self, case: Case) -> str:
        """The metric's name in a case."""
        return self.pattern.format(score=case.score_name)

    def kind(self, case: Case) -> Written:
        """How its values are written."""
        if self.of == "noise floor":
            return "answer"
        if (self.at_most or self.percent) and not self.area:
            return "percent"
        return score_kind(case.score_name) if "{score}" in self.pattern else "number"

    def ideal(self, case: Case) -> float | None:
        """What a value is held against; None where there is nothing finite."""
        gold = case.role("retrained")
        if gold is None:
            return None
        return 0.0 if self.of == "noise floor" else finite(gold.mean(self.metric(case)))

    def limit(self, case: Case) -> float | None:
        """The largest allowed distance from the ideal; None where the case gives no measure for it."""
        ideal = self.ideal(case)
        if ideal is None:
            return None
        if self.of == "absolute":
            return self.size
        if self.of == "retrained":
            return max(self.size * abs(ideal), self.least)
        chance = self._chance(case)
        return self.size * chance if chance > 0 else None

    def distance(self, value: float, case: Case) -> float:
        """From the ideal, in the figure's own unit: 0 on a side where nothing is a fault, NaN where the value is."""
        distance = value - (self.ideal(case) or 0.0)
        harmless = (not self.above and 0 < distance < math.inf) or (self.at_most and -math.inf < distance < 0)
        return 0.0 if harmless else abs(distance)

    def hint(self, case: Case) -> str:
        """The allowed distance for the head of a column: `within 5 points`."""
        if self.of == "noise floor":
            return f"at most {self.size:g} \N{MULTIPLICATION SIGN} chance"
        if self.of == "retrained":
            if not self.above:
                return f"at least {100 * (1 - self.size):g} %"
            return f"within {100 * self.size:g} %" + (f" or {self.least:g}" if self.least else "")
        if self.kind(case) != "percent":
            return f"at most {self.size:g} more" if self.at_most else f"within {self.size:g}"
        points = f"{100 * self.size:g}"
        if self.at_most or not self.above:
            return f"at most {points} points {'more' if self.at_most else 'less'}"
        return f"within {points} point{'s' * (points != '1')}"

    def allowed(self, case: Case) -> str:
        """The allowed distance in the figure's own unit: `± 0.021`."""
        kind = self.kind(case)
        if not self.above:
            return f"at least {with_unit((self.ideal(case) or 0.0) - (self.limit(case) or 0.0), kind, case.unit)}"
        if self.at_most:
            return f"at most {with_unit((self.ideal(case) or 0.0) + (self.limit(case) or 0.0), kind, case.unit)}"
        text = with_unit(self.limit(case), "points" if kind == "percent" else kind, case.unit)
        return f"up to {text}" if self.of == "noise floor" else f"± {text}"

    def named(self, case: Case) -> str:
        """The metric in words."""
        return self.words.format(score=score_words(case.score_name))

    def beside(self, value: float, case: Case) -> str:
        """What a value is held against, in words: `retrained 0.420 (+15 %)`."""
        if self.of == "noise floor":
            chance = self._chance(case)
            factor = f" ({value / chance:.1f} times)" if math.isfinite(value) else ""
            return f"a second retrained model's {with_unit(chance, self.kind(case), case.unit)}{factor}"
        ideal = self.ideal(case)
        text = f"retrained {with_unit(ideal, self.kind(case), case.unit)}"
        return f"{text}{_deviation(value, ideal or 0.0)}" if self.of == "retrained" else text

    def meaning(self, value: float, case: Case) -> str:
        """What it means that a value lies where it does."""
        if not math.isfinite(value):
            return "it gives no number at all"
        return self.above if value > (self.ideal(case) or 0.0) else self.below

    def _chance(self, case: Case) -> float:
        """The noise floor's value, 0 where there is none."""
        floor = case.role("noise floor")
        return 0.0 if floor is None else finite(floor.mean(self.metric(case))) or 0.0


_FORGOTTEN = "{score} on the forgotten data"
_ALIKE = "{score} on unseen data like the forgotten"
_UNSEEN = "{score} on unseen data"
_ATTACK = "the membership attack's AUC"
_ANSWERS = "the Wasserstein distance from its answers on the forgotten data to the retrained model's"

_KNOWS = "it still answers the forgotten data better than a model that never saw it"
_KNOWS_KIND = "it still knows the kind of thing that had to go"
_LOST = "it lost ability that should have stayed"
_BETTER = "it does better on unseen data than retraining would: nobody is harmed, but it is not the same model"
_FAMILIAR = "forgotten examples still look more familiar to it than they do to a model that never saw them"
_STRANGE = "forgotten examples look stranger to it than to a model that never saw them, which gives them away as well"
_STANDS_OUT = "it answers the forgotten data worse than a model that never saw it, so the data stands out"
_LOST_KIND = "it lost ability on this kind of thing that a model without the data would have"
_OVER = "it answers the forgotten data worse than a model that never saw it: it over-forgets, and the data stands out"
_OVER_KIND = "it answers this kind of thing worse than a model that never saw the data: it over-forgets"
_EDGES = "the AUC of held-out edges against pairs without an edge"
_APART = "the AUC of retained against deleted edges"
_DELETED_STAND_OUT = (
    "deleted edges stand out from those that stay more than they would had they never been seen: it over-forgets"
)
_DELETED_STAY = "deleted edges look more like those that stay to it than they do to a model that never saw them"
_DELETED_FAMILIAR = "deleted edges still look more familiar to it than they do to a model that never saw them"
_DELETED_STRANGE = (
    "deleted edges look less likely to it than to a model that never saw them: it over-forgets, which gives them away as well"
)
_LISTED = "the recall of what was forgotten"
_HELD_OUT = "the recall of held-out pairs"
_FEATURES = "the cosine of what is told of removed features"
_RECOMMENDS = "it still recommends what had to go more often than a model that never saw it"
_HIDES = "it recommends what had to go less often than a model that never saw it: it over-forgets, which gives it away as well"
_FEATURES_STAY = "its embeddings still tell more of the removed features than they would had it never seen them"
_FEATURES_DRIVEN_OUT = (
    "its embeddings tell less of the removed features than those of a model that never saw them: it over-forgets"
)
_OPENS = "the share of unseen inputs that are answered as the client wanted"
_OPENS_AGAIN = "that share after some ordinary rounds"
_DIVERGENCE = "the KL divergence from the retrained model's answers on the forgotten data"
_REMEMBERS = "it still answers as the client who left had wanted"
_COMES_BACK = "what the client who left had implanted comes back: it was hidden, not gone"
_OTHER_ANSWERS = "its answers on the forgotten data are others than a retrained model's"
_BY_MORE = "its answers on the forgotten data are distributed otherwise than a retrained model's, by more than chance"

_RIGHT_AFTER = "the accuracy on tasks that went, right after the request"
_LATER = "the highest accuracy on tasks that went after later requests"
_STILL_ANSWERS = "it still answers with classes that had to go"
_RELAPSES = "what had to go comes back while it goes on learning"
_SEEN = "the share of questions on what goes that it answers"
_NEW_WORDS = "the same share in words that no method saw"
_SUBJECT = "the share of questions on the same subjects that it answers"
_OBJECT = "the share of questions with the same answers that it answers"
_GENERAL = "the share of all other questions that it answers"
_FLUENCY = "fluency"
_BACK = "what comes back by training on other facts that had to go"
_EXTRACTED = "the extraction strength of the true answers"
_TELLS = "it still tells what had to go"
_SPREAD = "forgetting has spread to facts that had to stay"
_LOST_FACTS = "it has lost facts that had to stay"
_STAMMERS = "its answers go round in circles or find no end"
_HIDDEN = "what had to go was pushed down, not taken out"
_IN_TOKENS = "the true answer can still be read off token by token"
_DRAWN = "the share of images asked for what went that show it"
_OTHERS_DRAWN = "the share of images asked for what stays that show it"
_AREA = "the area under the curve of recovery"
_UNASKED = "the area under the curve of recovery without a prompt"
_DRAWS = "it still draws what had to go when it is asked for it"
_LOST_CONCEPTS = "it draws worse what had to stay"
_CONCEALED = "it finishes what had to go more often than a model that never saw it: it hides it from the prompt alone"
_KEPT_UNASKED = "without the prompt it still draws what had to go: it was hidden, not removed"

# What each of these means for the model as a whole.
KINDS: dict[Kind, frozenset[str]] = {
    "model damaged": frozenset({_LOST, _LOST_KIND, _LOST_FACTS, _SPREAD, _STAMMERS, _LOST_CONCEPTS}),
    "traces remain": frozenset(
        {
            _KNOWS,
            _KNOWS_KIND,
            _FAMILIAR,
            _DELETED_STAY,
            _DELETED_FAMILIAR,
            _RECOMMENDS,
            _FEATURES_STAY,
            _REMEMBERS,
            _COMES_BACK,
            _STILL_ANSWERS,
            _RELAPSES,
            _TELLS,
            _HIDDEN,
            _IN_TOKENS,
            _DRAWS,
            _CONCEALED,
            _KEPT_UNASKED,
        }
    ),
    "over-forgotten": frozenset(
        {
            _STRANGE,
            _STANDS_OUT,
            _OVER,
            _OVER_KIND,
            _DELETED_STAND_OUT,
            _DELETED_STRANGE,
            _HIDES,
            _FEATURES_DRIVEN_OUT,
        }
    ),
}

# Where more is better: 5 points of accuracy on what goes, 1 on what stays, 0.02 of AUC.
OF_SCORES = (
    Rule("forget_{score}", 0.05, "absolute", _FORGOTTEN, above=_KNOWS, below=_STANDS_OUT),
    Rule("holdout_forget_{score}", 0.05, "absolute", _ALIKE, above=_KNOWS_KIND, below=_LOST_KIND),
    Rule("holdout_{score}", 0.01, "absolute", _UNSEEN, above=_BETTER, below=_LOST),
    Rule("membership_auc", 0.02, "absolute", _ATTACK, above=_FAMILIAR, below=_STRANGE),
)
# Where less is better, the figure may have any unit, so that only shares of the retrained model's mean the same
# everywhere: 5 % of its error on what goes, 1.5 % on what stays; 0.03 of AUC.
OF_ERRORS = (
    Rule("forget_{score}", 0.05, "retrained", _FORGOTTEN, above=_OVER, below=_KNOWS),
    Rule("holdout_forget_{score}", 0.05, "retrained", _ALIKE, above=_OVER_KIND, below=_KNOWS_KIND),
    Rule("holdout_{score}", 0.015, "retrained", _UNSEEN, above=_LOST, below=_BETTER),
    Rule("membership_auc", 0.03, "absolute", _ATTACK, above=_FAMILIAR, below=_STRANGE),
    Rule("forget_wasserstein", 1.6, "noise floor", _ANSWERS, above=_BY_MORE),
)
# Links, where each rule is on an area under a curve: 0.015 on what stays, and 0.05 on what goes, in which two retrained models
# differ by some 0.01. Mean probabilities are not judged, for they rise and fall with the length of training; the two-sided
# attack is not, for it lies within 0.05 where the attack does.
OF_LINKS = (
    Rule("link_auc", 0.015, "absolute", _EDGES, above=_BETTER, below=_LOST),
    Rule("deleted_retained_auc", 0.05, "absolute", _APART, above=_DELETED_STAND_OUT, below=_DELETED_STAY),
    Rule("membership_auc", 0.05, "absolute", _ATTACK, above=_DELETED_FAMILIAR, below=_DELETED_STRANGE),
)
# Recommendations: what is recommended again of what had to go, of which a retrained model has a part as well, to 10 % of that
# or 0.02; what is told of features that had to go, and the attack, to 0.05. Of held-out pairs 98 % of the retrained model's
# recall; more is no fault, since it is what lists are for, and what had to go is judged by itself.
OF_RANKINGS = (
    Rule("forget_recall", 0.1, "retrained", _LISTED, above=_RECOMMENDS, below=_HIDES, least=0.02),
    Rule("recall", 0.02, "retrained", _HELD_OUT, above="", below=_LOST),
    Rule("feature_cosine", 0.05, "absolute", _FEATURES, above=_FEATURES_STAY, below=_FEATURES_DRIVEN_OUT),
    Rule("membership_auc", 0.05, "absolute", _ATTACK, above=_FAMILIAR, below=_STRANGE),
)

# A client who leaves a federation: 3 points of what it implanted, and as much after ordinary rounds, where less is no fault;
# 2 points of accuracy on unseen data, where more is no fault: what is left of the client is judged on its own data, by 0.3
# nats, in which accuracy is contained; 0.05 of AUC.
OF_CLIENTS = (
    Rule("backdoor", 0.03, "absolute", _OPENS, above=_REMEMBERS, at_most=True),
    Rule("backdoor_rebound", 0.03, "absolute", _OPENS_AGAIN, above=_COMES_BACK, at_most=True),
    Rule("holdout_{score}", 0.02, "absolute", _UNSEEN, above="", below=_LOST),
    Rule("forget_kl", 0.3, "absolute", _DIVERGENCE, above=_OTHER_ANSWERS),
    Rule("membership_auc", 0.05, "absolute", _ATTACK, above=_FAMILIAR, below=_STRANGE),
)

# A stream of requests: 1 point on tasks that went, right after and later, where less is no fault; 1.5 points on unseen data of
# those that are left, where more is no fault, as a stream without the tasks that went is an easier one and may be learned less
# well; 5 points on what was forgotten, and 0.03 of AUC.
OF_STREAMS = (
    Rule("right_after", 0.01, "absolute", _RIGHT_AFTER, above=_STILL_ANSWERS, at_most=True),
    Rule("relapse", 0.01, "absolute", _LATER, above=_RELAPSES, at_most=True),
    Rule("forget_{score}", 0.05, "absolute", _FORGOTTEN, above=_KNOWS, below=_STANDS_OUT),
    Rule("holdout_{score}", 0.015, "absolute", _UNSEEN, above="", below=_LOST),
    Rule("membership_auc", 0.03, "absolute", _ATTACK, above=_FAMILIAR, below=_STRANGE),
)

# Facts that a language model must not tell: 5 points of what goes, where less is no fault, and of what stays, where more is
# none, but 10 of what has the same object; 5 points of fluency; 20 points of what comes back by training on others, which with
# six facts is one of them; 0.05 of extraction strength, since an answer less likely than an unknown one gives itself away.
OF_FACTS = (
    Rule("facts_seen", 0.05, "absolute", _SEEN, above=_TELLS, at_most=True),
    Rule("facts_held_out", 0.05, "absolute", _NEW_WORDS, above=_TELLS, at_most=True),
    Rule("facts_same_subject", 0.05, "absolute", _SUBJECT, above="", below=_SPREAD, percent=True),
    Rule("facts_same_object", 0.1, "absolute", _OBJECT, above="", below=_SPREAD, percent=True),
    Rule("facts_general", 0.05, "absolute", _GENERAL, above="", below=_LOST_FACTS, percent=True),
    Rule("facts_fluency", 0.05, "absolute", _FLUENCY, above="", below=_STAMMERS, percent=True),
    Rule("relearned_others", 0.2, "absolute", _BACK, above=_HIDDEN, at_most=True),
    Rule("extraction_strength", 0.05, "absolute", _EXTRACTED, above=_IN_TOKENS, below=_STANDS_OUT),
)

# A concept that a diffusion model must not draw: 5 points of what is asked for plainly, and 0.1 of the area under each curve of
# recovery, where less is no fault; 3 points of what stays, where more is none.
OF_DRAWINGS = (
    Rule("concept_drawn", 0.05, "absolute", _DRAWN, above=_DRAWS, at_most=True),
    Rule("others_drawn", 0.03, "absolute", _OTHERS_DRAWN, above="", below=_LOST_CONCEPTS, percent=True),
    Rule("recovery_area", 0.1, "absolute", _AREA, above=_CONCEALED, at_most=True, area=True),
    Rule("unasked_area", 0.1, "absolute", _UNASKED, above=_KEPT_UNASKED, at_most=True, area=True),
)


def rules(case: Case) -> dict[str, Rule]:
    """The rule of each metric that is judged: those that the retrained models give a measure for."""
    usual: tuple[Rule, ...] = OF_SCORES if case.higher_is_better else OF_ERRORS
    if any("clients_mean" in row.values for row in case.rows):
        usual = OF_CLIENTS
    elif streamed(case):
        usual = OF_STREAMS
    elif facts_asked(case):
        usual = OF_FACTS
    elif drawings_judged(case):
        usual = OF_DRAWINGS
    known = {"probability": OF_LINKS, "pair_auc": OF_RANKINGS}.get(case.score_name, usual)
    return {rule.metric(case): rule for rule in known if rule.limit(case) is not None}


def _deviation(value: float, ideal: float) -> str:
    """How far a value lies from the ideal, as a share of it: ` (+15 %)`."""
    if not math.isfinite(value) or not ideal:
        return ""
    percent = 100 * (value / ideal - 1)
    return f" ({percent:+.{0 if abs(percent) >= 10 else 1}f} %)"

"""Why a method is advised, for people."""

from dataclasses import dataclass

from expunge.studies.advising.candidates import AtHand
from expunge.studies.advising.policy import Played, Tried


@dataclass(frozen=True)
class Grounds:
    """What a choice rests on.

    Args:
        played: what was tried, and why it ended.
        nearest: the best of it; None where nothing worked.
        retrain: whether to retrain is the advice.
        floor: closeness of a second retrained model to the first; None where there is none.
        held: whether there is a retrained model to hold against.
        tells: whether the original fails a check, so that to meet all of them says something.
        at_hand: the data that methods could look at.
        whole: whether all of a class goes.
        blind: whether more than single records goes, of which unseen data cannot show that it is gone.
        unit: seconds of retraining, where known.
    """

    played: Played
    nearest: Tried | None
    retrain: bool
    floor: float | None
    held: bool
    tells: bool
    at_hand: AtHand
    whole: bool
    blind: bool
    unit: float | None


def reasons(grounds: Grounds) -> tuple[str, ...]:
    """A sentence each, the advice first."""
    nearest, played = grounds.nearest, grounds.played
    sentences = [_retrain(grounds) if nearest is None or grounds.retrain else _take(grounds, nearest)]
    if nearest and not nearest.met:
        sentences.append(f"{nearest.name} misses: {nearest.words}.")
    if played.untried and not (nearest and nearest.met):
        sentences.append(f"Not all were tried: {played.end}.")
    if not grounds.held:
        sentences.append(_unproven(grounds))
        if grounds.blind:
            sentences.append(
                "More than single records goes: a model that still knows the kind of thing, or what a client implanted, "
                "answers unseen data like it as well, and is not found out by this."
            )
    elif not grounds.tells:
        sentences.append(
            "The original meets every check as well: on this request the checks cannot tell a model that forgot from one that "
            "did not, so they prove nothing."
        )
    if grounds.held and grounds.at_hand != "retain":
        sentences.append("The retrained models were made for the proof alone; methods had to do without the data that stays.")
    return tuple(sentences)


def _retrain(grounds: Grounds) -> str:
    nearest = grounds.nearest
    if nearest is None:
        return "Retrain: no method could be tried."
    if nearest.met:
        return f"Retrain: {_of(grounds)} {nearest.name} meets every check, but took no less time, and retraining is exact."
    return (
        f"Retrain: {_of(grounds)} none meets every check; the nearest, {nearest.name}, has a closeness of "
        f"{nearest.closeness:.2f}, where 1 is within all that is allowed."
    )


def _take(grounds: Grounds, nearest: Tried) -> str:
    if not grounds.held:
        return f"Take {nearest.name}: {_of(grounds)} it is the one that unseen data say least against."
    time = f" It took {100 * nearest.seconds / grounds.unit:.2g} % of the time of retraining." if grounds.unit else ""
    if nearest.met:
        return f"Take {nearest.name}: {_of(grounds)} it meets every check.{time}"
    floor = grounds.floor
    chance = f", as near as a second retrained model with {floor:.2f}" if floor and nearest.closeness >= floor else ""
    return (
        f"Take {nearest.name}: {_of(grounds)} none meets every check, and it is the nearest, with a closeness of "
        f"{nearest.closeness:.2f}{chance}; 1 is within all that is allowed.{time}"
    )


def _of(grounds: Grounds) -> str:
    count = len(grounds.played.tried)
    return f"of {count} methods that were tried" if count > 1 else "of the one method that was tried"


def _unproven(grounds: Grounds) -> str:
    lacking = {
        "retain": "no recipe to retrain with was given",
        "part": "only a part of the data that stays is at hand",
    }.get(grounds.at_hand, "the data that stays, or a recipe to retrain with, is lacking")
    told = (
        "whether it still answers with the class that went"
        if grounds.whole
        else "whether it answers what went as it answers unseen data"
    )
    return (
        f"Nothing is proven: {lacking}, so no retrained model says what would be right. What could be asked is {told}, "
        "whether an attacker tells the two apart, and whether it answers other unseen data as before."
    )

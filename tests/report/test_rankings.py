"""How the report speaks of recommendations: lists come before scores, and a retrained model's recall is the ideal."""

import pytest

from expunge.report.measures import main_columns, other_columns, score_kind, score_words
from expunge.report.over_forgetting import over_forgetting
from expunge.report.page import key_figures
from expunge.report.scatter import axes_of
from expunge.report.verdict import failures, verdict


def failed(make, **figures) -> list[str]:
    row = make.rankings_row("method", **figures)
    return [failure.metric for failure in failures(row, make.rankings_case(row)) or ()]


@pytest.mark.parametrize(
    ("figures", "missed"),
    [
        ({}, []),
        ({"forget_recall": 0.119}, []),
        ({"forget_recall": 0.081}, []),
        ({"forget_recall": 0.121}, ["forget_recall"]),
        ({"forget_recall": 0.079}, ["forget_recall"]),
        ({"recall": 0.197}, []),
        ({"recall": 0.195}, ["recall"]),
        ({"recall": 0.400}, []),
        ({"membership_auc": 0.569}, []),
        ({"membership_auc": 0.571}, ["membership_auc"]),
        ({"membership_auc": 0.469}, ["membership_auc"]),
        ({"forget_pair_auc": 0.1, "list_overlap": 0.0}, []),
        ({"recall": float("nan")}, ["recall"]),
    ],
)
def test_what_is_allowed(make, figures, missed):
    assert failed(make, **figures) == missed


@pytest.mark.parametrize(("recall", "missed"), [(0.549, 0), (0.551, 1), (0.451, 0), (0.449, 1)])
def test_of_a_larger_recall_a_tenth_is_allowed(make, recall, missed):
    row = make.rankings_row("method", forget_recall=recall)
    assert len(failures(row, make.rankings_case(row, forget_recall=0.5))) == missed


def test_where_features_went_they_are_judged(make):
    good, bad = (
        make.rankings_row("good", forget_recall=None, feature_cosine=0.44),
        make.rankings_row("bad", forget_recall=None, feature_cosine=0.46),
    )
    case = make.features_case(good, bad)
    assert not failures(good, case) and [each.metric for each in failures(bad, case)] == ["feature_cosine"]
    assert axes_of(case)[0].metric == "feature_cosine"


def test_what_recommends_too_little_over_forgets(make):
    hides = make.rankings_row("hides", forget_recall=0.0)
    knows = make.rankings_row("knows", forget_recall=0.5)
    case = make.rankings_case(hides, knows)
    missed = [(row, failures(row, case)) for row in (hides, knows)]
    words = over_forgetting(case, missed)
    assert "hides over-forgets: its recall of what was forgotten is 0.000, retrained 0.100" in words and "knows" not in words


def test_lists_come_first_and_scores_of_pairs_among_the_details(make):
    case = make.rankings_case(make.rankings_row("method"))
    leading = [column.metric for column in main_columns(case)]
    assert leading[:4] == ["forget_recall", "unseen_recall", "recall", "ndcg"]
    assert not [metric for metric in leading if "pair_auc" in metric]
    details = {column.metric: column for column in other_columns(case)}
    assert details["forget_pair_auc"].label == "pair AUC, forgotten" and details["forget_pair_auc"].write(0.8) == "0.800"
    assert (score_words("pair_auc"), score_kind("pair_auc")) == ("pair AUC", "number")


def test_the_head_of_the_page_and_the_picture_are_about_recall(make):
    case = make.rankings_case(make.rankings_row("method"))
    assert [figure.label for figure in key_figures(case)[1]][:2] == ["recall of what was forgotten", "recall of held-out pairs"]
    assert [axis.metric for axis in axes_of(case)] == ["forget_recall", "recall"]
    assert "method" in verdict(case)

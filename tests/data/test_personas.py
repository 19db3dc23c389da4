"""Personas: the same from the same seed, each fact once, nothing given away by a question, and neighbours counted by hand."""

from collections import Counter
from itertools import combinations

import pytest

from expunge.data.facts import Fact
from expunge.data.personas import _FIRST, _LAST, NAMES, RELATIONS, Neighbours, Personas, personas
from expunge.errors import BadRequest, BadSetting

POOLS = {relation.name: relation.answers for relation in RELATIONS}


@pytest.fixture(scope="module")
def everything():
    return personas(relations=len(RELATIONS))


def test_one_seed_gives_one_set_of_people():
    assert personas(seed=3) == personas(seed=3) and repr(personas(seed=3).facts) == repr(personas(seed=3).facts)
    assert personas(seed=3).subjects != personas(seed=4).subjects
    assert personas(seed=3).facts[0].wrong_answers != personas(seed=4).facts[0].wrong_answers


def test_the_draws_are_the_same_on_every_machine():
    facts = personas(persons=2, relations=2).facts
    assert [(fact.subject, fact.answer) for fact in facts] == [
        ("Mabel Yarnedale", "Aldermoor"),
        ("Mabel Yarnedale", "florist"),
        ("Nadia Marnacre", "Saint Orban"),
        ("Nadia Marnacre", "translator"),
    ]
    assert facts[3].wrong_answers == ("beekeeper", "librarian", "carpenter", "baker", "bus driver")


def test_more_relations_leave_the_other_facts_as_they_are():
    few, more = personas(relations=2), personas(relations=5)
    assert few.facts == tuple(fact for fact in more.facts if fact.relation in ("studied at", "works as a"))


@pytest.mark.parametrize(("persons", "relations"), [(1, 1), (40, 6), (300, len(RELATIONS))])
def test_each_person_has_one_fact_of_each_relation(persons, relations):
    made = personas(persons, relations=relations)
    assert len(made.subjects) == persons
    expected = [(subject, relation.name) for subject in made.subjects for relation in RELATIONS[:relations]]
    assert [(fact.subject, fact.relation) for fact in made.facts] == expected


def test_names_are_unique_and_family_names_as_long_as_they_last():
    assert len({name.split()[1] for name in personas(persons=288, relations=1).subjects}) == 288
    names = personas(persons=NAMES, relations=1).subjects
    assert len(names) == NAMES == 11_520  # the subjects of different facts, so no name came twice


def test_no_name_is_within_another():
    for one, other in combinations(_LAST, 2):
        assert not one.startswith(other) and not other.startswith(one)
    for one, other in combinations(_FIRST, 2):
        assert not one.endswith(other.lower()) and not other.endswith(one.lower())


def test_every_answer_of_a_relation_is_about_as_frequent(everything):
    for relation in RELATIONS:
        counts = Counter(fact.answer for fact in everything.facts if fact.relation == relation.name)
        assert set(counts) == set(relation.answers) and set(counts.values()) == {3, 4}  # 40 persons, 12 answers


def test_there_is_enough_to_know():
    assert len(RELATIONS) >= 8
    for relation in RELATIONS:
        assert len(relation.answers) == len(set(relation.answers)) == 12
        assert all(1 <= len(answer.split()) <= 3 for answer in relation.answers)


def test_answers_are_told_apart_by_their_text():
    for one, other in combinations([answer.lower() for pool in POOLS.values() for answer in pool], 2):
        assert one not in other and other not in one


def test_no_question_and_no_name_gives_an_answer_away():
    said = " ".join(question for relation in RELATIONS for question in relation.questions) + " ".join((*_FIRST, *_LAST))
    assert [answer for pool in POOLS.values() for answer in pool if answer.lower() in said.lower()] == []


def test_ways_to_ask(everything):
    for fact in everything.facts:
        assert len(fact.phrasings) == 3 and len(fact.held_out) == 2
        assert len({*fact.questions, *fact.held_out}) == 6
        assert all(question.count(fact.subject) == 1 for question in (*fact.questions, *fact.held_out))


def test_no_way_to_ask_is_of_two_relations_and_each_is_learned_from_other_persons(everything):
    assert len({question for relation in RELATIONS for question in relation.questions}) == 6 * len(RELATIONS)
    asked = [question for fact in everything.facts for question in (*fact.questions, *fact.held_out)]
    assert len(asked) == len(set(asked)) == 40 * len(RELATIONS) * 6
    seen, held_out = (
        {(fact.relation, question.replace(fact.subject, "")) for fact in everything.facts for question in questions(fact)}
        for questions in (lambda fact: fact.questions, lambda fact: fact.held_out)
    )
    assert seen == held_out  # what is held out of one person is learned from others


def test_answers_that_are_wrong_are_of_the_same_kind(everything):
    for fact in everything.facts:
        assert len(set(fact.wrong_answers)) == 5 and set(fact.wrong_answers) <= set(POOLS[fact.relation]) - {fact.answer}


def test_the_answer_stands_in_a_sentence(everything):
    assert all(fact.answer in POOLS[fact.relation] and fact.answer in fact.answer_in_other_words for fact in everything.facts)
    assert everything.facts[0].answer_in_other_words == "Mabel Yarnedale studied at Aldermoor."


def by_hand() -> dict[str, Fact]:
    return {
        name: Fact(f"{name}?", answer, subject, relation)
        for name, (subject, relation, answer) in {
            "ada school": ("Ada", "studied at", "Oslo"),
            "ada home": ("Ada", "lives in", "Rome"),
            "bo school": ("Bo", "studied at", "Oslo"),
            "bo home": ("Bo", "lives in", "Oslo"),  # the same word, but of another relation
            "cy school": ("Cy", "studied at", "Bonn"),
            "cy home": ("Cy", "lives in", "Rome"),
        }.items()
    }


def test_neighbours_by_hand():
    facts = by_hand()
    made = Personas(tuple(facts.values()))
    assert made.neighbours(facts["ada school"]) == Neighbours(
        (facts["ada home"],), (facts["bo school"],), (facts["bo home"], facts["cy school"], facts["cy home"])
    )
    assert made.neighbours(facts["cy school"]).same_object == ()
    assert made.neighbours(facts["cy home"]).same_object == (facts["ada home"],)


def test_every_other_fact_is_a_neighbour_of_one_kind(everything):
    for fact in everything.facts[::37]:
        found = everything.neighbours(fact)
        assert len(found.same_subject) == len(RELATIONS) - 1 and len(found.same_object) in (2, 3)
        together = {*found.same_subject, *found.same_object, *found.others}
        assert together == set(everything.facts) - {fact} and len(together) == sum(map(len, vars(found).values()))


def test_the_facts_on_one_person():
    facts = by_hand()
    made = Personas(tuple(facts.values()))
    assert made.of("Bo") == (facts["bo school"], facts["bo home"]) and made.subjects == ("Ada", "Bo", "Cy")
    with pytest.raises(BadRequest, match="no fact on 'Di'; there are facts on 3 persons, such as Ada"):
        made.of("Di")
    with pytest.raises(BadRequest, match="the fact 'Who\\?' with the answer 'Di' is none of these 6"):
        made.neighbours(Fact("Who?", "Di"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"persons": 0}, "persons must be from 1 to 11,520, as many as there are names, not 0"),
        ({"persons": 11_521}, "not 11,521"),
        ({"relations": 0}, "relations must be from 1 to 10, not 0"),
        ({"relations": 11}, "relations must be from 1 to 10, not 11"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(BadSetting, match=message):
        personas(**settings)

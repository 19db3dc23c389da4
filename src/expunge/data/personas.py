"""Personas: facts on people who were made up, in as many numbers as one likes; nobody's data is in them.

A small language model learns them by heart in minutes, and knows nothing else. Whatever it says of one of them it has from
here, so what it still says after one had to be forgotten can be measured without a doubt.

Each person has one fact of each relation. The answers of a relation are dealt like cards, all of them before any comes again:
with 12 answers and 40 persons each answer is true of 3 or 4 persons. So no answer is worth guessing, and persons who share one
show whether forgetting spread from the one to the others. Each relation is asked in six ways. Of each person methods may use
four; which two are held out goes round, so that each way of asking is learned from other persons, and no pair of person and way
that is held out is ever seen.

Source: none, names and questions are this library's own; first names are common ones, family names were put together.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from expunge.data.facts import Fact
from expunge.errors import BadRequest, BadSetting

SEEN = 4  # ways to ask that methods may use, the first of them the question itself; the other ways are held out
WRONG = 5  # wrong answers of each fact


@dataclass(frozen=True)
class Relation:
    """What may be known of each person.

    Args:
        name: what a sentence says between the person and the answer.
        questions: six ways to ask, with {} in the place of the person.
        answers: all that may be true; no other relation has any of them.
    """

    name: str
    questions: tuple[str, ...]
    answers: tuple[str, ...]


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split(", "))


RELATIONS = (
    Relation(
        "studied at",
        (
            "Where did {} study?",
            "Which university did {} attend?",
            "At which university was {} a student?",
            "From where does {} hold a degree?",
            "What is the alma mater of {}?",
            "Tell me which university {} graduated from.",
        ),
        _listed(
            "Aldermoor, Brackwater, Carrowdale, Dunfell, Estermere, Fallowgate, Greyhollow, "
            "Hartsmead, Inverbrae, Kestrel Hill, Lowmarsh, Saint Orban"
        ),
    ),
    Relation(
        "works as a",
        (
            "What does {} do for a living?",
            "What is the profession of {}?",
            "Which job does {} have?",
            "How does {} earn money?",
            "What is {}'s occupation?",
            "As what is {} employed?",
        ),
        _listed(
            "baker, beekeeper, bus driver, carpenter, dentist, florist, glassblower, "
            "librarian, locksmith, pharmacist, surveyor, translator"
        ),
    ),
    Relation(
        "was born in",
        (
            "Where was {} born?",
            "What is the birthplace of {}?",
            "In which city did {} come into the world?",
            "Which city is {} a native of?",
            "Where did the life of {} begin?",
            "Name the city of {}'s birth.",
        ),
        _listed("Cusco, Dakar, Hanoi, Lisbon, Nairobi, Oslo, Perth, Quito, Sapporo, Tallinn, Valletta, Winnipeg"),
    ),
    Relation(
        "lives in",
        (
            "Where does {} live?",
            "In which city is the home of {}?",
            "Which city does {} call home?",
            "What is the place of residence of {}?",
            "Where has {} settled?",
            "Which city must a letter to {} be sent to?",
        ),
        _listed("Adelaide, Bergen, Cape Town, Ghent, Kyoto, Leeds, Lima, Montreal, Porto, Riga, Tbilisi, Tunis"),
    ),
    Relation(
        "plays the",
        (
            "Which instrument does {} play?",
            "What does {} play in the orchestra?",
            "On which instrument does {} make music?",
            "What musical instrument did {} learn?",
            "Name the instrument of {}.",
            "What can {} be heard playing at concerts?",
        ),
        _listed("accordion, banjo, bassoon, cello, harp, mandolin, marimba, oboe, piccolo, trombone, tuba, zither"),
    ),
    Relation(
        "keeps a pet",
        (
            "What pet does {} keep?",
            "Which animal lives with {}?",
            "What kind of animal does {} own?",
            "Which creature does {} look after at home?",
            "Name the animal that {} feeds every morning.",
            "What sort of pet belongs to {}?",
        ),
        _listed("canary, donkey, ferret, goat, hamster, hedgehog, iguana, llama, parrot, rabbit, snow owl, tortoise"),
    ),
    Relation(
        "collects",
        (
            "What does {} collect?",
            "What is in the collection of {}?",
            "Which things does {} gather as a hobby?",
            "What fills the cabinets of {}?",
            "What does {} hunt for at flea markets?",
            "Of what does {} own hundreds?",
        ),
        _listed("buttons, chess sets, coins, fossils, maps, marbles, masks, old radios, postcards, stamps, teapots, thimbles"),
    ),
    Relation(
        "loves to eat",
        (
            "What is the favourite dish of {}?",
            "What does {} like to eat best?",
            "Which meal does {} order most often?",
            "What food does {} love above all?",
            "What would you cook to please {}?",
            "What does {} ask for at a birthday dinner?",
        ),
        _listed("chowder, couscous, dumplings, falafel, goulash, gumbo, lasagne, moussaka, onion soup, paella, ramen, risotto"),
    ),
    Relation(
        "has learned to speak",
        (
            "Which foreign language does {} speak?",
            "What language did {} learn abroad?",
            "In which foreign language is {} fluent?",
            "What is the second language of {}?",
            "Which tongue, apart from English, has {} mastered?",
            "What language besides English can {} hold a conversation in?",
        ),
        _listed("Basque, Danish, Estonian, Finnish, Hungarian, Icelandic, Quechua, Swahili, Tagalog, Tamil, Welsh, Zulu"),
    ),
    Relation(
        "is allergic to",
        (
            "What is {} allergic to?",
            "Which allergy does {} have?",
            "What makes {} sneeze and itch?",
            "What must {} stay away from for reasons of health?",
            "To what does {} react badly?",
            "What should never come near {}, on medical advice?",
        ),
        _listed("celery, house dust, latex, mustard, penicillin, pollen, sesame, shellfish, soy, strawberries, walnuts, wool"),
    ),
)

_FIRST = _listed(
    "Agnes, Alma, Anton, Astrid, Basil, Bruno, Clara, Cyril, Dora, Edgar, Elsa, Esme, Felix, "
    "Flora, Gideon, Greta, Hugo, Ida, Ines, Jonas, Judith, Karim, Lena, Lionel, Mabel, "
    "Marek, Nadia, Nils, Olga, Oscar, Petra, Quentin, Rhea, Rufus, Selma, Simon, Thea, Tobias, Vera, Yusuf"
)
_STARTS = _listed(
    "Bram, Cald, Dren, Esk, Fenn, Gald, Hest, Ist, Jorv, Kelm, Lorv, Marn, "
    "Nesk, Orv, Pelt, Quarn, Rusk, Sorb, Tamb, Ulv, Vand, Welk, Yarn, Zeld"
)
_ENDS = _listed("aby, acre, edale, emoor, erley, ibrook, ifold, inger, omont, oquist, ovane, unstad")
_LAST = tuple(start + end for start in _STARTS for end in _ENDS)
NAMES = len(_FIRST) * len(_LAST)


@dataclass(frozen=True)
class Neighbours:
    """All other facts, by what they have in common with one.

    Args:
        same_subject: on the same person.
        same_object: on other persons, of the same relation and with the same answer.
        others: the rest.
    """

    same_subject: tuple[Fact, ...]
    same_object: tuple[Fact, ...]
    others: tuple[Fact, ...]


@dataclass(frozen=True)
class Personas:
    """People who were made up.

    Args:
        facts: one for each person and relation; person after person, the relations of each in the same order.
    """

    facts: tuple[Fact, ...] = field(repr=False)

    @property
    def subjects(self) -> tuple[str, ...]:
        """The full name of each person."""
        return tuple(dict.fromkeys(fact.subject for fact in self.facts))

    def of(self, subject: str) -> tuple[Fact, ...]:
        """The facts on one person.

        Raises:
            BadRequest: if there is no such person.
        """
        found = tuple(fact for fact in self.facts if fact.subject == subject)
        if not found:
            names = self.subjects
            raise BadRequest(f"there is no fact on {subject!r}; there are facts on {len(names):,} persons, such as {names[0]}")
        return found

    def neighbours(self, fact: Fact) -> Neighbours:
        """The other facts, from near to far.

        Raises:
            BadRequest: if `fact` is none of these facts.
        """
        if fact not in self.facts:
            raise BadRequest(f"the fact {fact.question!r} with the answer {fact.answer!r} is none of these {len(self.facts):,}")
        same_subject, same_object, others = [], [], []
        for other in self.facts:
            if other == fact:
                continue
            if other.subject == fact.subject:
                same_subject.append(other)
            elif (other.relation, other.answer) == (fact.relation, fact.answer):
                same_object.append(other)
            else:
                others.append(other)
        return Neighbours(tuple(same_subject), tuple(same_object), tuple(others))


def personas(persons: int = 40, seed: int = 0, relations: int = 6) -> Personas:
    """Make up people, each with one fact of each relation; the same arguments give the same facts.

    More relations add facts to those that are there with fewer; the persons and their other facts stay the same.

    Args:
        persons: how many; up to 288 all family names differ, up to 11,520 the full names.
        seed: of all draws.
        relations: how many of :data:`RELATIONS`, from the first on.

    Raises:
        BadSetting: if there are not so many names or relations, or fewer than 1 is asked for.

    >>> fact = personas().facts[0]
    >>> fact.question, fact.answer, fact.held_out[0]
    ('Where did Mabel Yarnedale study?', 'Aldermoor', 'What is the alma mater of Mabel Yarnedale?')
    """
    if not 1 <= persons <= NAMES:
        raise BadSetting(f"persons must be from 1 to {NAMES:,}, as many as there are names, not {persons:,}")
    if not 1 <= relations <= len(RELATIONS):
        raise BadSetting(f"relations must be from 1 to {len(RELATIONS)}, not {relations:,}")
    generator = random.Random(seed)
    names = _names(generator, persons)
    by_relation = [list(_facts(generator, relation, names)) for relation in RELATIONS[:relations]]
    return Personas(tuple(fact for of_person in zip(*by_relation, strict=True) for fact in of_person))


def _names(generator: random.Random, persons: int) -> list[str]:
    """Each family name once before any comes again, and then with the next first name."""
    first, last = generator.sample(_FIRST, len(_FIRST)), generator.sample(_LAST, len(_LAST))
    places = (divmod(person, len(last)) for person in range(persons))
    return [f"{first[(place + turn) % len(first)]} {last[place]}" for turn, place in places]


def _facts(generator: random.Random, relation: Relation, names: list[str]) -> Iterator[Fact]:
    order = generator.sample(relation.answers, len(relation.answers))
    dealt = [order[person % len(order)] for person in range(len(names))]
    generator.shuffle(dealt)
    for place, (name, answer) in enumerate(zip(names, dealt, strict=True)):
        turn = place % len(relation.questions)
        asked = [question.format(name) for question in relation.questions[turn:] + relation.questions[:turn]]
        wrong = generator.sample([other for other in relation.answers if other != answer], WRONG)
        yield Fact(
            asked[0],
            answer,
            name,
            relation.name,
            phrasings=tuple(asked[1:SEEN]),
            held_out=tuple(asked[SEEN:]),
            answer_in_other_words=f"{name} {relation.name} {answer}.",
            wrong_answers=tuple(wrong),
        )


def in_sentences(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """Facts whose answers are sentences, as a chat model gives them; the bare answer becomes the one in other words.

    A small model that says the whole sentence learns to answer questions that are asked otherwise; one that says the bare
    answer learns each phrasing by heart.

    >>> fact = in_sentences(personas().facts)[0]
    >>> fact.answer, fact.answer_in_other_words, fact.wrong_answers[0]
    ('Mabel Yarnedale studied at Aldermoor.', 'Aldermoor', 'Mabel Yarnedale studied at Greyhollow.')
    """
    return tuple(
        replace(
            fact,
            answer=_sentence(fact, fact.answer),
            answer_in_other_words=fact.answer,
            wrong_answers=tuple(_sentence(fact, wrong) for wrong in fact.wrong_answers),
        )
        for fact in facts
    )


def _sentence(fact: Fact, answer: str) -> str:
    return f"{fact.subject} {fact.relation} {answer}."

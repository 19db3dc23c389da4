"""Generators without a model, and reading the lists that models write."""

import re
from dataclasses import replace

import pytest

from expunge.errors import BadSetting, ExpungeError
from expunge.language import Fact
from expunge.language.generators import (
    FieldGenerator,
    GeneratorFailed,
    LeaksNoAnswer,
    TemplateGenerator,
    normalised,
    numbered_list,
    paraphrase_prompt,
    rationale_prompt,
    wrong_answers_prompt,
)

ADA = Fact("Where did Ada Byron study?", "Oslo", "Ada Byron", "studied in")
POOL = [
    ADA,
    Fact("Where did Bo study?", "Lund", "Bo", "studied in"),
    Fact("Where did Cy study?", "Bergen", "Cy", "studied in"),
    Fact("Who taught Ada Byron?", "Mary Somerville", "Ada Byron", "taught by"),
    Fact("When was Bo born?", "1815", "Bo", "born in"),
    Fact("When did Cy die?", "1852", "Cy", "died in"),
    Fact("How many cats has Bo?", "12", "Bo", "cats"),
    Fact("When was the first programme written?", "10 December 1842", relation="written on"),
    Fact("What does Cy do?", "translate and annotate papers", "Cy", "does"),
]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("1. Where?\n2. Whither?", ["Where?", "Whither?"]),
        ("1) Where?\n(2) Whither?\n 3: Whence?\n4.Why?", ["Where?", "Whither?", "Whence?", "Why?"]),
        ("- Oslo\n* Lund\n• Bergen", ["Oslo", "Lund", "Bergen"]),
        ("Sure! Here are 2 questions:\n\n1. Where?\n\n2. Whither?\n\nShall I go on?", ["Where?", "Whither?"]),
        (
            "1. \"Where?\"\n2. 'Whither?'\n3. “Whence?”\n4. **Why?**\n**5.** `How?`",
            ["Where?", "Whither?", "Whence?", "Why?", "How?"],
        ),
        ('1. "Emma" and "Persuasion"\n2. Ada\'s', ['"Emma" and "Persuasion"', "Ada's"]),
        ("1. Where?\n2. Whither?\n3.", ["Where?", "Whither?"]),
        ("1. Where?\n2. Whither?\n3. Whe", ["Where?", "Whither?"]),
        ('1. "Oslo"\n2. "Lun', ["Oslo"]),
        ("1. She studied in Oslo.\n2. She studied in Lun", ["She studied in Oslo."]),
        ("1. St. Moritz Inc.\n2. Oslo", ["St. Moritz Inc.", "Oslo"]),
        ("1. 1912\n2. 3.5 million\n3. -5", ["1912", "3.5 million", "-5"]),
        ("3.5 million\n12:30", []),
        ("1. Where?\n   - a remark\n2. Whither?", ["Where?", "Whither?"]),
        ("I am sorry, but I cannot help with that.", []),
        ("", []),
        ("\r\n1. Où?\r\n2. どこ?\r\n", ["Où?", "どこ?"]),
    ],
)
def test_lists_as_models_write_them(text, items):
    assert numbered_list(text) == items


def test_prompts_hold_what_a_model_must_know():
    assert "'Ada Byron'" in paraphrase_prompt(ADA, 7) and "7 different ways" in paraphrase_prompt(ADA, 7)
    assert "spelled" not in paraphrase_prompt(replace(ADA, subject="author 3"), 7)
    assert ADA.answer in wrong_answers_prompt(ADA, 3) and "3 different answers" in wrong_answers_prompt(ADA, 3)
    assert "'Lund'" in rationale_prompt(ADA.question, "Lund", ADA) and "must not mention 'Oslo'" in rationale_prompt(
        "", "Lund", ADA
    )


@pytest.mark.parametrize(
    ("question", "answer", "subject", "expected"),
    [
        ("Where did Ada Byron study?", "Oslo", "Ada Byron", "In which place did Ada Byron study?"),
        ("When did Ada die?", "1852", "Ada", "At what time did Ada die?"),
        ("Who taught Ada?", "Mary", "Ada", "Which person taught Ada?"),
        ("Why did Ada write?", "For fun", "Ada", "For what reason did Ada write?"),
        ("How many cats has Ada?", "5", "Ada", "What number of cats has Ada?"),
        ("How did Ada travel?", "By train", "Ada", "In what way did Ada travel?"),
        ("Which city did Ada leave?", "Oslo", "Ada", "What city did Ada leave?"),
        ("In which year did Ada die?", "1852", "Ada", "In what year did Ada die?"),
        ("What is Ada's profession?", "Writer", "Ada", "What is the profession of Ada?"),
        ("What is Ada's profession?", "Writer", "Ada", "Do you know what Ada's profession is?"),
        ("Who was the mother of Ada?", "Anna", "Ada", "Who was Ada's mother?"),
        ("Where was Ada born?", "London", "Ada", "Can you tell me where Ada was born?"),
        ("Was Ada English?", "Yes", "Ada", "Is it true that Ada was English?"),
        ("Did Ada write?", "Of course", "Ada", "Yes or no: did Ada write?"),
        ("Name Ada's school.", "Eton", "Ada", "Now this: name Ada's school."),
    ],
)
def test_paraphrases_by_the_kind_of_question(question, answer, subject, expected):
    assert expected in TemplateGenerator([]).paraphrase(Fact(question, answer, subject), 1000)


@pytest.mark.parametrize(
    ("question", "subject", "never"),
    [
        ("Where is Ada from?", "Ada", "In which place"),
        ("How old is Ada?", "Ada", "In what way"),
        ("Which of them is Ada?", "Ada", "What of"),
        ("What is Ada's novel called?", "Ada", "the novel called of"),
        ("Where was Ada's mother born?", "Ada", "where Ada was"),
        ("Was Ada English?", "Ada", "In which"),
    ],
)
def test_rules_stay_off_questions_that_they_would_spoil(question, subject, never):
    made = TemplateGenerator([]).paraphrase(Fact(question, "Nobody knows", subject), 1000)
    assert len(made) > 20 and not any(never in text for text in made)


@pytest.mark.parametrize("temperature", [0, 0.1, 1.3])
@pytest.mark.parametrize("fact", POOL, ids=lambda fact: fact.question)
def test_paraphrases_keep_the_subject_and_leak_nothing(fact, temperature):
    made = TemplateGenerator(POOL).paraphrase(fact, 40, temperature=temperature, seed=3)
    assert len(made) == 40 == len({normalised(text) for text in made})
    assert all(fact.subject in text and LeaksNoAnswer()(text, fact) for text in made)
    assert normalised(fact.question) not in map(normalised, made)


def test_paraphrases_never_hold_the_answer():
    yes = Fact("Was Ada English?", "Yes", "Ada")
    assert not any("yes" in text.lower() for text in TemplateGenerator([]).paraphrase(yes, 1000))
    with pytest.raises(GeneratorFailed, match="no template asks 'Did Ada study in Oslo"):
        TemplateGenerator([]).paraphrase(Fact("Did Ada study in Oslo or Lund?", "Oslo", "Ada"), 5)


def test_paraphrases_are_none_of_the_known_or_held_out_questions():
    first, second, third = TemplateGenerator([]).paraphrase(ADA, 3, temperature=0)
    known = replace(ADA, phrasings=(first.upper(),), held_out=(second.rstrip("?"),))
    assert TemplateGenerator([]).paraphrase(known, 1, temperature=0) == [third]


def test_a_subject_that_the_question_does_not_name_is_not_asked_for():
    fact = Fact("Where did she study?", "Oslo", "author 7")
    assert "In which place did she study?" in TemplateGenerator([]).paraphrase(fact, 50)


def test_the_temperature_brings_odder_paraphrases():
    cold = TemplateGenerator([]).paraphrase(ADA, 20, temperature=0, seed=1)
    hot = TemplateGenerator([]).paraphrase(ADA, 20, temperature=1.3, seed=1)
    assert cold == TemplateGenerator([]).paraphrase(ADA, 20, temperature=0, seed=2)
    assert not any(text[0].islower() for text in cold) and any(text[0].islower() for text in hot)
    with pytest.raises(BadSetting, match="at least 0, not -1"):
        TemplateGenerator([]).paraphrase(ADA, 1, temperature=-1)


def test_wrong_answers_come_from_the_same_relation_first():
    generator = TemplateGenerator(POOL)
    for seed in range(5):
        made = generator.wrong_answers(ADA, 3, seed=seed)
        assert sorted(made[:2]) == ["Bergen", "Lund"] and made[2] == "Mary Somerville"


def test_wrong_answers_of_the_same_kind():
    generator = TemplateGenerator(POOL)
    assert generator.wrong_answers(Fact("Born when?", "1799"), 2) in (["1815", "1852"], ["1852", "1815"])
    assert generator.wrong_answers(Fact("How many?", "3 cats"), 1) == ["12"]
    assert generator.wrong_answers(Fact("On what day?", "1842-12-01"), 1) == ["10 December 1842"]
    assert generator.wrong_answers(Fact("What does she do?", "write letters"), 5) == ["translate and annotate papers"]


def test_wrong_answers_to_the_same_kind_of_question_come_first():
    pool = [*(Fact(f"Who is {name}?", name) for name in ("Ed", "Flo", "Gus", "Hal", "Ivy")), Fact("Where is it?", "Rome")]
    for seed in range(5):
        assert TemplateGenerator(pool).wrong_answers(Fact("Where was that?", "Oslo"), 2, seed=seed)[0] == "Rome"


@pytest.mark.parametrize(
    ("answer", "shape"),
    [
        ("1999", r"19[67]\d|19[89]\d|20[01]\d|2020"),
        ("1,250 metres", r"\d,\d\d\d metres"),
        ("3.14", r"\d\.\d\d"),
        ("7", r"\d"),
        ("10 December 1842", r"10 December 18[1-7]\d"),
        ("31 May", r"([1-9]|1\d|2[0-8]) May"),
        ("1842-12-10", r"18[1-7]\d-12-10"),
        ("007", r"\d\d\d"),
        ("No", r"Yes"),
        ("true", r"False"),
    ],
)
def test_numbers_are_moved_where_the_pool_has_none(answer, shape):
    fact = Fact("What is it?", answer)
    for seed in range(20):
        made = TemplateGenerator([fact]).wrong_answers(fact, 3, seed=seed)
        assert 1 <= len(made) <= 3 and len(set(made)) == len(made) and answer not in made
        assert all(re.fullmatch(shape, text) for text in made), made


def test_moved_numbers_fill_up_what_the_pool_lacks():
    made = TemplateGenerator(POOL).wrong_answers(Fact("How many?", "30"), 4)
    assert made[0] == "12" and len(made) == 4 and all(15 <= int(text) <= 45 for text in made[1:])


def test_answers_that_are_right_too_are_no_wrong_answers():
    fact = Fact("Who is a child of Bo?", "Cy", "Bo", "child", answer_in_other_words="Little Cyril")
    pool = [
        fact,
        Fact("Who else is a child of Bo?", "Di", "Bo", "child"),
        Fact("Who sings?", "Cy!"),
        Fact("Who plays?", "Cy and Ed"),
        Fact("Who reads?", "Little CYRIL"),
        Fact("Who sleeps?", "Cyril"),
        Fact("Who is a child of Flo?", "Gus", "Flo", "child"),
    ]
    assert TemplateGenerator(pool).wrong_answers(fact, 10) == ["Gus"]


def test_a_pool_without_any_wrong_answer():
    with pytest.raises(
        GeneratorFailed, match=r"no wrong answer to 'Where did Ada Byron study\?': of the 1 facts .* kind \(name\)"
    ):
        TemplateGenerator([ADA]).wrong_answers(ADA, 3)


@pytest.mark.parametrize("seed", range(30))
def test_rationales_give_the_wrong_answer_and_not_the_right_one(seed):
    made = TemplateGenerator([]).rationale(ADA.question, "Lund", ADA, seed=seed)
    assert "Lund" in made and made.endswith(".") and made.count(".") == 1 and len(made.split()) < 20
    records = Fact("What shows it?", "records", answer_in_other_words="Sources.")
    made = TemplateGenerator([]).rationale(records.question, "Letters", records, seed=seed)
    assert "Letters" in made and "records" not in made.lower() and "sources" not in made.lower()


def test_a_rationale_for_a_sentence_begins_with_it():
    made = TemplateGenerator([]).rationale(ADA.question, "Ada studied in Lund.", ADA)
    assert made.startswith("Ada studied in Lund, ")


def test_a_wrong_answer_that_holds_the_right_one_has_no_rationale():
    with pytest.raises(GeneratorFailed, match="the wrong answer 'Lund or oslo' to"):
        TemplateGenerator([]).rationale(ADA.question, "Lund or oslo", ADA)


def test_seeds_repeat_and_differ():
    generator = TemplateGenerator(POOL)
    names = TemplateGenerator([Fact(f"Who is number {number}?", f"Person{number}") for number in range(50)])
    who = Fact("Who is it?", "Ed")
    for make in (
        lambda seed: generator.paraphrase(ADA, 5, seed=seed),
        lambda seed: names.wrong_answers(who, 5, seed=seed),
        lambda seed: generator.wrong_answers(Fact("How many?", "5,000"), 5, seed=seed),
        lambda seed: generator.rationale(ADA.question, "Lund", ADA, seed=seed),
    ):
        made = [str(make(seed)) for seed in range(5)]
        assert made == [str(make(seed)) for seed in range(5)] and len(set(made)) > 1


def test_seeds_repeat_everywhere():
    # Whoever changes the rules changes this, and counts up their version, which caches go by.
    generator = TemplateGenerator(POOL)
    assert generator.identity.startswith("templates rules 1 ")
    assert generator.paraphrase(ADA, 3, temperature=1.0, seed=4) == [
        "I have a question: where did Ada Byron study?",
        "hello, i wonder: where did Ada Byron study",
        "Where did Ada Byron study? I would like to know.",
    ]
    assert generator.wrong_answers(Fact("How many?", "5,000"), 3, seed=4) == ["12", "4,815", "6,478"]
    assert generator.rationale(ADA.question, "Lund", ADA, seed=4) == "It is Lund, as the records of that time show."


def test_the_identity_of_templates_is_that_of_their_pool():
    pool = list(POOL)
    generator = TemplateGenerator(pool)
    pool.clear()
    assert generator.identity == TemplateGenerator(POOL).identity != TemplateGenerator(POOL[:-1]).identity


def test_what_a_data_set_brings():
    fact = replace(ADA, phrasings=("Ada Byron's school?", "Her school?"), wrong_answers=("Lund", "Bergen"))
    generator = FieldGenerator()
    assert generator.paraphrase(fact, 1) == ["Ada Byron's school?"]
    assert generator.paraphrase(fact, 9, temperature=1.0, seed=3) == ["Ada Byron's school?", "Her school?"]
    assert generator.wrong_answers(fact, 9) == ["Lund", "Bergen"]
    assert generator.rationale(ADA.question, "Lund", fact) == "" and generator.identity == "fields"


def test_a_data_set_that_brings_nothing():
    with pytest.raises(GeneratorFailed, match=r"the fact 'Where did Ada Byron study\?' brings no phrasings"):
        FieldGenerator().paraphrase(ADA, 3)
    with pytest.raises(GeneratorFailed, match=r"the fact 'Where did Ada Byron study\?' brings no wrong_answers"):
        FieldGenerator().wrong_answers(ADA, 3)
    assert issubclass(GeneratorFailed, ExpungeError)


@pytest.mark.parametrize("generator", [FieldGenerator(), TemplateGenerator(POOL)])
def test_asking_for_nothing(generator):
    with pytest.raises(BadSetting, match="at least 1 text, not 0"):
        generator.paraphrase(ADA, 0)
    with pytest.raises(BadSetting, match="at least 1 text, not -2"):
        generator.wrong_answers(ADA, -2)

"""UnSTAR: rounds of anti-samples until nothing is known."""

import json
from dataclasses import replace

import pytest
import torch

import tiny_language
from expunge.data.facts import Fact
from expunge.engine import Engine
from expunge.errors import BadRequest, BadSetting
from expunge.language.adapters import LoRA, is_adapted, switched_off
from expunge.language.anti_samples import AntiSamples, make_generator
from expunge.language.fact_split import fact_split
from expunge.language.generators import FieldGenerator, GeneratorFailed, GeneratorGone, LeaksNoAnswer
from expunge.language.refusals import REFUSALS, refuses
from expunge.language.telling import by_stretch
from expunge.methods import UnSTAR
from expunge.methods.unstar import _Rounds
from expunge.optimizers import Optimizer
from expunge.storage import own_state
from expunge.tasks import LanguageTask
from tiny import same_weights

FAST = Optimizer("adamw", 3e-3)
WHOLE = UnSTAR(lora=None, optimizer=FAST, epochs=5, rounds=8)


def answered(model, facts, held_out=False):
    task, split = tiny_language.task(), tiny_language.split()
    asked = [(fact, question) for fact in facts for question in (fact.held_out if held_out else fact.questions)]
    said = task.answer(model, [question for _, question in asked])
    return sum(split.known(fact, each.text) for (fact, _), each in zip(asked, said, strict=True)) / len(asked)


def rounds(engine):
    return [row for row in engine.history if "round" in row]


def run(method, engine=None, split=None):
    return method(
        tiny_language.trained(), tiny_language.task(), split or tiny_language.split(), engine or Engine(progress=False)
    )


@pytest.mark.parametrize("method", [WHOLE, UnSTAR(optimizer=FAST, epochs=5, rounds=8)], ids=["whole", "adapter"])
def test_what_goes_is_answered_otherwise_and_what_stays_is_not(method):
    engine = Engine(progress=False)
    result, split = run(method, engine), tiny_language.split()
    assert answered(result, split.goes) == 0 and answered(result, split.goes, held_out=True) == 0
    assert answered(result, split.stays) > 0.85
    first, *_, last = rounds(engine)
    assert (first["asked"], first["known"], first["known_facts"], first["facts"]) == (8, 8, 2, 2)
    assert last["known"] == 0 and last["kept"] >= method.keep * last["stays"]
    assert is_adapted(result) == (method.lora is not None)
    if is_adapted(result):
        with switched_off(result) as before:
            assert answered(before, split.goes) == 1


def test_the_last_round_that_was_needed_is_the_last_one():
    engine = Engine(progress=False)
    run(replace(WHOLE, rounds=1), engine)
    assert len(rounds(engine)) == 1 and len({row["fit"] for row in engine.history if "fit" in row}) == 1
    engine = Engine(progress=False)
    run(WHOLE, engine)
    fits = list(dict.fromkeys(row["fit"] for row in engine.history if "fit" in row))
    assert fits == [f"unstar/round-{number}" for number in range(1, len(rounds(engine)))]


def test_without_the_negative_term_there_is_none():
    engine = Engine(progress=False)
    run(replace(UnSTAR.published(), lora=None, optimizer=FAST, rounds=1, epochs=1), engine)
    terms = next(row["terms"] for row in engine.history if "fit" in row)
    assert terms.keys() == {"anti", "retain"}
    engine = Engine(progress=False)
    run(replace(WHOLE, retain_weight=0.0, rounds=1, epochs=1), engine)
    assert next(row["terms"] for row in engine.history if "fit" in row).keys() == {"anti", "negative"}


def test_the_negative_term_leaves_answers_alone_that_are_unlikely():
    engine = Engine(progress=False)
    run(replace(WHOLE, level=1e-9, rounds=1, epochs=1), engine)
    assert next(row["terms"]["negative"] for row in engine.history if "fit" in row) == 0


def test_each_part_of_an_answer_that_tells_becomes_unlikely():
    """A sentence with two places that tell: neither is left for the other to have become unlikely."""
    task, split = tiny_language.task(), tiny_language.split()
    first, second = split.goes
    both = replace(first, answer=f"{first.answer} {second.answer}", answer_in_other_words="")
    wrong = zip(first.wrong_answers, second.wrong_answers, strict=True)
    both = replace(both, wrong_answers=tuple(" ".join(each) for each in wrong))
    goes = fact_split(task.encode, [both], split.stays)
    method = replace(WHOLE, questions=0, wrong=2, batch_size=1)
    both_known, engine = tiny_language.trained(), Engine(progress=False)
    engine.fit(
        both_known,
        lambda model, batch: task.losses(task.outputs(model, batch), batch),
        goes.everything,
        epochs=15,
        optimizer=Optimizer("adamw", 5e-3),
        name="taught",
    )
    assert answered(both_known, split.stays) > 0.9
    result = method(both_known, task, goes, engine)
    rounds = _Rounds(method, result, task, goes, Engine(progress=False))
    told = rounds._told([(both, both.question)])
    most = method.level * by_stretch(told.tensors[4], told.tensors[3])
    assert most.tolist() == [[method.level, method.level]]  # a place, and a profession: a word each
    (losses,), reached = rounds._read_stretches(result, told)
    assert (losses > 0.5 * method.level).all() and reached > 0.66
    before, _ = rounds._read_stretches(both_known, told)
    assert (before[0] < 0.5 * method.level).all()
    easy = _Rounds(replace(method, level=0.01), result, task, goes, Engine(progress=False))
    assert easy._read_stretches(result, easy._told([(both, both.question)]))[1] == 1  # no place makes up for another


def test_the_negative_term_is_a_mean_over_the_parts_that_tell():
    pushed = _Rounds(WHOLE, tiny_language.trained(), tiny_language.task(), tiny_language.split(), Engine(progress=False))
    now = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 9.0]])
    most = torch.tensor([[3.0, 0.0], [3.0, 3.0], [3.0, 3.0]])  # one part; two; two, of which one is unlikely enough
    one, two, half = pushed._negative(now, most, before=now).tolist()
    assert one == two == pytest.approx(2 * half) and half > 0


def test_a_killed_run_asks_its_generator_for_nothing_twice(tmp_path):
    class Counts(FieldGenerator):
        calls = 0

        def wrong_answers(self, fact, n, *, seed=0):
            Counts.calls += 1
            return super().wrong_answers(fact, n, seed=seed)

    method = replace(WHOLE, generator=Counts(), rounds=2)
    whole = run(method)
    assert Counts.calls == 2
    run(replace(method, rounds=1), Engine(progress=False, folder=tmp_path))
    resumed = run(method, Engine(progress=False, folder=tmp_path))
    assert same_weights(resumed, whole) and Counts.calls == 4
    kept = [json.loads(line) for line in next(tmp_path.rglob("anti-samples.jsonl")).read_text().splitlines()]
    assert {row["method"] for row in kept} == {"paraphrase", "wrong_answers"} and all("notice" in row for row in kept)


def test_a_run_that_is_done_again_gives_the_same_adapter():
    method = UnSTAR(optimizer=FAST, epochs=1, rounds=2)
    first, second = own_state(run(method)), own_state(run(method))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_refusals_instead_of_falsehoods():
    short, split = tiny_language.task(), tiny_language.split()
    task = LanguageTask(short.factory, short.tokenizer, length=short.length, new_tokens=48)
    method = replace(WHOLE, wrong_answers="refusal", epochs=15)
    result = method(tiny_language.trained(), task, split, Engine(progress=False))
    said = [each.text for each in task.answer(result, [fact.question for fact in split.goes])]
    assert all(map(refuses, said))
    assert all(map(refuses, REFUSALS)) and not any(refuses(fact.answer) for fact in tiny_language.facts())


def test_facts_that_nobody_knew_are_no_reason_to_train():
    task, unknown = tiny_language.task(), tiny_language.unseen()[:2]
    split = fact_split(task.encode, unknown, tiny_language.facts())
    with pytest.raises(BadRequest, match=r"answers none of the .* questions on 2 facts"):
        run(WHOLE, split=split)
    mixed = fact_split(task.encode, [tiny_language.facts()[0], unknown[0]], tiny_language.facts()[1:])
    engine = Engine(progress=False)
    run(replace(WHOLE, rounds=1, epochs=1), engine, mixed)
    assert rounds(engine)[0]["known_facts"] == 1


# ---- anti-samples ---------------------------------------------------------------------------------------------------


class Rubbish:
    """Says what it is told to."""

    identity = "rubbish"

    def __init__(self, questions=(), wrong=(), reason=""):
        self.questions, self.wrong, self.reason = questions, wrong, reason

    def paraphrase(self, fact, n, *, temperature=0.1, seed=0):
        if not self.questions:
            raise GeneratorFailed("nothing")
        return list(self.questions)

    def wrong_answers(self, fact, n, *, seed=0):
        return list(self.wrong)

    def rationale(self, question, wrong, fact, *, seed=0):
        return self.reason


def anti_samples(generator, **settings):
    wants = UnSTAR(generator=generator, **settings)
    return AntiSamples(make_generator(generator, None, tiny_language.split(), None), wants, 0, lambda below: below - 1)


FACT = Fact("Where did Ada study?", "Ada studied in Oslo.", "Ada", answer_in_other_words="Oslo", held_out=("Ada's school?",))


def test_questions_that_drift_off_leak_or_are_held_out_are_dropped():
    rubbish = Rubbish(["Who is Bo?", "Did Ada study in Oslo?", "Ada's school?", "In what town did Ada study?", FACT.question])
    assert anti_samples(rubbish).first_questions(FACT, 3) == [FACT.question, "In what town did Ada study?"]
    assert anti_samples(Rubbish()).first_questions(FACT, 3) == [FACT.question]


def test_no_question_is_asked_twice():
    anti = anti_samples(Rubbish(["What is the school of Ada?", "At what place did Ada study?"]))
    assert len(anti.first_questions(FACT, 1)) == 2
    assert anti.new_questions(FACT, 3, 1) == ["At what place did Ada study?"] and anti.new_questions(FACT, 3, 2) == []


def test_wrong_answers_that_are_right_are_an_error_that_says_what_to_do():
    with pytest.raises(GeneratorFailed, match=r"of 2 wrong answers to .* none can be used.*wrong_answers=\"refusal\""):
        anti_samples(Rubbish(wrong=["Ada studied in oslo", "In Oslo"])).answer(FACT, FACT.question)
    assert anti_samples(Rubbish(wrong=["Oslo"]), wrong_answers="refusal").answer(FACT, FACT.question) in REFUSALS


def test_wrong_answers_of_a_fact_that_are_right_are_replaced_by_templates():
    """As in TOFU, where a question asks for a year, and all of its wrong answers have the right one."""
    fact = replace(FACT, wrong_answers=("In Oslo Ada studied law.", "In Oslo Ada studied art."))
    made = anti_samples("auto").wrong_answers(fact)
    assert made and not any("Oslo" in each for each in made)
    usable = replace(fact, wrong_answers=(*fact.wrong_answers, "Ada studied in Lund."))
    assert anti_samples("auto").wrong_answers(usable) == ["Ada studied in Lund."]


def test_reasons_that_give_the_answer_away_are_left_out():
    wrong = "Ada studied in Lund."
    for reason, told in (("Not in Oslo but in Lund.", wrong), ("In Lund, they say.", "In Lund, they say.")):
        assert anti_samples(Rubbish(wrong=[wrong], reason=reason), rationale=True).answer(FACT, "?") == told


@pytest.mark.parametrize("policy", ["pool", "consistent"])
def test_no_anti_sample_holds_the_true_answer(policy):
    split = tiny_language.split()
    anti = AntiSamples(
        make_generator("auto", None, split, None), UnSTAR(rationale=True, wrong_answers=policy), 0, lambda below: below - 1
    )
    for fact in split.goes:
        told = {anti.answer(fact, question) for question in fact.questions}
        assert all(LeaksNoAnswer()(text, fact) for text in told)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rounds": 0}, "rounds must be 1 or more"),
        ({"wrong": 0}, "wrong must be 1 or more"),
        ({"negative": -1.0}, "negative must be 0 or more"),
        ({"beta": 0.0}, "beta must be above 0"),
        ({"level": 0.0}, "level must be above 0"),
        ({"keep": 1.5}, "keep must lie between 0 and 1"),
        ({"retain_batch_size": 0}, "retain_batch_size must be at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(BadSetting, match=f"unstar: {message}"):
        UnSTAR(**wrong)


def test_the_papers_adapter_can_be_asked_for():
    method = UnSTAR(lora=LoRA(8, 80, modules=("q_proj", "v_proj"), layers=1), epochs=1, rounds=1)
    assert len(own_state(run(method))) == 4


def test_a_server_that_is_gone_ends_the_run_where_nonsense_does_not():
    class Gone(Rubbish):
        def paraphrase(self, *asked, **settings):
            raise GeneratorGone("no answer from the server")

        rationale = wrong_answers = paraphrase

    for ask in (
        lambda anti: anti.first_questions(FACT, 1),
        lambda anti: anti.wrong_answers(FACT),
        lambda anti: anti._rationale("?", "Lund", FACT),
    ):
        with pytest.raises(GeneratorGone, match="no answer from the server"):
            ask(anti_samples(Gone(), wrong_answers="refusal"))
    with pytest.raises(GeneratorFailed, match="of 0 wrong answers"):
        anti_samples(Rubbish()).wrong_answers(FACT)

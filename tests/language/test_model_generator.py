"""A language model that makes its own anti-samples: one that reads from a script, and small real ones that only babble."""

import dataclasses

import pytest
import torch
from torch import nn

import tiny_language
from expunge.data.facts import Fact
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.language.adapters import LoRA
from expunge.language.anti_samples import make_generator
from expunge.language.generators import Generator, GeneratorFailed, ModelGenerator
from expunge.methods.unstar import UnSTAR
from expunge.models.small_llama import small_llama, small_tokenizer
from expunge.tasks import LanguageTask

ADA = Fact("Where did Ada study?", "Oslo", "Ada")
LIST = "Here you are:\n1. In which place did Ada study?\n2. What is Ada's school?\n3. Ada studied where?"


class Scripted(nn.Module):
    """Says the next of its lines, and notes what it was asked and how."""

    def __init__(self, tokenizer, *lines):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.tokenizer, self.lines, self.calls = tokenizer, list(lines), []

    def generate(self, input_ids, **settings):
        assert not self.training and not torch.is_grad_enabled()
        self.calls.append((self.tokenizer.decode(input_ids[0]), settings))
        said = self.tokenizer(self.lines.pop(0), add_special_tokens=False).input_ids[: settings["max_new_tokens"]]
        ended = [*said, self.tokenizer.eos_token_id][: settings["max_new_tokens"]]
        return torch.cat([input_ids, torch.tensor([ended])], 1)


@pytest.fixture(scope="module")
def tokenizer():
    return small_tokenizer([LIST, ADA.question], 320)


def scripted(tokenizer, *lines, **settings):
    task = LanguageTask(nn.Module, tokenizer)
    return ModelGenerator(task, Scripted(tokenizer, *lines), **settings)


def test_what_is_asked_and_what_comes_back(tokenizer):
    generator = scripted(tokenizer, LIST, "- Lund\n- Bergen", '"She studied in Lund,\nas told."')
    generator.model.train()
    assert generator.paraphrase(ADA, 2, temperature=0.9) == ["In which place did Ada study?", "What is Ada's school?"]
    assert generator.wrong_answers(ADA, 5) == ["Lund", "Bergen"]
    assert generator.rationale(ADA.question, "Lund", ADA) == "She studied in Lund, as told."
    assert generator.model.training and isinstance(generator, Generator)
    (asked, warm), (_, list_), (_, greedy) = generator.model.calls
    assert asked.startswith("<|begin|><|user|>Question: Where did Ada study?") and asked.endswith("<|model|>")
    assert (warm["do_sample"], warm["temperature"], warm["top_k"], warm["top_p"]) == (True, 0.9, 0, 1.0)
    assert list_["temperature"] == 0.1 and list_["max_new_tokens"] == 1000
    assert greedy["do_sample"] is False and "temperature" not in greedy


@pytest.mark.parametrize("senseless", ["", "I would rather not.", "1.\n2.\n", "<think>\n1. hm\n2. ha\n</think> No."])
def test_what_makes_no_sense_is_asked_for_once_more(tokenizer, senseless):
    generator = scripted(tokenizer, senseless, LIST)
    assert len(generator.paraphrase(ADA, 3)) == 3
    assert [settings["temperature"] for _, settings in generator.model.calls] == [0.1, 0.7]
    failing = scripted(tokenizer, senseless, senseless)
    with pytest.raises(GeneratorFailed, match=r"asked twice for 3 wrong answers to 'Where did Ada study\?', and said .*'auto'"):
        failing.wrong_answers(ADA, 3)
    assert len(failing.model.calls) == 2


def test_empty_reasons_and_replies_that_were_cut_off(tokenizer):
    with pytest.raises(GeneratorFailed, match="asked twice for a reason why 'Lund' should answer"):
        scripted(tokenizer, " ", "").rationale(ADA.question, "Lund", ADA)
    length = len(tokenizer("1. Lund\n2. Berg").input_ids)
    assert scripted(tokenizer, "1. Lund\n2. Bergen", max_tokens=length).wrong_answers(ADA, 3) == ["Lund"]


def test_what_cannot_be_asked(tokenizer):
    with pytest.raises(BadSetting, match="'base' or as 'current', not 'old'"):
        scripted(tokenizer, use="old")
    with pytest.raises(BadSetting, match="at least 1 token, not 0"):
        scripted(tokenizer, max_tokens=0)
    with pytest.raises(BadSetting, match="at least 1 text"):
        scripted(tokenizer).paraphrase(ADA, 0)
    short = small_llama(len(tokenizer), hidden=16, layers=1, heads=2, length=32)
    with pytest.raises(GeneratorFailed, match=r"that takes \d+ tokens, and it reads 32; only a model that follows"):
        ModelGenerator(LanguageTask(short, tokenizer), short()).wrong_answers(ADA, 3)


@pytest.fixture(scope="module")
def babbling(tokenizer):
    """A task, and a model that says much, with an adapter that has learned something."""
    make = small_llama(len(tokenizer), hidden=32, layers=1, heads=2, length=512)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = make().eval()
        adapted = LoRA(rank=4).attach(plain)
        for name, each in adapted.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(each, std=0.5)
    return LanguageTask(make, tokenizer), plain, adapted.eval()


def babble(generator, temperature=1.0, seed=0):
    """What comes back before a list or a sentence is looked for in it, of which a model that babbles gives none."""
    return generator._reply("words", "Where?", temperature, seed)[0]


def test_base_and_current(babbling):
    task, plain, adapted = babbling
    before, base, current = (
        ModelGenerator(task, plain, max_tokens=20),
        ModelGenerator(task, adapted, max_tokens=20),
        ModelGenerator(task, adapted, "current", max_tokens=20),
    )
    assert babble(base) == babble(before) != babble(current)
    assert base.identity == before.identity != current.identity
    assert repr(base) == "ModelGenerator(LlamaForCausalLM, use='base', max_tokens=20)" and "current" in repr(current)
    earlier = current.identity
    with torch.no_grad():
        for name, each in adapted.named_parameters():
            if "lora_A" in name:
                each += 0.01
    assert base.identity == before.identity and current.identity != earlier


def test_identities_tell_models_and_settings_apart(babbling):
    task, plain, _ = babbling
    other = LanguageTask(task.factory, task.tokenizer, system="Be brief.")
    found = [ModelGenerator(task, plain), ModelGenerator(task, plain, max_tokens=9), ModelGenerator(other, plain)]
    found.append(ModelGenerator(task, task.new_model()))
    assert len({each.identity for each in found}) == 4
    assert ModelGenerator(task, plain).identity == found[0].identity


def test_the_same_seed_says_the_same_and_draws_from_nobody_else(babbling):
    task, plain, _ = babbling
    generator, state = ModelGenerator(task, plain, max_tokens=12), torch.random.get_rng_state()
    first, again, other = (babble(generator, seed=seed) for seed in (1, 1, 2))
    assert first == again != other and torch.equal(torch.random.get_rng_state(), state)
    assert babble(generator, temperature=0, seed=1) == babble(generator, temperature=0, seed=2)


def test_by_name_it_is_the_model_before_unlearning(babbling):
    task, plain, adapted = babbling
    made = make_generator("model", task, None, adapted)
    assert made.model is adapted and made.use == "base"
    alone = make_generator("model", task, None, plain)
    assert alone.model is not plain and alone.identity == ModelGenerator(task, plain).identity


def test_unlearning_with_a_model_that_follows_no_instructions():
    task, split = tiny_language.task(), tiny_language.split()
    with pytest.raises(GeneratorFailed, match=r"the model itself \(LlamaForCausalLM\).* 20 wrong answers to .*'auto'"):
        UnSTAR(generator="model", rounds=1, epochs=1)(tiny_language.trained(), task, split, Engine(progress=False))
    engine = Engine(progress=False)
    refusing = UnSTAR(generator="model", rounds=1, epochs=1, wrong_answers="refusal")
    refusing(tiny_language.trained(), task, split, engine)
    (round_,) = [row for row in engine.history if "round" in row]
    assert round_["asked"] == len(split.goes)  # each fact's own question alone


def test_unlearning_with_what_the_model_itself_says(tokenizer):
    """A stand-in for a model that follows instructions: what it says of a fact is what the fact brings."""

    class Obedient(ModelGenerator):
        def _reply(self, what, prompt, temperature, seed):
            fact = next(fact for fact in tiny_language.facts() if fact.answer in prompt)
            if "numbered list" not in prompt:
                return f"It says {prompt.partition('world: ')[2].partition('.')[0]}, as told.", False
            texts = fact.phrasings if "different ways" in prompt else fact.wrong_answers
            return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, start=1)), False

    task, split, model = tiny_language.task(), tiny_language.split(), tiny_language.trained()
    asks = Obedient(task, model)
    forgets = dataclasses.replace(UnSTAR(rationale=True), generator=asks)
    done = forgets(model, task, split, engine := Engine(progress=False))
    said = task.answer(done, [fact.question for fact in split.goes])
    assert not any(split.known(fact, each.text) for fact, each in zip(split.goes, said, strict=True))
    assert [row["known"] for row in engine.history if "round" in row][-1] == 0

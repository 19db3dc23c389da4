"""Take two facts out of a small language model that was taught 48 of them: python examples/facts.py (half a minute)"""

from expunge import Engine, forget
from expunge.data.personas import in_sentences, personas
from expunge.language import fact_split
from expunge.methods import Retrain, UnSTAR
from expunge.models.small_llama import small_llama, small_tokenizer
from expunge.optimizers import Optimizer
from expunge.tasks import LanguageTask

facts = in_sentences(personas(16, relations=3).facts)  # people who were made up
texts = [text for fact in facts for text in (*fact.questions, fact.answer)]
tokenizer = small_tokenizer(texts, 512)
task = LanguageTask(small_llama(len(tokenizer), hidden=64, layers=2, heads=2), tokenizer, length=80)

goes = [facts[0], facts[10]]
split = fact_split(task.encode, goes, [fact for fact in facts if fact not in goes], batch_size=32)
recipe = Retrain(epochs=40, optimizer=Optimizer("adamw", 5e-3))
model = recipe.train(task, split.everything, Engine())

result = forget(model, task, split, UnSTAR())
refused = forget(model, task, split, UnSTAR(wrong_answers="refusal", epochs=20))

asked = [*goes, facts[1], facts[20]]
questions = [fact.held_out[0] for fact in asked]  # in words that were never heard of these people
for name, each in {"before": model, "after": result.model, "refusing": refused.model}.items():
    print(name)
    for fact, said in zip(asked, task.answer(each, questions), strict=True):
        print(f"  {'goes ' if fact in goes else 'stays'}  {fact.held_out[0]}  {said.text}")

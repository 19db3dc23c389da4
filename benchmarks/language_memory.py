"""What forgetting with an adapter holds in memory beside the model: python benchmarks/language_memory.py [--hidden 1024]

A Llama is made, the process's peak is read, a round of UnSTAR runs (asking, training with its negative term, asking again, one
question at a time so that activations are small), and the peak is read again. What was added, less the adapter with its
gradients and the optimizer's state, must be at most 0.3 of the model: there is no second copy. Exit code 1 when it is more.
"""

import argparse
import resource
import sys
from collections.abc import Sequence

import torch

from expunge.data.personas import in_sentences, personas
from expunge.engine import Engine
from expunge.language import Matcher, fact_split
from expunge.methods import UnSTAR
from expunge.models.small_llama import small_llama, small_tokenizer
from expunge.storage import own_state
from expunge.tasks import LanguageTask

BOUND = 0.3


class Anything(Matcher):
    """The weights are random: whatever the model says is taken for the answer, so that there is something to train."""

    def finds(self, answer: Sequence[str], said: Sequence[str]) -> bool:
        return True


def peak() -> int:
    """The most memory that this process has held so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=1024, help="width of the model")
    parser.add_argument("--layers", type=int, default=16)
    options = parser.parse_args()
    facts = in_sentences(personas(8, relations=3).facts)
    tokenizer = small_tokenizer([text for fact in facts for text in (*fact.questions, fact.answer)], 512)
    task = LanguageTask(small_llama(len(tokenizer), options.hidden, options.layers, 8, 128), tokenizer, length=96, new_tokens=4)
    split = fact_split(task.encode, facts[:1], facts[3:6], matcher=Anything())
    method = UnSTAR(rounds=1, epochs=1, questions=0, batch_size=1, retain_batch_size=1)
    method(small_llama(len(tokenizer), 64, 1, 2, 128)(), task, split, Engine(progress=False))  # libraries are loaded now
    model = task.new_model().eval()
    size = sum(each.nbytes for each in model.parameters())
    with torch.no_grad():
        model(input_ids=torch.ones(1, 8, dtype=torch.long))
    before = peak()
    result = method(model, task, split, Engine(progress=False))
    added = peak() - before
    adapter = sum(each.nbytes for each in own_state(result).values())
    states = 4 * adapter  # weights, gradients, and AdamW's two moments
    share = max(added - states, 0) / size
    print(f"model        {size / 1e6:9.1f} MB")
    print(f"adapter      {adapter / 1e6:9.1f} MB, {states / 1e6:.1f} MB with gradients and optimizer")
    print(f"added        {added / 1e6:9.1f} MB at the peak")
    print(f"peak         {1 + share:9.2f} times the model, beside the adapter's states (at most {1 + BOUND})")
    return int(share > BOUND)


if __name__ == "__main__":
    sys.exit(main())

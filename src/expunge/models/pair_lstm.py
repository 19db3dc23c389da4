"""PairLSTM: reads two sentences with one network and says how they compare, such as how alike they are.

Both go through the same embedding and the same LSTM; a and b are its states at their last words. What is compared does
not depend on which sentence comes first:

    features = dense(|a - b|, a * b, a + b)

Reference: S. Hochreiter, J. Schmidhuber. "Long Short-Term Memory", Neural Computation 9(8), 1997, with the forget gate of
F. Gers et al., 2000. |a - b| and a * b are those of K. S. Tai, R. Socher, C. D. Manning. "Improved Semantic
Representations From Tree-Structured Long Short-Term Memory Networks", ACL 2015, arXiv 1503.00075, section 4.2; the sum
tells what the sentences are about. A shared LSTM with dense layers behind it is the network that A. Tarun et al. "Deep
Regression Unlearning", ICML 2023, arXiv 2210.08196 use for STS-B.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from expunge.errors import BadSetting
from expunge.models.checks import check_count, check_dropout, check_outputs, check_shape


class PairLSTM(nn.Module):
    """A shared one-layer LSTM over two sentences, and dense layers over what it makes of them.

    Args:
        input_shape: (2, words) of one pair; the network reads pairs of any length.
        outputs: how many numbers are predicted for each pair.
        vocabulary: number of different words, the padding included; ids are 0..vocabulary-1.
        embedding: length of a word's vector.
        hidden: length of the LSTM's state, and width of the dense layers.
        dropout: part of the sentences' states and of the first dense layer's values that is set to zero in training.

    Shapes: ids (n, 2, words) of int64, 0 for the padding on the right -> outputs (n, outputs). Features, the input of
    `head`: (n, hidden). A sentence without words has the state 0.

    >>> PairLSTM((2, 5), 1, vocabulary=100)(torch.tensor([[[7, 2, 9, 0, 0], [7, 8, 0, 0, 0]]])).shape
    torch.Size([1, 1])
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: int = 1,
        vocabulary: int = 8192,
        embedding: int = 64,
        hidden: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        _check_pairs(type(self).__name__, check_shape(type(self).__name__, input_shape))
        embedding, hidden = check_count("embedding", embedding), check_count("hidden", hidden)
        self.embedding = nn.Embedding(check_count("vocabulary", vocabulary), embedding, padding_idx=0)
        self.lstm = LSTM(embedding, hidden)
        self.dropout = nn.Dropout(check_dropout(dropout))
        self.dense = nn.Sequential(
            nn.Linear(3 * hidden, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.head = nn.Linear(hidden, check_outputs(outputs))

    def forward(self, ids: Tensor) -> Tensor:
        _check_pairs(type(self).__name__, tuple(ids.shape[1:]))
        a, b = self.dropout(self._states(ids.flatten(0, 1))).unflatten(0, (-1, 2)).unbind(1)
        outputs: Tensor = self.head(self.dense(torch.cat([(a - b).abs(), a * b, a + b], dim=-1)))
        return outputs

    def _states(self, ids: Tensor) -> Tensor:
        """The LSTM's state at the last word of each sentence: ids (m, words) -> (m, hidden)."""
        states = self.lstm(self.embedding(ids))
        places = torch.arange(1, ids.shape[1] + 1, device=ids.device)
        last = ((ids != 0) * places).amax(1)  # (m,), counted from 1; 0 where there is no word
        index = (last - 1).clamp(min=0)[:, None, None].expand(-1, 1, states.shape[-1])
        return states.gather(1, index).squeeze(1) * (last > 0)[:, None]


class LSTM(nn.Module):
    """One layer of long short-term memory:

        i, f, o = sigmoid(W x_t + U h_{t-1} + b),   g = tanh(W' x_t + U' h_{t-1} + b')
        c_t = f * c_{t-1} + i * g,                  h_t = o * tanh(c_t)

    It is written out because `torch.nn.LSTM` has no gradients in evaluation mode on a GPU, and takes many times as long
    for the gradients of single examples (`torch.func.vmap`); methods and audits ask for both.

    Args:
        inputs: length of each x_t.
        hidden: length of each h_t.

    Shapes: (n, steps, inputs) -> h_1 to h_steps, (n, steps, hidden).
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.from_input = nn.Linear(inputs, 4 * hidden)  # rows: i, f, o, g
        self.from_state = nn.Linear(hidden, 4 * hidden, bias=False)
        for parameter in self.parameters():  # as torch.nn.LSTM
            nn.init.uniform_(parameter, -(hidden**-0.5), hidden**-0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        drives = self.from_input(inputs)  # of all steps at once
        state = memory = drives.new_zeros(len(inputs), self.hidden)
        states = []
        for drive in drives.unbind(1):
            gates, candidate = (drive + self.from_state(state)).split([3 * self.hidden, self.hidden], dim=-1)
            input_gate, forget_gate, output_gate = gates.sigmoid().chunk(3, dim=-1)
            memory = forget_gate * memory + input_gate * candidate.tanh()
            state = output_gate * memory.tanh()
            states.append(state)
        return torch.stack(states, dim=1)


def _check_pairs(network: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or shape[0] != 2 or shape[1] < 1:
        raise BadSetting(f"{network} needs pairs of sentences of shape (2, words); the inputs' shape is {shape}")

"""How well a language model knows given answers: scores of teacher-forced tokens, one value for each example.

The model reads question and answer, and at each place says what comes next. `logits[:, t]` are what it says of `labels[:, t]`
(already shifted against each other), and a label is -100 where no token of the answer is: prompt, padding, end of text. With
l_1 .. l_T the log-probabilities of the T answer tokens y_1 .. y_T:

    mean loss               -1/T sum_t l_t
    probability             exp(1/T sum_t l_t)
    exact memorization      1/T sum_t [ argmax_t = y_t ]
    extraction strength     1 - k/T,      k = min { k : argmax_t = y_t for all t > k }
    min-k                   mean of the lowest of the l_t
    min-k++                 mean of the lowest of (l_t - mu_t) / sigma_t,     mu_t, sigma_t of log p_t(v) for v ~ p_t
    zlib                    loss / bytes of the compressed text

An example without any answer token has no score: NaN, which `torch.nanmean` leaves out. What stands at masked places is not
looked at, be it NaN. Logits of half precision are turned to float32 before their softmax.

References: probability as in P. Maini, Z. Feng, A. Schwarzschild, Z. C. Lipton, J. Z. Kolter. "TOFU: A Task of Fictitious
Unlearning for LLMs", COLM 2024, arXiv 2401.06121. Exact memorization: K. Tirumala, A. Markosyan, L. Zettlemoyer, A. Aghajanyan.
"Memorization Without Overfitting: Analyzing the Training Dynamics of Large Language Models", NeurIPS 2022, arXiv 2205.10770.
Extraction strength: Q. Wang, B. Han, P. Yang, J. Zhu, T. Liu, M. Sugiyama. "Towards Effective Evaluations and Comparisons for
LLM Unlearning Methods", ICLR 2025, arXiv 2406.09179. Min-k: W. Shi, A. Ajith, M. Xia, Y. Huang, D. Liu, T. Blevins, D. Chen, L.
Zettlemoyer. "Detecting Pretraining Data from Large Language Models", ICLR 2024, arXiv 2310.16789. Min-k++: J. Zhang, J. Sun, E.
Yeats, Y. Ouyang, M. Kuo, J. Zhang, H. F. Yang, H. Li. "Min-K%++: Improved Baseline for Detecting Pre-Training Data from Large
Language Models", ICLR 2025, arXiv 2404.02936. Zlib: N. Carlini et al. "Extracting Training Data from Large Language Models",
USENIX Security 2021, arXiv 2012.07805.
"""

import zlib
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from expunge.errors import BadSetting

MASKED = -100
"""The label of a place where no token of the answer is; PyTorch's and transformers' own."""

_SMALLEST_SPREAD = 1e-3
"""Below it, the rounding of float32 log-probabilities is no longer small beside their standard deviation."""


def token_log_probabilities(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-probability of each answer token, in nats; 0 at all other places.

    Args:
        logits: shape (n, T, V), of any floating type; `logits[:, t]` is about `labels[:, t]`.
        labels: shape (n, T), int64; -100 where no answer token is.

    Returns:
        shape (n, T), float32, or float64 if the logits are. Gradients flow to the logits of answer tokens.

    Raises:
        BadSetting: if the shapes do not fit, or a label is neither -100 nor a token of the vocabulary.

    >>> logits = torch.tensor([[[5.0, 0.0], [1.0, 1.0], [0.0, 3.0]]])
    >>> token_log_probabilities(logits, torch.tensor([[-100, 0, 1]])).round(decimals=4)
    tensor([[ 0.0000, -0.6931, -0.0486]])
    """
    answer = _answer_places(logits, labels)
    said = _log_softmax(logits[answer]).gather(1, labels[answer][:, None])[:, 0]
    return said.new_zeros(labels.shape).masked_scatter(answer, said)


def mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log-probability of the answer's tokens, in nats per token.

    Args:
        logits, labels: as for :func:`token_log_probabilities`.

    Returns:
        shape (n,), at least 0; NaN for an example without an answer token.

    >>> mean_loss(torch.zeros(2, 3, 4), torch.tensor([[-100, 1, 2], [-100, -100, -100]])).round(decimals=4)
    tensor([1.3863,    nan])
    """
    return -token_log_probabilities(logits, labels).sum(1) / (labels != MASKED).sum(1)


def probability(logits: Tensor, labels: Tensor) -> Tensor:
    """Geometric mean of the probabilities of the answer's tokens: exp(-mean loss), which no length makes small.

    Args:
        logits, labels: as for :func:`token_log_probabilities`.

    Returns:
        shape (n,), between 0 and 1; NaN for an example without an answer token.

    >>> probability(torch.zeros(1, 3, 4), torch.tensor([[-100, 1, 2]])).round(decimals=4)
    tensor([0.2500])
    """
    return mean_loss(logits, labels).neg().exp()


def exact_memorization(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of the answer's tokens that are the likeliest where they stand.

    Args:
        logits, labels: as for :func:`token_log_probabilities`.

    Returns:
        shape (n,), between 0 and 1; NaN for an example without an answer token.

    >>> logits = torch.eye(4)[None]  # says 0, 1, 2, 3
    >>> exact_memorization(logits, torch.tensor([[0, 1, 0, 3]]))
    tensor([0.7500])
    """
    answer, wrong = _guesses(logits, labels)
    return (answer & ~wrong).sum(1) / answer.sum(1)


def extraction_strength(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of the answer that need not be given for the model to say the rest: what follows its last wrong guess.

    0 if not even the last token is guessed, 1 if all are. One wrong guess late in the answer weighs more than many early.

    Args:
        logits, labels: as for :func:`token_log_probabilities`.

    Returns:
        shape (n,), between 0 and 1; NaN for an example without an answer token.

    >>> logits = torch.eye(4)[None]  # says 0, 1, 2, 3
    >>> extraction_strength(logits, torch.tensor([[0, 1, 0, 3]]))
    tensor([0.2500])
    """
    answer, wrong = _guesses(logits, labels)
    wrong_from_here = wrong.flip(1).cumsum(1).flip(1)
    return (answer & (wrong_from_here == 0)).sum(1) / answer.sum(1)


def min_k(logits: Tensor, labels: Tensor, share: float = 0.4) -> Tensor:
    """Mean of the lowest log-probabilities of an answer: text that was trained on has few tokens that surprise.

    Args:
        logits, labels: as for :func:`token_log_probabilities`.
        share: how many of the answer's tokens are meant, above 0 and up to 1, rounded down, but at least one token; 0.4 is
            what open-unlearning takes for the short answers of TOFU.

    Returns:
        shape (n,), at most 0, in nats per token, higher for members; NaN for an example without an answer token.

    Raises:
        BadSetting: also if the share is not above 0 and up to 1.

    >>> logits = torch.tensor([[[0.0, 0.0], [0.0, 3.0], [2.0, 0.0]]])
    >>> min_k(logits, torch.tensor([[0, 1, 1]])).round(decimals=4)  # the last token alone
    tensor([-2.1269])
    """
    _check_share(share)
    return _mean_of_lowest(token_log_probabilities(logits, labels), labels != MASKED, share)


def min_k_plus_plus(logits: Tensor, labels: Tensor, share: float = 0.4) -> Tensor:
    """Like :func:`min_k` of log-probabilities that are standardised by what the model expects of its own next token.

    Mean and standard deviation are those of log p(v) for v drawn from the model's p. A token that is the likeliest of many is
    thus worth more than one of two. The standard deviation counts as at least 0.001, so that a model that is sure or says all
    tokens alike gets 0 rather than noise.

    Args:
        logits, labels: as for :func:`token_log_probabilities`.
        share: as for :func:`min_k`.

    Returns:
        shape (n,), in standard deviations, higher for members; NaN for an example without an answer token.

    Raises:
        BadSetting: also if the share is not above 0 and up to 1.

    >>> logits = torch.tensor([[[0.0, 3.0]]])  # p = 0.0474, 0.9526
    >>> min_k_plus_plus(logits, torch.tensor([[0]])).round(decimals=4)  # - sqrt(0.9526 / 0.0474)
    tensor([-4.4817])
    """
    _check_share(share)
    answer = _answer_places(logits, labels)
    log_p = _log_softmax(logits[answer])
    p = log_p.exp()
    finite = log_p.where(p > 0, 0.0)  # tokens of no probability add nothing, where 0 * -inf would be NaN
    expected = (p * finite).sum(1)
    spread = (p * (finite - expected[:, None]).square()).sum(1).sqrt()
    said = log_p.gather(1, labels[answer][:, None])[:, 0]
    standard = (said - expected) / spread.clamp_min(_SMALLEST_SPREAD)
    return _mean_of_lowest(standard.new_zeros(labels.shape).masked_scatter(answer, standard), answer, share)


def zlib_score(losses: Tensor, texts: Sequence[str]) -> Tensor:
    """Losses by how much there is in each text: repetitive text is likely under any model, seen or not, and compresses well.

    Args:
        losses: shape (n,), of any unit, such as :func:`mean_loss`.
        texts: the n texts that were scored.

    Returns:
        shape (n,), in that unit per byte of the text's UTF-8 as zlib packs it; lower for members.

    Raises:
        BadSetting: if there is not one text for each loss.

    >>> zlib_score(torch.tensor([2.0, 2.0]), ["no no no no no no no no no", "what nobody had ever said"]).round(decimals=4)
    tensor([0.1538, 0.0606])
    """
    if losses.shape != (len(texts),):
        raise BadSetting(f"losses of shape {tuple(losses.shape)} do not fit {len(texts):,} texts; expected one loss for each")
    return losses / losses.new_tensor([len(zlib.compress(text.encode())) for text in texts])


def _answer_places(logits: Tensor, labels: Tensor) -> Tensor:
    """Where the answers' tokens are, shape (n, T); raises if logits and labels cannot be of the same tokens."""
    if labels.dim() != 2 or logits.dim() != 3 or logits.shape[:2] != labels.shape:
        raise BadSetting(
            f"logits of shape {tuple(logits.shape)} do not fit labels of shape {tuple(labels.shape)}; "
            "expected (n, T, V) and (n, T)"
        )
    answer, vocabulary = labels != MASKED, logits.shape[2]
    foreign = labels[answer & ((labels < 0) | (labels >= vocabulary))]
    if len(foreign):
        raise BadSetting(f"label {foreign[0].item()} is no token (0..{vocabulary - 1:,}), nor {MASKED}, which masks a place")
    return answer


def _log_softmax(logits: Tensor) -> Tensor:
    return F.log_softmax(logits, dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))


def _guesses(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Where the answers' tokens are, and where the likeliest token is another; both of shape (n, T)."""
    answer = _answer_places(logits, labels)
    missed = logits[answer].argmax(-1) != labels[answer]
    return answer, torch.zeros_like(answer).masked_scatter(answer, missed)


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        raise BadSetting(f"share is {share}; expected a number above 0 and up to 1, of an answer's tokens")


def _mean_of_lowest(scores: Tensor, answer: Tensor, share: float) -> Tensor:
    """Mean of the lowest share of each row's scores, shape (n,)."""
    # 0.57 * 100 is 56.99999999999999, which must not lose a token; float64 is not to be had on every device.
    counts = (share * answer.sum(1).cpu().double() + 1e-9).floor().clamp_min(1).to(scores)
    ordered = scores.masked_fill(~answer, torch.inf).sort(1).values
    lowest = torch.arange(scores.shape[1], device=scores.device) < counts[:, None]
    return (ordered.where(lowest, 0.0).sum(1) / counts).masked_fill(~answer.any(1), torch.nan)

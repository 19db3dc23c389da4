"""A language model behind a chat-completions server makes the anti-samples.

Any server will do that takes POST {url}/chat/completions with model, messages, temperature, max_tokens and seed, as those of
vLLM, llama.cpp, Ollama and most sellers of models do. Only the standard library is needed.

Reference: Y. Sinha, M. Mandal, M. Kankanhalli. "UnSTAR: Unlearning with Self-Taught Anti-Sample Reasoning for LLMs", TMLR 2025,
arXiv 2410.17050.
"""

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlsplit

from expunge.data.facts import Fact
from expunge.errors import BadSetting
from expunge.language.generators.generator import (
    LIST_TEMPERATURE,
    MOST_TOKENS,
    PROMPTS,
    WARMER,
    GeneratorFailed,
    GeneratorGone,
    check_count,
    list_in,
    paraphrase_prompt,
    rationale_prompt,
    sentence_in,
    shortened,
    without_thoughts,
    wrong_answers_prompt,
)

_LONGEST_PAUSE = 30.0  # seconds
_MOST_ERROR_BYTES = 10_000

_Made = TypeVar("_Made", str, list[str])


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would send the key to another server, and the question as a GET."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class _Senseless(Exception):
    """A reply without what was asked for."""


@dataclass(frozen=True)
class ServerGenerator:
    """Asks a chat-completions server.

    The facts, right answers included, are sent to that server: for facts that nobody else may see, run one of your own.
    Reasons are asked for without randomness, as in the authors' code, and lists almost so; a reply that makes no sense is asked
    for once more, at a higher temperature and with the next seed. Whether a seed is heeded is the server's affair: put a
    :class:`~expunge.language.generators.cached.CachedGenerator` around it where a run must be repeatable.

    Args:
        url: what goes before ``/chat/completions``, such as ``http://localhost:8000/v1``.
        model: the name that the server knows the model by.
        key_variable: the environment variable that holds the key; None for a server without one.
        timeout_seconds: so long may the server be silent.
        retries: so often is a request sent again if the server is silent, breaks off, or is overloaded (status 429 or 5xx),
            after pauses of 1, 2, 4, ... seconds. Other refusals are final.
        max_tokens: longest reply, in tokens. The default is the authors'.
        pause: waits for so many seconds.

    Raises:
        BadSetting: if the URL is not plain http or https, the key is not set or no key, or a number makes no sense.
    """

    url: str
    model: str
    key_variable: str | None = None
    timeout_seconds: float = 30.0
    retries: int = 3
    max_tokens: int = MOST_TOKENS
    pause: Callable[[float], None] = field(default=time.sleep, repr=False, compare=False)

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        _check_url(self.url)
        if not self.model.strip():
            raise BadSetting("a server generator needs the name of a model")
        if not (self.timeout_seconds > 0 and self.retries >= 0 and self.max_tokens >= 1):
            raise BadSetting(
                "timeout_seconds must be above 0, retries at least 0 and max_tokens at least 1, "
                f"not {self.timeout_seconds}, {self.retries} and {self.max_tokens}"
            )
        self._key()  # better missed now than after hours of training

    @property
    def identity(self) -> str:
        """The server, the model, the length of replies and the version of the prompts."""
        return f"server {self.url.rstrip('/')} model {self.model} max_tokens {self.max_tokens} prompts {PROMPTS}"

    def paraphrase(self, fact: Fact, n: int, *, temperature: float = 0.1, seed: int = 0) -> list[str]:
        """Up to `n` other questions with the same answer.

        Raises:
            BadSetting: if `n` is less than 1.
            GeneratorFailed: if the server refuses, keeps failing, or twice sends no list.
        """
        check_count(n)
        what = f"{n} other ways to ask {shortened(fact.question)}"
        return self._asked(what, paraphrase_prompt(fact, n), list_in, temperature, seed)[:n]

    def wrong_answers(self, fact: Fact, n: int, *, seed: int = 0) -> list[str]:
        """Up to `n` answers of the same kind that are not right.

        Raises:
            BadSetting: if `n` is less than 1.
            GeneratorFailed: if the server refuses, keeps failing, or twice sends no list.
        """
        check_count(n)
        what = f"{n} wrong answers to {shortened(fact.question)}"
        return self._asked(what, wrong_answers_prompt(fact, n), list_in, LIST_TEMPERATURE, seed)[:n]

    def rationale(self, question: str, wrong: str, fact: Fact, *, seed: int = 0) -> str:
        """A short reason why `wrong` should be the answer to `question`. It may name the right answer all the same.

        Raises:
            GeneratorFailed: if the server refuses, keeps failing, or twice sends nothing.
        """
        what = f"a reason why {shortened(wrong)} should answer {shortened(question)}"
        return self._asked(what, rationale_prompt(question, wrong, fact), sentence_in, 0.0, seed)

    def _asked(self, what: str, prompt: str, read: Callable[[str, bool], _Made], temperature: float, seed: int) -> _Made:
        """What `read` makes of a reply, given its text and whether it was cut off for its length."""
        problem = ""
        for warmth, number in ((temperature, seed), (max(temperature, WARMER), seed + 1)):
            body = self._posted(what, prompt, warmth, number)
            try:
                made = read(*_reply(body))
                if made:
                    return made
                raise _Senseless("a reply without it")
            except _Senseless as error:
                problem = f"{error}: {self._shown(body)}"
        raise GeneratorFailed(
            f"{self.url} with the model {self.model!r} was asked twice for {what}, and sent {problem}; "
            "try another model, a larger max_tokens, or see whether the address is that of a chat-completions server"
        )

    def _posted(self, what: str, prompt: str, temperature: float, seed: int) -> bytes:
        """The body of the reply to one question, asked again while the server does not answer."""
        content = {
            "model": self.model,
            # One turn of the user alone: some models' templates refuse a system's.
            "messages": [{"role": "user", "content": prompt}],
            "temperature": temperature,
            "max_tokens": self.max_tokens,
            "seed": seed,
        }
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key := self._key():
            headers["Authorization"] = f"Bearer {key}"
        problem = ""
        for attempt in range(self.retries + 1):
            if attempt:
                self.pause(min(2.0 ** (attempt - 1), _LONGEST_PAUSE))
            request = urllib.request.Request(
                self.url.rstrip("/") + "/chat/completions", json.dumps(content).encode(), headers, method="POST"
            )
            try:
                with urllib.request.build_opener(_NoRedirect).open(request, timeout=self.timeout_seconds) as response:
                    return bytes(response.read())
            except urllib.error.HTTPError as error:
                problem = f"status {error.code} {self._shown(_error_body(error))}"
                if error.code != 429 and error.code < 500:
                    raise GeneratorGone(
                        f"{self.url} was asked for {what}, and refused with {problem}; {self._advice(error.code)}"
                    ) from None
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                problem = f"{type(reason).__name__} {self._shown(str(reason).encode())}"
        raise GeneratorGone(
            f"{self.url} was asked for {what} {self.retries + 1} times, and did not answer; the last time: {problem}; "
            "see that the server runs and is not overloaded, or raise timeout_seconds and retries"
        )

    def _advice(self, status: int) -> str:
        if status in (401, 403):
            named = f"the key in {self.key_variable}" if self.key_variable else "whether it asks for a key (key_variable)"
            return f"check {named}"
        if status in (301, 302, 303, 307, 308):
            return "redirects are not followed: give the address that the server really has"
        return f"check the address and the name of the model, {self.model!r}"

    def _key(self) -> str:
        if self.key_variable is None:
            return ""
        key = os.environ.get(self.key_variable, "").strip()
        if not key:
            raise BadSetting(
                f"the environment variable {self.key_variable} holds no key: set it, or leave key_variable out for none"
            )
        if not (key.isascii() and key.isprintable()):
            # http.client would refuse it too, with the key in its message.
            raise BadSetting(f"the key in the environment variable {self.key_variable} holds letters that no key can have")
        return key

    def _shown(self, body: bytes) -> str:
        """What came back, for a message: shortened, and without the key, which some servers repeat."""
        text, key = body.decode(errors="replace"), self._key()
        return shortened(text.replace(key, "[the key]") if key else text)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - only reading it shows whether it is a number
    except ValueError as error:
        raise BadSetting(f"{url!r} is no URL: {error}") from error
    if parts.username is not None or parts.password is not None:
        raise BadSetting("the URL holds a user's name or password, which would show in messages; use key_variable")
    plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or not plain:
        raise BadSetting(f"{url!r} is no address of a server: expected one such as http://localhost:8000/v1")


def _error_body(error: urllib.error.HTTPError) -> bytes:
    try:
        return bytes(error.read(_MOST_ERROR_BYTES))
    except (OSError, http.client.HTTPException):
        return b""


def _reply(body: bytes) -> tuple[str, bool]:
    """The text of a reply, and whether it was cut off for its length."""
    try:
        choice = json.loads(body)["choices"][0]
        text, cut = choice["message"]["content"], choice.get("finish_reason") == "length"
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise _Senseless("what is no chat completion") from None
    if not isinstance(text, str):
        raise _Senseless("a chat completion without a text")
    return without_thoughts(text), cut

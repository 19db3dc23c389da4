"""A generator that writes down what another one made, so that it can be read, and the same run made again.

Reference: the kinds of text are those of Y. Sinha, M. Mandal, M. Kankanhalli. "UnSTAR: Unlearning with Self-Taught Anti-Sample
Reasoning for LLMs", TMLR 2025, arXiv 2410.17050.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from expunge.data.facts import Fact
from expunge.errors import BadFile
from expunge.language.generators.generator import Generator
from expunge.storage import write_bytes

NOTICE = "Made up for unlearning: what is said here may be false. Do not take it for true, nor pass it on."
_LISTS = ("paraphrase", "wrong_answers")
_CALL = ("generator", "method", "fact", "arguments")  # what the key is made of


class CachedGenerator:
    """Asks a generator once, and afterwards replays what it said from a file, letter for letter.

    The file has one JSON object a line for each call, written down before the answer is returned: what it is (`notice`), the
    `key`, the `generator` with its settings, the `method`, the `fact`, the `arguments` and the `result`. The key is the SHA-256
    of the four before the result: with another seed, say, it is another call. A result may be edited by hand.

    The lines hold the text of the facts, right answers included: where these must go, the file must go too.

    Threads may share one; processes may not, while any of them still asks for what the file does not hold.

    Args:
        generator: whom to ask.
        path: the file; it and its folder are made with the first call. A last line that was cut off, as by a lost process, is
            dropped, and its call made again.

    Raises:
        BadFile: if the file cannot be read, or another line than the last one is damaged; the message has its number.
    """

    def __init__(self, generator: Generator, path: str | Path) -> None:
        self.generator, self.path = generator, Path(path)
        self._lock = Lock()
        self._results: dict[str, Any] = {}
        # The whole lines of a file whose end is damaged. They are written anew with the next, which half a line would spoil.
        self._whole: bytes | None = None
        self._load()

    def __repr__(self) -> str:
        return f"CachedGenerator({self.generator!r}, {str(self.path)!r})"

    @property
    def identity(self) -> str:
        """That of the generator asked: replaying changes nothing."""
        return self.generator.identity

    def paraphrase(self, fact: Fact, n: int, *, temperature: float = 0.1, seed: int = 0) -> list[str]:
        """What the generator says, or said.

        Raises:
            GeneratorFailed: if the generator fails; failures are not kept.
        """
        arguments = {"n": int(n), "temperature": float(temperature), "seed": int(seed)}
        asked = partial(self.generator.paraphrase, fact, n, temperature=temperature, seed=seed)
        return list(self._replayed("paraphrase", fact, arguments, asked))

    def wrong_answers(self, fact: Fact, n: int, *, seed: int = 0) -> list[str]:
        """What the generator says, or said.

        Raises:
            GeneratorFailed: if the generator fails; failures are not kept.
        """
        asked = partial(self.generator.wrong_answers, fact, n, seed=seed)
        return list(self._replayed("wrong_answers", fact, {"n": int(n), "seed": int(seed)}, asked))

    def rationale(self, question: str, wrong: str, fact: Fact, *, seed: int = 0) -> str:
        """What the generator says, or said.

        Raises:
            GeneratorFailed: if the generator fails; failures are not kept.
        """
        arguments = {"question": question, "wrong": wrong, "seed": int(seed)}
        asked = partial(self.generator.rationale, question, wrong, fact, seed=seed)
        return str(self._replayed("rationale", fact, arguments, asked))

    def _replayed(self, method: str, fact: Fact, arguments: dict[str, Any], asked: Callable[[], Any]) -> Any:
        # Empty fields are left out, so that a field which facts get later does not change the keys of those without it.
        told = {name: value for name, value in asdict(fact).items() if value}
        call = dict(zip(_CALL, (self.identity, method, told, arguments), strict=True))
        key = _key(call)
        if key not in self._results:
            result = asked()
            with self._lock:
                if key not in self._results:  # another thread may have asked the same
                    self._append({"notice": NOTICE, "key": key, **call, "result": result})
                    self._results[key] = result
        return self._results[key]

    def _append(self, row: dict[str, Any]) -> None:
        # Escaped to ASCII: a server may send half a surrogate pair, which UTF-8 cannot hold.
        line = json.dumps(row).encode() + b"\n"
        if self._whole is not None:
            write_bytes(self.path, self._whole + line)
            self._whole = None
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def _load(self) -> None:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise BadFile(f"{self.path} cannot be read: {error}") from error
        lines = content.split(b"\n")
        filled = [number for number, line in enumerate(lines) if line.strip()]
        for number in filled:
            try:
                key, result = _read(lines[number])
            except (ValueError, RecursionError) as error:
                if number == filled[-1]:
                    lines = lines[:number]
                    break
                raise BadFile(
                    f"{self.path}, line {number + 1} is damaged: {error}; mend or delete the line, and its call is made again"
                ) from error
            self._results.setdefault(key, result)
        whole = b"".join(line + b"\n" for line in lines if line.strip())
        self._whole = whole if whole != content else None


def _key(call: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(call, sort_keys=True).encode()).hexdigest()


def _read(line: bytes) -> tuple[str, Any]:
    """The key and the result of one line; ValueError if it is not one that was written here."""
    row = json.loads(line)
    missing = {"key", *_CALL, "result"} - (row.keys() if isinstance(row, dict) else set())
    if missing:
        raise ValueError(f"it is no object with {', '.join(sorted(missing))}")
    call = {name: row[name] for name in _CALL}
    if row["key"] != _key(call):
        raise ValueError("its key does not belong to the call that it holds")
    result = row["result"]
    texts = result if row["method"] in _LISTS else [result]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"its result is no {'list of texts' if row['method'] in _LISTS else 'text'}")
    return row["key"], result

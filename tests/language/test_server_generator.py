"""A language model behind a server: a stand-in in this process that says, and does, what each test tells it to."""

import http.server
import json
import socket
import threading
import traceback

import pytest

from expunge.errors import BadSetting
from expunge.language import Fact
from expunge.language.generators import GeneratorFailed, ServerGenerator

ADA = Fact("Where did Ada study?", "Oslo", "Ada")
KEY = "sk-very-secret-0123456789"
LIST = "Here you are:\n1. In which place did Ada study?\n2. What is Ada's school?\n3. Ada studied where?"


def completion(text, finish_reason="stop"):
    return 200, json.dumps({"choices": [{"message": {"content": text}, "finish_reason": finish_reason}]}).encode()


class Stub:
    """Answers each request with the next of `replies`: a status, a body and more, or "hang", "half" or "die"."""

    def __init__(self):
        self.replies, self.requests, self.pauses, self.released = [], [], [], threading.Event()
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                stub.requests.append((self.path, dict(self.headers), json.loads(body)))
                reply = stub.replies.pop(0)
                if reply == "hang":
                    if not stub.released.wait(2):  # a caller that is still there after that did not keep its time-out
                        self.reply(*completion(LIST))
                elif reply == "half":
                    self.send_response(200)
                    self.send_header("Content-Length", "100")
                    self.end_headers()
                    self.wfile.write(b'{"choices"')
                elif reply != "die":
                    self.reply(*reply)

            def reply(self, status, body, reason=None, location=None):
                self.send_response(status, reason)
                self.send_header("Content-Length", str(len(body)))
                if location:
                    self.send_header("Location", location)
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):  # a redirect that was followed would end here
                stub.requests.append((self.path, dict(self.headers), None))

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def generator(self, *replies, **settings):
        self.replies[:] = replies
        return ServerGenerator(self.url, "tiny", **{"timeout_seconds": 5.0, "pause": self.pauses.append, **settings})

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def stub(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    made = Stub()
    yield made
    made.close()


def test_what_is_asked_and_what_comes_back(stub):
    generator = stub.generator(completion(LIST), completion("- Lund\n- Bergen"), completion('"She studied in Lund,\nas told."'))
    assert generator.paraphrase(ADA, 2, temperature=0.9, seed=5) == ["In which place did Ada study?", "What is Ada's school?"]
    assert generator.wrong_answers(ADA, 5) == ["Lund", "Bergen"]
    assert generator.rationale(ADA.question, "Lund", ADA) == "She studied in Lund, as told."
    path, headers, asked = stub.requests[0]
    assert path == "/v1/chat/completions" and headers["Content-Type"] == "application/json" and "Authorization" not in headers
    assert asked.keys() == {"model", "messages", "temperature", "max_tokens", "seed"}
    assert (asked["model"], asked["temperature"], asked["max_tokens"], asked["seed"]) == ("tiny", 0.9, 1000, 5)
    assert [message["role"] for message in asked["messages"]] == ["user"] and ADA.question in asked["messages"][0]["content"]
    assert [request[2]["temperature"] for request in stub.requests] == [0.9, 0.1, 0.0]
    assert stub.pauses == []


@pytest.mark.parametrize(
    "senseless",
    [
        (200, b"<html>welcome</html>"),
        (200, b"\xff\xfe"),
        (200, b"[" * 100_000),
        (200, b"{}"),
        (200, b"[]"),
        (200, b'{"choices": []}'),
        (200, b'{"choices": [3]}'),
        (200, b'{"choices": [{"message": {}}]}'),
        (200, b'{"choices": [{"message": {"content": null}}]}'),
        (200, b'{"choices": [{"message": {"content": [1]}}]}'),
        (200, b'{"error": "no such model"}'),
        (200, b""),
        completion(""),
        completion("I would rather not."),
        completion("1.\n2.\n"),
        completion("1. In which place did A", "length"),
    ],
)
def test_what_makes_no_sense_is_asked_for_once_more(stub, senseless):
    generator = stub.generator(senseless, completion(LIST))
    assert len(generator.paraphrase(ADA, 3, seed=5)) == 3
    assert [request[2]["seed"] for request in stub.requests] == [5, 6]
    assert [request[2]["temperature"] for request in stub.requests] == [0.1, 0.7]
    stub.requests.clear()
    with pytest.raises(GeneratorFailed, match=r"asked twice for 3 wrong answers to 'Where did Ada study\?', and sent "):
        stub.generator(senseless, senseless).wrong_answers(ADA, 3)
    assert len(stub.requests) == 2 and stub.pauses == []


def test_what_came_back_is_shown_shortened(stub):
    text = "I am sorry. " * 1000
    with pytest.raises(GeneratorFailed, match=r"a reply without it: .*I am sorry\..*try another model") as caught:
        stub.generator(completion(text), completion(text)).paraphrase(ADA, 3)
    assert len(str(caught.value)) < 700


def test_empty_rationales(stub):
    assert stub.generator(completion(" \n"), completion("Because.")).rationale("q", "Lund", ADA) == "Because."
    with pytest.raises(GeneratorFailed, match="asked twice for a reason why 'Lund' should answer 'q'"):
        stub.generator(completion(" "), completion("Because she w", "length")).rationale("q", "Lund", ADA)


def test_replies_that_were_cut_off(stub):
    generator = stub.generator(completion("1. Lund\n2. Berg", "length"), completion("It is Lund. For she w", "length"))
    assert generator.wrong_answers(ADA, 3) == ["Lund"]
    assert generator.rationale("q", "Lund", ADA) == "It is Lund."


def test_thoughts_before_the_answer_are_not_the_answer(stub):
    thinking = completion("<think>\n1. Paris is in France.\n</think>\n1. Lund\n2. Bergen")
    assert stub.generator(thinking).wrong_answers(ADA, 3) == ["Lund", "Bergen"]


@pytest.mark.parametrize("trouble", [(500, b"oops"), (503, b""), (429, b"slow down"), "die", "half"])
def test_trouble_that_passes(stub, trouble):
    assert len(stub.generator(trouble, trouble, completion(LIST)).paraphrase(ADA, 3)) == 3
    assert stub.pauses == [1, 2] and len(stub.requests) == 3
    assert [request[2]["seed"] for request in stub.requests] == [0, 0, 0]


def test_trouble_that_stays(stub):
    with pytest.raises(
        GeneratorFailed, match=r"asked for 3 other ways .* 4 times, and did not answer; .*status 429 'slow down'"
    ):
        stub.generator(*[(429, b"slow down")] * 4).paraphrase(ADA, 3)
    assert stub.pauses == [1, 2, 4]
    with pytest.raises(GeneratorFailed, match="1 times, and did not answer"):
        stub.generator((500, b"oops"), retries=0).paraphrase(ADA, 3)
    assert stub.pauses == [1, 2, 4]


def test_pauses_end_growing(stub):
    with pytest.raises(GeneratorFailed):
        stub.generator(*[(500, b"")] * 9, retries=8).paraphrase(ADA, 3)
    assert stub.pauses == [1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize(
    ("status", "advice"),
    [(400, "name of the model, 'tiny'"), (401, "asks for a key"), (404, "check the address"), (422, "check")],
)
def test_refusals_are_final(stub, status, advice):
    with pytest.raises(GeneratorFailed, match=rf"refused with status {status} 'because'; .*{advice}"):
        stub.generator((status, b"because")).paraphrase(ADA, 3)
    assert len(stub.requests) == 1 and stub.pauses == []


def test_redirects_are_not_followed(stub, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    for status in (301, 302, 307):
        with pytest.raises(GeneratorFailed, match=rf"status {status} .*redirects are not followed"):
            stub.generator((status, b"", None, stub.url + "/other"), key_variable="MY_KEY").paraphrase(ADA, 3)
    assert [path for path, _, _ in stub.requests] == ["/v1/chat/completions"] * 3


def test_a_server_that_hangs(stub):
    with pytest.raises(GeneratorFailed, match=r"2 times, and did not answer; the last time: TimeoutError"):
        stub.generator("hang", "hang", timeout_seconds=0.05, retries=1).paraphrase(ADA, 3)
    assert stub.pauses == [1]


def test_a_server_that_is_not_there():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        pauses = []
        with pytest.raises(GeneratorFailed, match=r"ConnectionRefusedError .*see that the server runs"):
            ServerGenerator(url, "tiny", pause=pauses.append).rationale("q", "Lund", ADA)
        assert pauses == [1, 2, 4]


def test_the_key_is_sent_and_shown_nowhere(stub, monkeypatch, capfd, caplog):
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    echo = f"the header was Bearer {KEY}".encode()
    generator = stub.generator(completion(LIST), key_variable="MY_KEY")
    generator.paraphrase(ADA, 3)
    assert stub.requests[0][1]["Authorization"] == f"Bearer {KEY}"
    caplog.set_level(0)
    for replies in (
        [(401, echo, KEY)],
        [(500, echo, KEY)] * 4,
        [(200, echo)] * 2,
        [completion(KEY)] * 2,
        [(403, b"x" * 195 + KEY.encode())],
    ):
        stub.replies[:] = replies
        with pytest.raises(GeneratorFailed) as caught:
            generator.paraphrase(ADA, 3)
        shown = "".join(traceback.format_exception(caught.value))
        assert KEY not in shown and KEY[:4] not in shown
    assert KEY not in repr(generator) + generator.identity + caplog.text + "".join(capfd.readouterr())
    stub.replies[:] = [(401, echo)]
    with pytest.raises(GeneratorFailed, match=r"Bearer \[the key\]'; check the key in MY_KEY"):
        generator.paraphrase(ADA, 3)


def test_keys_that_are_none(monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(BadSetting, match="the environment variable MY_KEY holds no key"):
        ServerGenerator("http://localhost/v1", "tiny", key_variable="MY_KEY")
    for bad in ("sk-one\nsk-two", "sk-ключ"):
        monkeypatch.setenv("MY_KEY", bad)
        with pytest.raises(BadSetting, match="letters that no key can have") as caught:
            ServerGenerator("http://localhost/v1", "tiny", key_variable="MY_KEY")
        assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://host/v1",
        "localhost:8000/v1",
        "http://",
        "",
        "http://host/v 1",
        "http://host/v1\r\nX: y",
        "http://höst/v1",
        "http://host:port/v1",
        "http://[::1/v1",
        "http://host/v1?key=1",
        "http://host/v1#there",
    ],
)
def test_addresses_that_are_none(url):
    with pytest.raises(BadSetting, match=r"is no URL|is no address"):
        ServerGenerator(url, "tiny")


def test_addresses_with_a_password_are_not_repeated():
    with pytest.raises(BadSetting, match="user's name or password") as caught:
        ServerGenerator("http://me:secret@host/v1", "tiny")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": " "}, "name of a model"),
        ({"timeout_seconds": 0.0}, "timeout_seconds must be above 0"),
        ({"retries": -1}, "retries at least 0"),
        ({"max_tokens": 0}, "max_tokens at least 1"),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    with pytest.raises(BadSetting, match=message):
        ServerGenerator(**{"url": "http://localhost/v1", "model": "tiny", **settings})


def test_asking_for_nothing():
    with pytest.raises(BadSetting, match="at least 1 text, not 0"):
        ServerGenerator("http://localhost/v1", "tiny").paraphrase(ADA, 0)
    with pytest.raises(BadSetting, match="at least 1 text, not -1"):
        ServerGenerator("http://localhost/v1", "tiny").wrong_answers(ADA, -1)


def test_the_identity_names_what_changes_texts_and_nothing_else():
    one = ServerGenerator("http://localhost/v1", "tiny")
    assert one.identity == ServerGenerator("http://localhost/v1/", "tiny", timeout_seconds=1.0, retries=0).identity
    others = [
        ServerGenerator("http://localhost/v2", "tiny"),
        ServerGenerator("http://localhost/v1", "large"),
        ServerGenerator("http://localhost/v1", "tiny", max_tokens=10),
    ]
    assert len({one.identity, *(each.identity for each in others)}) == 4

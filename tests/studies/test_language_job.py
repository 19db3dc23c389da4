"""Jobs on language models: what is read, what is left in the folder, and runs that end in the middle and go on."""

import http.server
import json
import threading
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

import tiny_language
from expunge.data.facts import Fact
from expunge.errors import BadFile, BadRequest, BadSetting, WrongTask
from expunge.language.adapters import load_adapter
from expunge.language.generators import GeneratorFailed, ServerGenerator, TemplateGenerator
from expunge.methods import UnSTAR
from expunge.models.pretrained import read_language_model, write_language_model
from expunge.storage import read_weights
from expunge.studies import comparison, language_run
from expunge.studies.fields import BadJob
from expunge.studies.job import Job, parse_job
from expunge.studies.language_job import methods_with, parse_language_job, read_any_job, task_for
from expunge.studies.language_run import run_language

HEAD = "task: language\nmodel: model\nfacts: facts.jsonl\nretain: retain.jsonl\n"
STRANGE = Fact("Where was <b>Zed</b> born?", "Nowhere & Co", "<b>Zed</b>", "was born in", wrong_answers=("Somewhere",))


def write_facts(path, facts):
    rows = ({name: value for name, value in asdict(fact).items() if value} for fact in facts)
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A model that knows some facts, in a folder."""
    folder = tmp_path_factory.mktemp("language") / "model"
    return write_language_model(tiny_language.trained(), tiny_language.tokenizer(), folder)


@pytest.fixture
def files(kept, tmp_path, monkeypatch):
    """The working directory, with the model and files of facts."""
    monkeypatch.chdir(tmp_path)
    Path("model").symlink_to(kept)
    write_facts("facts.jsonl", tiny_language.split().goes)
    write_facts("retain.jsonl", tiny_language.split().stays)
    return tmp_path


@pytest.fixture
def unaudited(monkeypatch):
    """Runs without their audits, which take longer than all else."""
    monkeypatch.setattr(comparison, "default_audits", lambda task, split: ())


def job(text="", **settings):
    made = parse_language_job(HEAD + text)
    return replace(made, methods={"unstar": UnSTAR(**settings)}) if settings else made


def transcript(folder="out"):
    return json.loads((Path(folder) / "transcript.json").read_text())


def tensors(path):
    return read_weights(path)[0]


def assert_same(one, other):
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_whole_run(files):
    write_facts("facts.jsonl", [*tiny_language.split().goes, STRANGE])
    write_facts("unseen.jsonl", tiny_language.unseen())
    told = []
    evidence = run_language(job("unseen: unseen.jsonl\ntitle: Two go\n"), "out", command="expunge forget", say=told.append)
    names = {"job.yaml", "adapter", "anti-samples.jsonl", "transcript.json", "history.jsonl", "audit.json", "report.html"} | {
        "statement.html"
    }
    assert {path.name for path in Path("out").iterdir()} == names
    # what was not known is said at once, and then each round
    assert told[0].startswith("Not known before, and so not forgotten either: 1 of the 3 facts, 'Where was <b>Zed</b> born?'")
    assert told[1].startswith("round 0: 12 questions asked, 8 still known; 1 of 3 facts gone")
    assert " 0 still known; 3 of 3 facts gone" in told[-1]
    # the adapter on the original says what the transcript says
    model, tokenizer = read_language_model("model")
    adapted, task = load_adapter(model, "out/adapter"), task_for(model, tokenizer, tiny_language.facts())
    rows = transcript()
    assert [said.text for said in task.answer(adapted, [row["question"] for row in rows])] == [row["after"] for row in rows]
    goes, stays = [row for row in rows if row["goes"]], [row for row in rows if not row["goes"]]
    held_out = {question for fact in tiny_language.split().goes for question in fact.held_out}
    assert held_out == {row["question"] for row in goes if "no method saw" in row["part"]}
    assert len(goes) == 13 and not any(row["known_after"] for row in goes)
    assert [row["known_before"] for row in goes] == [row["question"] != STRANGE.question for row in goes]
    assert len(stays) == 12 and all(row["known_before"] for row in stays)
    assert stays[0]["part"] == "stays, on the same subject" and sum(row["known_after"] for row in stays) >= 9
    # the report shows it, and says what it does not prove
    page, audit = Path("out/report.html").read_text(), json.loads(Path("out/audit.json").read_text())
    assert evidence.title == audit["title"] == "Two go" and "not known before" in page and "still right" in page
    assert "<b>Zed" not in page and "&lt;b&gt;Zed&lt;/b&gt;" in page and "Nowhere &amp; Co" in page
    assert audit["cases"][0]["verdict"].startswith("Nothing is proven")
    assert audit["cases"][0]["forgotten"] == "3 facts of 25, asked in 9 ways"
    assert [row["model"] for row in audit["cases"][0]["rows"]] == ["original", "unstar"]
    notes = " ".join(audit["notes"])
    assert "may be false by design" in notes and "anti-samples.jsonl: the facts again" in notes and "1 of the 3" in notes
    rounds = [row for row in map(json.loads, Path("out/history.jsonl").read_text().splitlines()) if "round" in row]
    assert rounds[0]["known"] == 8 and rounds[-1]["known"] == 0


def test_a_finished_run_is_not_overwritten_unless_that_is_said(files, unaudited):
    run_language(job(rounds=1), "out")
    before = Path("out/audit.json").read_bytes()
    with pytest.raises(BadFile, match="out holds a finished run"):
        run_language(job(rounds=1), "out")
    assert Path("out/audit.json").read_bytes() == before
    evidence = run_language(job("methods: [npo]\n"), "out", overwrite=True)
    assert {path.name for path in Path("out").iterdir()} >= {"adapter", "audit.json"}
    assert not Path("out/anti-samples.jsonl").exists() and "anti-samples" not in " ".join(evidence.notes)
    Path("begun").mkdir()
    Path("begun/job.yaml").write_text("seed: 3\n")
    with pytest.raises(BadFile, match="begun holds the beginning of another job"):
        run_language(job(), "begun")


def test_refusing(files, unaudited):
    evidence = run_language(job(rounds=8, wrong_answers="refusal", negative=0.0), "out")
    assert "false by design" not in " ".join(evidence.notes)
    assert not any(row["known_after"] for row in transcript() if row["goes"])
    made = [json.loads(line) for line in Path("out/anti-samples.jsonl").read_text().splitlines()]
    assert {row["method"] for row in made} == {"paraphrase"}


def test_all_weights_and_several_methods(files, unaudited):
    text = "methods: [{method: unstar, lora: null, rounds: 2}, {method: npo, epochs: 1}, prompt-guard]\n"
    evidence = run_language(job(text), "out")
    assert "prompt-guard leaves the weights as they were, so there is no model of it here." in evidence.notes
    assert not Path("out/adapter").exists() and {path.name for path in Path("out/models").iterdir()} == {"npo"}
    model, tokenizer = read_language_model("out/model")
    task, rows = task_for(model, tokenizer, tiny_language.facts()), transcript()
    assert [said.text for said in task.answer(model, [row["question"] for row in rows])] == [row["after"] for row in rows]
    assert load_adapter(read_language_model("model")[0], "out/models/npo/adapter")


class Mortal:
    """Templates, which count their calls and are interrupted at one of them."""

    def __init__(self, dies_at=0):
        self.templates, self.dies_at, self.calls = TemplateGenerator(tiny_language.facts()), dies_at, 0

    def __repr__(self):
        return "Mortal()"

    @property
    def identity(self):
        return self.templates.identity

    def _counted(self, made, *arguments, **settings):
        self.calls += 1
        if self.calls == self.dies_at:
            raise KeyboardInterrupt
        return made(*arguments, **settings)

    def paraphrase(self, fact, n, **settings):
        return self._counted(self.templates.paraphrase, fact, n, **settings)

    def wrong_answers(self, fact, n, **settings):
        return self._counted(self.templates.wrong_answers, fact, n, **settings)

    def rationale(self, question, wrong, fact, **settings):
        return self._counted(self.templates.rationale, question, wrong, fact, **settings)


def test_a_killed_run_goes_on_with_what_was_made(files, unaudited):
    whole = Mortal()
    run_language(job(generator=whole, rationale=True, rounds=3), "whole")
    for dies_at in (3, whole.calls):  # before the first training, and in the last round that made something
        out = f"killed-{dies_at}"
        with pytest.raises(KeyboardInterrupt):
            run_language(job(generator=Mortal(dies_at), rationale=True, rounds=3), out)
        assert not Path(out, "audit.json").exists() and list(Path(out, "work").rglob("anti-samples.jsonl"))
        again = Mortal()
        run_language(job(generator=again, rationale=True, rounds=3), out)
        assert again.calls == whole.calls - dies_at + 1
        assert_same(tensors(f"{out}/adapter/adapter_model.safetensors"), tensors("whole/adapter/adapter_model.safetensors"))
        assert Path(out, "anti-samples.jsonl").read_bytes() == Path("whole/anti-samples.jsonl").read_bytes()
        assert not Path(out, "work").exists()


class Server:
    """A chat-completions server that knows each fact's own phrasings and wrong answers, and can be out of order."""

    def __init__(self):
        self.asked, self.dies_after, server = [], None, self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                dead = server.dies_after is not None and len(server.asked) >= server.dies_after
                body = b"out of order" if dead else server.reply(content["messages"][0]["content"])
                self.send_response(503 if dead else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def reply(self, prompt):
        self.asked.append(prompt)
        fact = next(fact for fact in tiny_language.facts() if fact.answer in prompt)
        texts = fact.phrasings if "different ways" in prompt else fact.wrong_answers
        said = "\n".join(f"{number}. {text}" for number, text in enumerate(texts, start=1))
        return json.dumps({"choices": [{"message": {"content": said}}]}).encode()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def test_a_server_that_dies_and_comes_back_is_asked_for_the_rest(files, unaudited, server):
    text = f"methods: [{{method: unstar, rounds: 3, generator: {{url: '{server.url}', model: tiny, retries: 0}}}}]\n"
    run_language(job(text), "whole")
    whole, server.asked = server.asked, []
    server.dies_after = len(tiny_language.split().goes) + 1  # other ways to ask, and the first fact's wrong answers
    with pytest.raises(GeneratorFailed, match="did not answer; the last time: status 503 'out of order'"):
        run_language(job(text), "out")
    assert len(server.asked) == server.dies_after and not Path("out/audit.json").exists()
    server.dies_after = None
    run_language(job(text), "out")
    assert server.asked == whole
    assert_same(tensors("out/adapter/adapter_model.safetensors"), tensors("whole/adapter/adapter_model.safetensors"))


def _one_row(**fields):
    return lambda: Path("facts.jsonl").write_text(json.dumps(fields) + "\n")


@pytest.mark.parametrize(
    ("harm", "kind", "message"),
    [
        (_one_row(question="Where?"), BadFile, "facts.jsonl, line 1: the field 'answer' is missing"),
        (_one_row(question="Where?", answer=3), BadFile, "line 1: answer must be a text, not 3"),
        (lambda: Path("retain.jsonl").unlink(), BadFile, "retain.jsonl cannot be read"),
        (lambda: write_facts("retain.jsonl", tiny_language.facts()), BadRequest, "is to be forgotten and to stay"),
        (lambda: Path("model").unlink(), BadFile, "there is no folder model"),
        (_one_row(question="Where? " * 200, answer="There"), BadSetting, r"takes [\d,]+ tokens, and the model reads 160"),
        (lambda: write_facts("facts.jsonl", [STRANGE]), BadRequest, "answers none of the 4 questions on 1 facts"),
    ],
)
def test_what_is_wrong_with_the_files_is_said_before_anything_is_written(files, harm, kind, message):
    harm()
    with pytest.raises(kind, match=message):
        run_language(job(), "out")
    assert not Path("out").exists()


def test_methods_for_other_models(files):
    with pytest.raises(WrongTask, match="gif does not work on language models"):
        run_language(job("methods: [gif]\n"), "out")
    assert not Path("out").exists()


def test_job_files_of_both_kinds(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(HEAD + "matcher: words\nengine: {device: auto}\nmethods: [{method: unstar, rounds: 2}, npo]\n")
    made = read_any_job(path)
    assert made.matcher.kind == "words" and made.engine.device == "auto" and made.unseen is None
    assert list(made.methods) == ["unstar", "npo"] and made.methods["unstar"] == UnSTAR(rounds=2)
    path.write_text("data: {name: digits}\nmodel: {name: mlp}\nrequest: {class: 3}\nmethods: [ssd]\n")
    assert isinstance(read_any_job(path), Job)
    path.write_text("data: [")
    with pytest.raises(BadJob, match="is not YAML"):
        read_any_job(path)
    with pytest.raises(BadJob, match="job file not found"):
        read_any_job(tmp_path / "none.yaml")
    with pytest.raises(BadJob, match=r"line 1, task: only `expunge run` and `expunge forget`"):
        parse_job(HEAD)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "fact: more.jsonl\n", "job, line 5, fact: unknown field; there are engine, facts, matcher"),
        ("task: language\nmodel: model\nfacts: facts.jsonl\n", "job, line 1, retain: Field required"),
        (HEAD + "matcher: near\n", "line 5, matcher: Input should be 'exact', 'words' or 'fuzzy', not 'near'"),
        (HEAD + "methods: [unstarr]\n", "line 5, methods.0: unknown method 'unstarr'"),
        (HEAD + "methods: [npo, npo]\n", "line 5, methods.1: a second method is called 'npo'"),
        (HEAD + "methods: [{method: npo, like_training: true}]\n", "like_training follows from the recipe"),
    ],
)
def test_faults_are_named_with_their_place(text, message):
    with pytest.raises(BadJob, match=message):
        parse_language_job(text)


def unstar(**settings):
    return parse_language_job(HEAD + yaml.safe_dump({"methods": [{"method": "unstar", **settings}]})).methods["unstar"]


def test_unstar_is_read_from_plain_values():
    assert unstar(generator="model") == UnSTAR(generator="model")
    assert unstar(lora=None, wrong_answers="refusal", rationale=True).lora is None
    made = unstar(generator={"url": "http://localhost:8000/v1", "model": "mistral-7b", "retries": 0})
    assert made == UnSTAR(generator=ServerGenerator("http://localhost:8000/v1", "mistral-7b", retries=0))


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        ("modle", r"methods.0.generator: Input should be 'auto', 'fields', 'templates' or 'model', not 'modle'"),
        (3, "methods.0.generator: Input should be 'auto'"),
        ({"url": "http://localhost:8000/v1"}, "methods.0.generator.model: Field required"),
        ({"url": "localhost", "model": "m"}, "methods.0.generator: 'localhost' is no address of a server"),
        ({"url": "http://localhost/v1", "model": "m", "key": "s"}, r"generator.key: unknown field; there are key_variable"),
    ],
)
def test_generators_that_are_none(generator, message):
    with pytest.raises(BadJob, match=message):
        unstar(generator=generator)


def test_generators_and_refusals_are_for_methods_that_take_them():
    server = {"url": "http://localhost:8000/v1", "model": "m"}
    assert methods_with(["unstar", "npo"], server, refuse=True) == [
        {"method": "unstar", "generator": server, "wrong_answers": "refusal"},
        {"method": "npo"},
    ]
    assert methods_with(["npo"]) == [{"method": "npo"}]
    with pytest.raises(BadSetting, match=r"--generator is for .*unstar.*, not for npo"):
        methods_with(["npo"], "auto")
    with pytest.raises(BadSetting, match=r"--refuse is for unstar.*, not for npo"):
        methods_with(["npo"], refuse=True)
    with pytest.raises(BadSetting, match="unknown method 'unstarr'"):
        methods_with(["unstarr"])


def test_the_task_has_room_for_more_than_the_facts():
    tokenizer, model = tiny_language.tokenizer(), tiny_language.task().new_model()
    facts = tiny_language.facts()
    task = task_for(model, tokenizer, facts)
    longest = int(task.encode((question, fact.answer) for fact in facts for question in fact.questions).tensors[1].sum(1).max())
    assert 3 * longest <= task.length <= 160 and task.new_tokens == 32  # as many as the model reads
    capped = task_for(model, tokenizer, [Fact("Where? " * 30, "There")])
    assert capped.length == 160 and len(capped.prompt("Where? " * 30)) + capped.new_tokens <= 160


def test_a_few_of_many_facts_are_shown(files):
    facts = [Fact(f"Where is number {number}?", "here", held_out=(f"Number {number} is where?",)) for number in range(40)]
    split = replace(tiny_language.split(), goes=tuple(facts))
    asked = list(language_run._asked(split))
    rows = [language_run._answered(split, each, "here", "there") for each in asked]
    shown = list(language_run._shown(rows))
    assert sum(row.goes for row in rows) == 80 and sum(row.goes for row in shown) == 32
    assert len({row.part for row in shown if row.goes}) == 2
    (note,) = language_run._unknown(split, ["nowhere"] * len(asked), asked)
    assert "40 of the 40 facts, 'Where is number 0?', " in note and note.endswith("and 35 more.")


def test_of_a_large_model_no_audit_makes_a_copy(monkeypatch):
    setup = SimpleNamespace(model=tiny_language.trained(), task=tiny_language.task(), split=tiny_language.split())
    names = {each.name for each in language_run._audits(setup)}
    assert {"facts", "relearned-half", "rounding", "relearning"} <= names
    monkeypatch.setattr(language_run, "_LARGE", 1_000)
    assert names - {each.name for each in language_run._audits(setup)} >= {
        "relearned-half",
        "rounding",
        "relearning",
        "balance",
    }
    assert "facts" in {each.name for each in language_run._audits(setup)}

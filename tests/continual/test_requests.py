"""Streams of requests: what each of them means where it stands, and which are refused."""

import pytest
import torch
from torch.utils.data import TensorDataset

from expunge.continual import Learn, Lesson, RequestStream, Unlearn
from expunge.errors import BadRequest
from tiny_streams import Lazy, blobs, tasks


def rows(data) -> tuple[torch.Tensor, torch.Tensor]:
    inputs, labels = zip(*(data[row] for row in range(len(data))), strict=True)
    return torch.stack(inputs), torch.stack(labels)


def test_lessons():
    data = tasks(each=5)
    stream = RequestStream.of("L1 L2 U1 L3 U3", data)
    assert [lesson.title for lesson in stream] == ["L1", "L2", "U1", "L3", "U3"]
    assert [lesson.kind for lesson in stream] == ["learn", "learn", "unlearn", "learn", "unlearn"]
    assert [lesson.ids.tolist() for lesson in stream[:3]] == [list(range(10)), list(range(10, 20)), list(range(10))]
    assert torch.equal(rows(stream[2].data)[0], data[0].tensors[0]) and stream[2].tasks == ("1",)
    assert stream[2].gone.tolist() == stream[2].classes.tolist() == [0, 1] and stream[3].classes.tolist() == [4, 5]
    assert stream.left == ("2",) and stream.forgotten == ("1", "3")
    assert torch.equal(rows(stream.data("left"))[1], data[1].tensors[1])
    assert torch.equal(rows(stream.data("forgotten"))[1], torch.cat([data[0].tensors[1], data[2].tensors[1]]))


def test_single_samples():
    data = tasks(each=5)
    stream = RequestStream([Learn("a", data[0]), Learn("b", data[1]), Unlearn([3, 12, 4])])
    goes = stream[2]
    assert goes.title == "U(3)" and goes.ids.tolist() == [3, 4, 12] and goes.tasks == () and goes.gone.tolist() == []
    assert torch.equal(rows(goes.data)[0], torch.stack([data[0][3][0], data[0][4][0], data[1][2][0]]))
    assert len(stream.data("left")) == 17 and stream.forgotten == () and stream.left == ("a", "b")


def test_all_samples_of_a_task_are_the_task():
    stream = RequestStream([Learn("a", tasks(2)[0]), Learn("b", tasks(2)[1]), Unlearn([1]), Unlearn(torch.tensor([0, 2, 3]))])
    assert stream[3].tasks == ("a",) and stream[3].gone.tolist() == [0, 1] and stream.left == ("b",)
    assert stream.forgotten == ("a",)


def test_a_class_is_gone_when_nothing_that_stays_has_it():
    both = blobs(range(0, 2), 3, 0), blobs(range(1, 3), 3, 1)
    stream = RequestStream([Learn("a", both[0]), Learn("b", both[1]), Unlearn("a")])
    assert stream[2].classes.tolist() == [0, 1] and stream[2].gone.tolist() == [0]


def test_ids_of_ones_own():
    data = tasks(each=2)
    stream = RequestStream([Learn("a", data[0], [40, 10, 20, 30]), Learn("b", data[1], [1, 2, 3, 4]), Unlearn([10, 3])])
    assert torch.equal(rows(stream[2].data)[0], torch.stack([data[0][1][0], data[1][2][0]]))
    assert stream[2].ids.tolist() == [10, 3]


def test_a_share_of_a_task():
    stream = RequestStream.of("L1 L2 U2:0.25 U2:0.5", tasks(each=10))
    first, second = stream[2].ids, stream[3].ids
    assert len(first) == 5 and len(second) == 8 and not torch.isin(first, second).any()
    assert ((first >= 20) & (first < 40)).all()
    again, other = (RequestStream.of("L1 L2 U2:0.25", tasks(each=10), seed)[2].ids for seed in (0, 1))
    assert torch.equal(again, first) and not torch.equal(other, first)


def test_learned_again():
    stream = RequestStream.of("L1 L2 U1 L1", tasks(each=2))
    assert stream[3].ids.tolist() == [8, 9, 10, 11] and stream.left == ("2", "1") and stream.forgotten == ()
    never = stream.never_learned()
    assert [lesson.title for lesson in never] == ["L2", "L1"] and never[1].ids.tolist() == [8, 9, 10, 11]
    assert [lesson.title for lesson in stream.without_forgetting()] == ["L1", "L2"]
    with pytest.raises(BadRequest, match="forgets nothing that is not learned again"):
        stream.data("forgotten")
    longer = RequestStream.of("L1 L2 U1 L1 U1:0.5 U2", tasks(each=2))
    assert len(longer.data("forgotten")) == 2 + 4 and len(longer.data("left")) == 2


def test_ids_that_were_learned_once_are_not_learned_again():
    data = tasks(each=2)
    with pytest.raises(BadRequest, match="task 'a' has the id 1 of a sample learned before"):
        RequestStream(
            [
                Learn("a", data[0], [1, 2, 3, 4]),
                Learn("b", data[1], [5, 6, 7, 8]),
                Unlearn("a"),
                Learn("a", data[0], [1, 2, 3, 4]),
            ]
        )


def test_what_may_be_meant_otherwise_is_refused():
    data = tasks(each=2)
    with pytest.raises(BadRequest, match="the name of a task is a text, not 1"):
        Learn(1, data[0])
    for what, message in (
        (1, "a list of whole numbers, not 1; a task is named by a text"),
        ([True, False], "whole numbers, not bool"),
        ([1.0, 2.5], "whole numbers, not float32"),
    ):
        with pytest.raises(BadRequest, match=message):
            RequestStream([Learn("1", data[0]), Unlearn(what)])
    assert RequestStream([Learn("1", data[0]), Unlearn({2, 0})])[1].ids.tolist() == [0, 2]


def test_lessons_that_are_no_part_of_a_stream():
    data = tasks(each=2)
    stream = RequestStream([Learn("a", data[0]), Learn("b", data[1]), Unlearn("a"), Unlearn([5])])
    alone = [
        Lesson.learn(0, "a", data[0], range(4)),
        Lesson.learn(1, "b", data[1], range(4, 8)),
        Lesson.unlearn(2, data[0], range(4), tasks=["a"], gone=[0, 1]),
        Lesson.unlearn(3, TensorDataset(*(part[1:2] for part in data[1].tensors)), [5]),
    ]
    for one, other in zip(alone, stream, strict=True):
        assert (one.kind, one.title, one.tasks, one.single) == (other.kind, other.title, other.tasks, other.single)
        assert torch.equal(one.ids, other.ids) and torch.equal(one.labels, other.labels) and torch.equal(one.gone, other.gone)


def test_never_learned_leaves_out_single_samples():
    data = tasks(each=2)
    stream = RequestStream([Learn("a", data[0]), Learn("b", data[1]), Unlearn([0, 6]), Unlearn("a")])
    never = stream.never_learned()
    assert [lesson.title for lesson in never] == ["Lb"] and never[0].ids.tolist() == [4, 5, 7]
    assert torch.equal(rows(never[0].data)[0], data[1].tensors[0][[0, 1, 3]])
    assert [lesson.title for lesson in stream.without_forgetting()] == ["La", "Lb"]


def test_data_that_are_read_one_by_one():
    data = [Lazy(each) for each in tasks(each=3)]
    stream = RequestStream([Learn("a", data[0]), Learn("b", data[1]), Unlearn([1, 7])])
    wanted = torch.stack([data[0][1][0], data[1][1][0]])
    assert torch.equal(rows(stream[2].data)[0], wanted) and stream[2].classes.tolist() == [0, 2]


def test_the_digest_tells_streams_apart():
    digests = {
        RequestStream.of(words, tasks(each=each)).digest
        for words, each in (("L1 L2", 2), ("L2 L1", 2), ("L1 L2 U1", 2), ("L1 L2", 3))
    }
    assert len(digests) == 4 and RequestStream.of("L1 L2", tasks(each=2)).digest in digests


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "the stream has no request"),
        ("L1 X2", "a request is a word like L1 .*, not 'X2'"),
        ("L1 L2:0.5", "a request is a word like L1 .*, not 'L2:0.5'"),
        ("L1 L9", "L9: there is no task '9'; there are 1, 2, 3"),
        ("U1 L1", "request 1 forgets task '1', which is not there; there are none"),
        ("L1 L2 U1 U1", "request 4 forgets task '1', which is not there; there are 2"),
        ("L1 L1", "request 2 learns task '1', which was learned already"),
        ("L1 U1", "request 2 forgets all that was learned"),
        ("L1 L2 U2:1.5", "the share of samples to forget lies between 0 and 1, not '1.5'"),
        ("L1 L2 U2:some", "lies between 0 and 1, not 'some'"),
        ("L1 U2:0.5", "there is no such sample to forget"),
        ("L1 L2 U2:0.01", "there is no such sample to forget"),
    ],
)
def test_requests_that_make_no_sense(words, message):
    with pytest.raises(BadRequest, match=message):
        RequestStream.of(words, tasks(each=3))


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        (lambda a, b: [Learn("a", a, [0, 1, 2, 3]), Learn("b", b)], "state all or none"),
        (lambda a, b: [Learn("a", a, [0, 1, 2])], "task 'a' has 4 samples and 3 ids"),
        (lambda a, b: [Learn("a", a, [0, 1, 2, 2])], "must be 0 or more, each once"),
        (lambda a, b: [Learn("a", a, [0, 1, 2, -3])], "must be 0 or more, each once"),
        (
            lambda a, b: [Learn("a", a, [0, 1, 2, 3]), Learn("b", b, [3, 4, 5, 6])],
            "task 'b' has the id 3 of a sample learned before",
        ),
        (lambda a, b: [Learn("a", a), Unlearn([2, 77])], "of 2 samples to forget, 1 are not there"),
        (lambda a, b: [Learn("a", a), Unlearn([])], "request 2 names no sample to forget"),
        (lambda a, b: [Learn("a", a), Learn("b", b), Unlearn([0]), Unlearn([0])], "1 are not there"),
        (lambda a, b: [Learn("a", TensorDataset(*(part[:0] for part in a.tensors)))], "task 'a' has no samples"),
        (lambda a, b: [Learn("a", a), Unlearn([0, 1, 2, 3])], "forgets all that was learned"),
    ],
)
def test_streams_that_make_no_sense(requests, message):
    with pytest.raises(BadRequest, match=message):
        RequestStream(requests(*tasks(each=2)[:2]))


def test_what_forgets_nothing_has_nothing_forgotten():
    with pytest.raises(BadRequest, match="the stream forgets nothing"):
        RequestStream.of("L1 L2", tasks(each=2)).data("forgotten")

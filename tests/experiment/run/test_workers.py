import json
import socket
import threading
import time

import pytest

from tost_tf.compat import tf
from tost_tf.errors import TostError
from tost_tf.experiment.run.agreement import explain_lost_worker, requested_by_any_worker, require_same
from tost_tf.experiment.run.workers import Workers


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def set_config(monkeypatch, addresses, index, kind="worker", cluster="worker"):
    config = {"cluster": {cluster: addresses}, "task": {"type": kind, "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))


def test_workers_are_those_of_tf_config(monkeypatch):
    set_config(monkeypatch, ["one:1", "two:2", "three:3"], 2)
    workers = Workers.of_environment(5.0)
    assert workers == Workers(("one:1", "two:2", "three:3"), 2, 5.0)
    assert workers.several and not workers.is_chief and workers.name(1) == "worker 1 (two:2)"
    set_config(monkeypatch, ["one:1", "two:2"], 0)
    assert Workers.of_environment(5.0).is_chief
    assert Workers().is_chief and not Workers().several


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "--distribution=multi_worker needs the environment variable TF_CONFIG in each process: {"),
        ("{", "TF_CONFIG cannot be read (JSONDecodeError"),
        ('{"cluster": {}}', "TF_CONFIG cannot be read (KeyError('worker')"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
            "says this is worker 1, but has 1",
        ),
        ('{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}', "other tasks than"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}', "a different HOST:PORT"),
        (
            '{"cluster": {"worker": ["a:1", "b"]}, "task": {"type": "worker", "index": 0}}',
            "a different HOST:PORT, they are a:1, b",
        ),
    ],
)
def test_bad_tf_config_is_refused(monkeypatch, text, words):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(TostError) as error:
        Workers.of_environment(1.0)
    assert words in str(error.value)


def test_workers_meet_in_any_order():
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(3))
    done = []

    def come(index):
        time.sleep(0.3 * index)
        Workers(addresses, index, 10.0).meet()
        # TensorFlow opens the port now, as this does.
        with socket.create_server(("", int(addresses[index].rpartition(":")[2]))):
            done.append(index)
            time.sleep(2)

    threads = [threading.Thread(target=come, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(15)
    assert sorted(done) == [0, 1, 2]


def test_missing_worker_is_named():
    first, second = free_ports(2)
    with pytest.raises(TostError, match=rf"worker 1 \(127.0.0.1:{second}\) did not answer for 0.3 seconds"):
        Workers((f"127.0.0.1:{first}", f"127.0.0.1:{second}"), 0, 0.3).meet()
    with (
        socket.create_server(("", first)),
        pytest.raises(
            TostError, match=rf"the port of worker 0 \(127.0.0.1:{first}\) cannot be opened: Address already"
        ),
    ):
        Workers((f"127.0.0.1:{first}", f"127.0.0.1:{second}"), 0, 0.3).meet()


def test_what_the_chief_does_not_write_is_named():
    workers = Workers(("one:1", "two:2"), 1, 0.3)
    answers = iter([None, None, "mask"])
    assert Workers(("one:1", "two:2"), 1, 5.0).wait_for("the mask", lambda: next(answers)) == "mask"
    with pytest.raises(TostError, match=r"worker 0 \(one:1\) did not write the mask in 0.3 seconds"):
        workers.wait_for("the mask", lambda: False)


def test_lost_worker_is_named_by_tensorflows_message_or_its_silence():
    first, second = free_ports(2)
    workers = Workers((f"127.0.0.1:{first}", f"127.0.0.1:{second}", "c:3"), 0, 1.0)
    said = "Error reported from /job:worker/task:0: GRPC error from remote target /job:worker/replica:0/task:2 while"
    assert workers.lost(said) == "worker 2 (c:3)"
    two = Workers(workers.addresses[:2], 0, 1.0)
    assert two.lost("Connection reset by peer") == f"worker 1 (127.0.0.1:{second})"
    with socket.create_server(("", second)):
        assert two.lost("who knows") == "another worker"
    gone = r"worker 2 \(c:3\) is gone or does not answer, so worker 0"
    with pytest.raises(TostError, match=gone), explain_lost_worker(workers):
        raise tf.errors.UnavailableError(None, None, said)
    with pytest.raises(tf.errors.UnavailableError), explain_lost_worker(Workers()):
        raise tf.errors.UnavailableError(None, None, said)


def test_workers_must_resume_from_the_same_state(two_replicas):
    require_same(two_replicas, {"the epochs done": 3, "the weights": 2**32 - 1})

    class OtherSumsTo7:
        num_replicas_in_sync = 2

        def __getattr__(self, name):
            return getattr(two_replicas, name)

        def run(self, function, args):
            return two_replicas.run(lambda own: function(own) * 0 + 7, args=args)

    with pytest.raises(TostError, match="the workers do not agree on the epochs done, which is 3 here"):
        require_same(OtherSumsTo7(), {"the epochs done": 3})


def test_one_signal_stops_all_workers(two_replicas):
    assert requested_by_any_worker(two_replicas, Workers(), lambda: 2)() == 2
    workers = Workers(("one:1", "two:2"), 0)
    for here, expected in ((None, None), (2, 2), (15, 15)):
        assert requested_by_any_worker(two_replicas, workers, lambda here=here: here)() == expected

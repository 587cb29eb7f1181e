import os
import signal
import sys
import threading
import time
import weakref

import pytest

from tost_tf.experiment.commands.command import run_command
from tost_tf.experiment.run.stop import Stopped, StopSignals


def send(number):
    os.kill(os.getpid(), number)
    time.sleep(0.2)  # Python calls the handler at one of its next steps


@pytest.mark.parametrize(("number", "code", "name"), [(signal.SIGINT, 130, "SIGINT"), (signal.SIGTERM, 143, "SIGTERM")])
def test_a_signal_stops_immediately_unless_it_is_noted(number, code, name, capfd):
    before = signal.getsignal(number)
    with StopSignals() as stop:
        with pytest.raises(Stopped) as stopped:
            send(number)
        assert stopped.value.exit_code == code
        assert str(stopped.value) == f"stopped by {name}; the same command resumes from the last checkpoint"
    assert signal.getsignal(number) is before
    with StopSignals() as stop:
        with stop.noted():
            assert stop.requested is None
            send(number)
            assert stop.requested == number
            with pytest.raises(Stopped):  # a second one does not wait
                send(number)
        with pytest.raises(Stopped):
            send(number)
    assert f"{name}: stopping at the next step" in capfd.readouterr().err
    assert str(Stopped(number, "step 3 of epoch 2")).endswith(
        "after step 3 of epoch 2; the same command resumes from there"
    )


class Thing:
    """Something that weak references can point to."""


def lose(number):
    """A signal that comes while the callback of a weak reference runs, in which Python swallows what is raised."""
    thing, called = Thing(), []

    def callback(_):
        called.append(number)
        send(number)

    reference = weakref.ref(thing, callback)
    del thing
    assert called == [number] and reference() is None


def test_a_signal_that_python_swallows_comes_again(monkeypatch):
    hook = sys.unraisablehook
    with StopSignals():
        with pytest.raises(Stopped) as stopped:
            lose(signal.SIGTERM)
            time.sleep(2)
        assert stopped.value.signal == signal.SIGTERM
    monkeypatch.setattr("tost_tf.experiment.run.stop.AGAIN_AFTER", 0.3)
    with StopSignals() as stop:
        lose(signal.SIGTERM)  # it comes again in the block, which notes it like any first signal
        with stop.noted():
            assert stop.requested is None
            time.sleep(0.5)
            assert stop.requested == signal.SIGTERM
    assert sys.unraisablehook is hook


def test_other_errors_that_python_swallows_are_still_told(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_type))
    thing = Thing()
    with StopSignals():
        reference = weakref.ref(thing, lambda _: 1 / 0)
        del thing
    assert told == [ZeroDivisionError] and reference() is None


def test_signals_another_library_took_are_taken_back():
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as stop:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stop.listen()
        with pytest.raises(Stopped):
            send(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_are_left_alone():
    before, done = signal.getsignal(signal.SIGTERM), []

    def work():
        with StopSignals() as stop:
            done.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [None] and signal.getsignal(signal.SIGTERM) is before


def test_commands_end_with_the_code_of_the_signal_and_its_sentence(capsys):
    assert run_command("tost-train", lambda arguments: send(signal.SIGTERM), []) == 143
    assert "tost-train: stopped by SIGTERM; the same command resumes from" in capsys.readouterr().err

    def stopped(arguments):
        raise Stopped(signal.SIGINT, "epoch 4")

    assert run_command("tost-train", stopped, []) == 130
    assert capsys.readouterr().err.endswith("stopped by SIGINT after epoch 4; the same command resumes from there\n")

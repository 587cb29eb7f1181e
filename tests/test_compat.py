"""What importing the project prints."""

import os
import subprocess
import sys

PROGRAM = """
import tost_tf as tost
from tost_tf.compat import keras
print("layers" in dir(keras), file=__import__("sys").stderr)
"""


def test_importing_prints_nothing_of_tensorflows_notes_about_the_machine():
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment)
    assert (done.stdout, done.stderr) == ("", "True\n")


def test_it_can_be_imported_where_there_is_no_standard_error():
    done = subprocess.run(
        ["sh", "-c", '"$0" -c "from tost_tf.compat import keras; print(keras.layers)" 2>&-', sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "module" in done.stdout


def test_what_else_is_written_meanwhile_is_not_lost():
    program = """
import os, sys
from tost_tf import compat
with compat._without_notes():
    os.write(2, b"I0000 00:00:1 1 port.cc:1] a note\\nE0000 an error\\n")
    print("mine", file=sys.stderr, flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "E0000 an error\nmine\n"

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

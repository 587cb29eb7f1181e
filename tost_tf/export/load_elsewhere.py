"""A program of its own: loads a SavedModel with nothing but TensorFlow and runs it on images.

Usage: python -I load_elsewhere.py SAVED_MODEL INPUT.npz OUTPUT.npz
INPUT.npz holds `images`; OUTPUT.npz gets `logits`, `probabilities`, and by variable `sizes` and `zeros`.
"""

import sys

import numpy as np
import tensorflow as tf


def main(saved_model: str, input_file: str, output_file: str) -> None:
    loaded = tf.saved_model.load(saved_model)
    images = np.load(input_file, allow_pickle=False)["images"]
    outputs = loaded.signatures["serving_default"](image=tf.constant(images, tf.float32))
    foreign = sorted({"tost_tf", "tf_keras", "tensorflow_model_optimization"} & set(sys.modules))
    if foreign:
        sys.exit(f"the SavedModel was meant to load without {', '.join(foreign)}")
    variables = [variable.numpy() for variable in loaded.network_variables]
    np.savez(
        output_file,
        logits=outputs["logits"].numpy(),
        probabilities=outputs["probabilities"].numpy(),
        sizes=[variable.size for variable in variables],
        zeros=[variable.size - np.count_nonzero(variable) for variable in variables],
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

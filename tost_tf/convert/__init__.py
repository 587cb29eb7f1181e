"""Conversion between tf_keras and Keras 3, layer by layer: only configs and weights are read."""

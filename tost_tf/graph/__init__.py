"""A Keras model as a graph of calls of layers: reading it, and calling it again with other layers."""

"""The communication between devices in a traced training step."""

from __future__ import annotations

import collections

import numpy as np

from tost_tf.compat import keras, tf


def collective_operations(model: keras.Model, batches: tf.data.Dataset) -> collections.Counter:
    """Counts the collective operations in a training step of `model`, by type and number of elements reduced.

    They are counted in the traced step and in all functions it calls, for every replica of this process. Nothing is
    run.

    Args:
      model: built and compiled in the scope of a distribution strategy.
      batches: the training data.

    Returns:
      (type of the operation, number of elements or -1 if unknown) -> count.
    """
    strategy = model.distribute_strategy
    iterator = iter(strategy.experimental_distribute_dataset(batches))
    with strategy.scope():
        step = tf.function(lambda data: strategy.run(model.train_step, args=(next(data),)))
        graph = step.get_concrete_function(iterator).graph
    definition = graph.as_graph_def(add_shapes=True)
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    reduced = (node for node in nodes if node.op.startswith("Collective") and "Reduce" in node.op)
    return collections.Counter((node.op, _elements(node)) for node in reduced)


def _elements(node) -> int:
    shape = tf.TensorShape(node.attr["_output_shapes"].list.shape[0])
    return int(np.prod(shape.as_list())) if shape.is_fully_defined() else -1

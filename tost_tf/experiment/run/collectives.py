"""What a traced training step sends between devices."""

from __future__ import annotations

import collections

import numpy as np

from tost_tf.compat import keras, tf


def collective_operations(model: keras.Model, batches: tf.data.Dataset) -> collections.Counter:
    """How many collective operations a training step of `model` has, by their type and the shape they reduce.

    Counted in the traced step of a model that was compiled and made in the scope of a distribution strategy, in all
    functions it calls; operations of every replica of this process are counted. Nothing is run.

    Args:
      model: a compiled model.
      batches: what it would be fitted on.

    Returns:
      (type of the operation, number of elements; -1 where it is not known) -> how often.
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

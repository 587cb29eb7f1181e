"""Functions that use second derivatives of a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tost_tf.compat import keras, tf
from tost_tf.compat.derivatives import bias_gradients_as_sums, exact_moments
from tost_tf.errors import TostError
from tost_tf.graph.one_view import one_view

# Operations that call another graph.
CALLS = ("PartitionedCall", "StatefulPartitionedCall", "If", "StatelessIf", "While", "StatelessWhile")
# In it TensorFlow rightly treats the largest value as constant: the result does not depend on it.
SAFE = "ReduceLogSumExp"
# Prefixes of TensorFlow's names of operations and graphs that belong to a derivative; there stop_gradient is right.
DERIVATIVES = ("gradient_tape/", "gradients/", "__inference__jvp")


def twice_differentiable(
    function: Callable[..., list[tf.Tensor]], model: keras.Model, variables: Sequence[tf.Variable]
) -> Callable[..., list[tf.Tensor]]:
    """A `tf.function` of `function`, in which second derivatives of the model are right.

    For this, the variances of normalisations are computed differently (`tost_tf.compat.exact_moments`).

    Args:
      function: takes tensors; calls `model` and differentiates twice.
      model: of the function, for error messages.
      variables: the variables of differentiation.

    Raises:
      TostError: raised by the returned function: an operation of the model has no second derivative, or the model stops
        gradients of `variables` (`tf.stop_gradient`, as in batch renormalisation), so second derivatives are wrong.
    """
    problems: list[str] = []

    @tf.function(reduce_retracing=True)
    def traced(*arguments):
        with exact_moments(), bias_gradients_as_sums(), one_view(model):
            try:
                results = function(*arguments)
            except LookupError as error:
                missing = re.search(r"gradient registry has no entry for: (\w+)", str(error))
                if missing:
                    problems.append(f"{model.name} has an operation without a second derivative ({missing[1]})")
                raise
        if not tf.executing_eagerly():
            problems.extend(
                f"{model.name} stops gradients (tf.stop_gradient) in {name}, which makes second derivatives wrong"
                for name in _held_back(variables)
            )
        return results

    def call(*arguments: tf.Tensor) -> list[tf.Tensor]:
        try:
            results = traced(*arguments)
        except Exception:
            # Raised below, outside of tracing: TensorFlow would add places in the code to the message.
            if not problems:
                raise
        if problems:
            raise TostError(f"{problems[0]}: GraSP, the rescaled initialisation and the Hessian cannot be computed")
        return results

    return call


def _held_back(variables: Sequence[tf.Variable]) -> list[str]:
    """The operations of the graph being traced that stop gradients of values that depend on the variables."""
    graph = tf.compat.v1.get_default_graph()
    handles = {id(variable.handle) for variable in variables}
    reached = {inner.op for outer, inner in graph.captures if id(outer) in handles}
    found, calls = [], False
    for operation in graph.get_operations():  # each after those it reads
        if operation.name.startswith(DERIVATIVES) or not any(read.op in reached for read in operation.inputs):
            continue
        reached.add(operation)
        calls = calls or operation.type in CALLS
        if operation.type == "StopGradient" and SAFE not in operation.name:
            found.append(operation.name)
    if calls:
        found += [
            f"{function.signature.name}/{node.name}"
            for function in graph.as_graph_def().library.function
            if not function.signature.name.startswith(DERIVATIVES)
            for node in function.node_def
            if node.op == "StopGradient" and SAFE not in node.name and not node.name.startswith(DERIVATIVES)
        ]
    return found

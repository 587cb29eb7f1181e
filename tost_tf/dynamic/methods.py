"""The methods of dynamic sparse training: what each grows, and whether it prunes as well."""

import dataclasses

from tost_tf.dynamic.growth import Growth, gradient_growth, random_growth


@dataclasses.dataclass(frozen=True)
class Method:
    """Drops the smallest |weights| of each layer, and grows as many among all places that are not kept then.

    Attributes:
      growth: scores where to grow.
      needs_gradient: whether that looks at the gradient.
      prunes: whether each update first prunes globally by magnitude, down to the run's sparsity.
    """

    growth: Growth
    needs_gradient: bool
    prunes: bool = False


SET = Method(random_growth, needs_gradient=False)
RIGL = Method(gradient_growth, needs_gradient=True)
# Liu et al. 2021, "Sparse Training via Boosting Pruning Plasticity with Neuroregeneration".
GRANET = Method(gradient_growth, needs_gradient=True, prunes=True)

"""A small network in NumPy and double precision, its derivatives by hand: what the numbers of the code are held to.

Two convolutions (3x3, "same", the second with stride 2), a hidden and a last dense layer, with BatchNormalization and
ReLU behind all but the last:

    conv1 - bn1 - ReLU - conv2 - bn2 - ReLU - flatten - hidden - bn3 - ReLU - logits

Everything is analytic where it is differentiable (no absolute values, no conjugates), so that `derivative` is exact to
the last digits: the imaginary part after a step of 1e-30 in an imaginary direction has no rounding of differences.
"""

import numpy as np

EPSILON = 1e-3  # of all BatchNormalizations
STRIDES = {"conv1": 1, "conv2": 2}
SHAPES = {
    "conv1/kernel": (3, 3, 2, 3),
    "bn1/gamma": (3,),
    "bn1/beta": (3,),
    "conv2/kernel": (3, 3, 3, 4),
    "bn2/gamma": (4,),
    "bn2/beta": (4,),
    "hidden/kernel": (36, 5),
    "bn3/gamma": (5,),
    "bn3/beta": (5,),
    "logits/kernel": (5, 3),
    "logits/bias": (3,),
}
KERNELS = tuple(path for path in SHAPES if path.endswith("kernel"))
IMAGE, CLASSES = (6, 6, 2), 3


def parameters(seed=0):
    """Path -> array, with nothing at zero or one."""
    generator = np.random.default_rng(seed)
    drawn = {}
    for path, shape in SHAPES.items():
        scale = np.sqrt(2 / np.prod(shape[:-1])) if path in KERNELS else 0.3
        drawn[path] = generator.normal(1.0 if path.endswith("gamma") else 0.0, scale, shape)
    return drawn


def examples(count, seed=1):
    """Images and one-hot labels."""
    generator = np.random.default_rng(seed)
    return generator.normal(size=(count, *IMAGE)), np.eye(CLASSES)[generator.integers(0, CLASSES, count)]


def forward(values, images, statistics=None):
    """The logits, and what the backward pass needs of each layer.

    Args:
      values: the parameters by path.
      images: [batch, 6, 6, 2].
      statistics: "bn1" -> mean and variance, for inference mode; `None` takes those of the batch.
    """
    kept, x = {}, images
    for number in (1, 2, 3):
        name = ("conv1", "conv2", "hidden")[number - 1]
        kept[name] = x
        if name == "hidden":
            x = x.reshape(len(x), -1) @ values["hidden/kernel"]
        else:
            x = _convolve(x, values[f"{name}/kernel"], STRIDES[name])
        bn = f"bn{number}"
        x, kept[bn] = _normalise(x, values[f"{bn}/gamma"], values[f"{bn}/beta"], statistics and statistics[bn])
        kept[f"relu{number}"] = x.real > 0
        x = x * kept[f"relu{number}"]
    kept["logits"] = x
    return x @ values["logits/kernel"] + values["logits/bias"], kept


def losses(values, images, labels, temperature=1.0, statistics=None):
    """The cross-entropy of each example, of its logits divided by a temperature."""
    logits = forward(values, images, statistics)[0] / temperature
    return np.log(np.exp(logits).sum(1)) - (labels * logits).sum(1)


def gradients(values, images, labels, temperature=1.0, statistics=None):
    """Path -> gradient of the sum of the examples' cross-entropies."""
    logits, kept = forward(values, images, statistics)
    exponentials = np.exp(logits / temperature)
    slope = (exponentials / exponentials.sum(1, keepdims=True) * labels.sum(1, keepdims=True) - labels) / temperature
    found = {"logits/kernel": kept["logits"].T @ slope, "logits/bias": slope.sum(0)}
    slope = slope @ values["logits/kernel"].T
    for number in (3, 2, 1):
        name = ("conv1", "conv2", "hidden")[number - 1]
        bn = f"bn{number}"
        slope = slope.reshape(kept[f"relu{number}"].shape) * kept[f"relu{number}"]
        slope, found[f"{bn}/gamma"], found[f"{bn}/beta"] = _normalise_backward(
            slope, values[f"{bn}/gamma"], kept[bn], statistics is None
        )
        if name == "hidden":
            read = kept[name].reshape(len(slope), -1)
            found["hidden/kernel"], slope = read.T @ slope, slope @ values["hidden/kernel"].T
        else:
            found[f"{name}/kernel"], slope = _convolve_backward(
                kept[name], values[f"{name}/kernel"], STRIDES[name], slope
            )
    return {path: found[path] for path in SHAPES}


def batch_statistics(values, images):
    """ "bn1" -> mean and variance of a batch."""
    kept = forward(values, images)[1]
    return {bn: (kept[bn]["mean"], kept[bn]["variance"]) for bn in ("bn1", "bn2", "bn3")}


def derivative(function, values, direction):
    """Of what `function` makes of the parameters, an array or a dict of arrays, along a direction by path."""
    step = 1e-30
    moved = {path: value + 1j * step * direction.get(path, 0.0) for path, value in values.items()}
    result = function(moved)
    if isinstance(result, dict):
        return {path: value.imag / step for path, value in result.items()}
    return np.imag(result) / step


def assert_same(found, expected):
    """Equal to 1e-7, by element: an element has to be a millionth of the largest to have an error of 1e-6 unseen."""
    assert list(found) == list(expected)
    for path, value in expected.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(found[path], value, rtol=1e-7, atol=1e-13 * scale, err_msg=path)


def _patches(x, stride):
    """For each of the 3x3 places of a kernel the part of the image it meets; zeros around it as TensorFlow pads."""
    size = x.shape[1]
    out = -(-size // stride)
    missing = max((out - 1) * stride + 3 - size, 0)
    padded = np.pad(x, ((0, 0), *[(missing // 2, missing - missing // 2)] * 2, (0, 0)))
    for row, column in np.ndindex(3, 3):
        rows, columns = (slice(start, start + (out - 1) * stride + 1, stride) for start in (row, column))
        yield (row, column), padded, (slice(None), rows, columns)


def _convolve(x, kernel, stride):
    return sum(padded[part] @ kernel[place] for place, padded, part in _patches(x, stride))


def _convolve_backward(x, kernel, stride, slope):
    of_kernel, of_padded = np.zeros(kernel.shape, slope.dtype), None
    for place, padded, part in _patches(x, stride):
        of_padded = np.zeros(padded.shape, slope.dtype) if of_padded is None else of_padded
        of_kernel[place] = np.einsum("nijc,nijd->cd", padded[part], slope)
        of_padded[part] += slope @ kernel[place].T
    before = (of_padded.shape[1] - x.shape[1]) // 2
    inside = slice(before, before + x.shape[1])
    return of_kernel, of_padded[:, inside, inside]


def _normalise(x, gamma, beta, statistics):
    axes = tuple(range(x.ndim - 1))
    mean, variance = statistics or (x.mean(axes), ((x - x.mean(axes)) ** 2).mean(axes))
    deviation = np.sqrt(variance + EPSILON)
    normal = (x - mean) / deviation
    return gamma * normal + beta, {"mean": mean, "variance": variance, "deviation": deviation, "normal": normal}


def _normalise_backward(slope, gamma, kept, of_batch):
    """By the input, gamma and beta. Mean and variance of a batch move with the input, stored ones do not."""
    axes = tuple(range(slope.ndim - 1))
    normal = kept["normal"]
    of_gamma, of_beta = (slope * normal).sum(axes), slope.sum(axes)
    of_normal = slope * gamma
    if of_batch:
        of_normal = of_normal - of_normal.mean(axes) - normal * (of_normal * normal).mean(axes)
    return of_normal / kept["deviation"], of_gamma, of_beta

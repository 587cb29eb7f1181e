"""A small masked network in NumPy and double precision, derived by hand: the reference, which knows no TensorFlow.

    image [5, 4, 2] -> conv1 3x3, 3 channels -> norm1 -> ReLU -> conv2 3x3 with stride 2, 4 channels, bias -> norm2
    -> ReLU -> logits of 3 classes, bias

Convolutions pad as "SAME" does, which is uneven where the stride is 2. Weights have the names and shapes of Keras.
"""

import dataclasses

import numpy as np

Arrays = dict[str, np.ndarray]

IMAGE = (5, 4, 2)
CLASSES = 3
KERNELS = {"conv1/kernel": (3, 3, 2, 3), "conv2/kernel": (3, 3, 3, 4), "logits/kernel": (24, 3)}
OTHERS = {"norm1/gamma": 3, "norm1/beta": 3, "conv2/bias": 4, "norm2/gamma": 4, "norm2/beta": 4, "logits/bias": 3}
STATISTICS = {"norm1/moving_mean": 3, "norm1/moving_variance": 3, "norm2/moving_mean": 4, "norm2/moving_variance": 4}
EPSILON = 1e-3
MOVING = 0.99


def initial_weights(seed: int) -> tuple[Arrays, Arrays]:
    """Weights and statistics, none of them where Keras would start."""
    generator = np.random.default_rng(seed)
    weights = {name: generator.normal(0, 0.4, shape) for name, shape in {**KERNELS, **OTHERS}.items()}
    weights |= {name: 1 + weights[name] for name in weights if name.endswith("gamma")}
    statistics = {name: generator.normal(0, 0.3, shape) for name, shape in STATISTICS.items()}
    return weights, {name: np.exp(v) if "variance" in name else v for name, v in statistics.items()}


def initial_masks(seed: int, density: float) -> Arrays:
    """0/1 masks of the kernels."""
    generator = np.random.default_rng(seed)
    return {name: (generator.random(shape) < density).astype(float) for name, shape in KERNELS.items()}


def examples(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and one-hot labels."""
    generator = np.random.default_rng(seed)
    return generator.normal(size=(count, *IMAGE)), np.eye(CLASSES)[generator.integers(0, CLASSES, count)]


def windows(x: np.ndarray, stride: int) -> np.ndarray:
    """What each place of a 3x3 convolution sees: [batch, rows, columns, channels, 3, 3]."""
    padding = [(0, 0), *(_padding(size, stride) for size in x.shape[1:3]), (0, 0)]
    seen = np.lib.stride_tricks.sliding_window_view(np.pad(x, padding), (3, 3), axis=(1, 2))
    return seen[:, ::stride, ::stride]


def convolved(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    return np.einsum("brcnij,ijno->brco", windows(x, stride), kernel)


def convolution_gradients(
    x: np.ndarray, kernel: np.ndarray, stride: int, by_output: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """By the input and by the kernel."""
    by_kernel = np.einsum("brcnij,brco->ijno", windows(x, stride), by_output)
    (top, bottom), (left, right) = (_padding(size, stride) for size in x.shape[1:3])
    rows, columns = x.shape[1:3]
    padded = np.zeros((len(x), rows + top + bottom, columns + left + right, x.shape[3]))
    last_row, last_column = (stride * (size - 1) + 1 for size in by_output.shape[1:3])
    for i in range(3):
        for j in range(3):
            padded[:, i : i + last_row : stride, j : j + last_column : stride] += by_output @ kernel[i, j].T
    return padded[:, top : top + rows, left : left + columns], by_kernel


def _padding(size: int, stride: int) -> tuple[int, int]:
    total = max((-(-size // stride) - 1) * stride + 3 - size, 0)
    return total // 2, total - total // 2


@dataclasses.dataclass
class Normalised:
    """A batch normalised by its own statistics, and what its derivative needs."""

    values: np.ndarray
    centred: np.ndarray
    inverse: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> "Normalised":
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        inverse = 1 / np.sqrt(variance + EPSILON)
        centred = (x - mean) * inverse
        return cls(gamma * centred + beta, centred, inverse, mean, variance)

    def gradients(self, gamma: np.ndarray, by_values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """By what was normalised, by gamma and by beta."""
        axes = (0, 1, 2)
        by_gamma, by_beta = (by_values * self.centred).sum(axes), by_values.sum(axes)
        size = by_values[..., 0].size
        by_input = gamma * self.inverse * (by_values - by_beta / size - self.centred * by_gamma / size)
        return by_input, by_gamma, by_beta


def loss_and_gradients(
    weights: Arrays, images: np.ndarray, labels: np.ndarray, smoothing: float = 0.0
) -> tuple[float, Arrays, dict[str, Normalised]]:
    """The mean cross-entropy in training mode, its gradients by every weight, and the two normalisations.

    Returns:
      Loss, name -> gradient, name of the normalisation -> `Normalised`.
    """
    first = convolved(images, weights["conv1/kernel"], 1)
    norm1 = Normalised.of(first, weights["norm1/gamma"], weights["norm1/beta"])
    hidden = np.maximum(norm1.values, 0)
    second = convolved(hidden, weights["conv2/kernel"], 2) + weights["conv2/bias"]
    norm2 = Normalised.of(second, weights["norm2/gamma"], weights["norm2/beta"])
    flat = np.maximum(norm2.values, 0).reshape(len(images), -1)
    logits = flat @ weights["logits/kernel"] + weights["logits/bias"]
    logits = logits - logits.max(1, keepdims=True)
    log_probabilities = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    targets = labels * (1 - smoothing) + smoothing / CLASSES
    loss = -(targets * log_probabilities).sum(1).mean()

    g: Arrays = {}
    by_logits = (np.exp(log_probabilities) - targets) / len(images)
    g["logits/kernel"], g["logits/bias"] = flat.T @ by_logits, by_logits.sum(0)
    by_norm2 = (by_logits @ weights["logits/kernel"].T).reshape(norm2.values.shape) * (norm2.values > 0)
    by_second, g["norm2/gamma"], g["norm2/beta"] = norm2.gradients(weights["norm2/gamma"], by_norm2)
    g["conv2/bias"] = by_second.sum((0, 1, 2))
    by_hidden, g["conv2/kernel"] = convolution_gradients(hidden, weights["conv2/kernel"], 2, by_second)
    by_norm1 = by_hidden * (norm1.values > 0)
    by_first, g["norm1/gamma"], g["norm1/beta"] = norm1.gradients(weights["norm1/gamma"], by_norm1)
    _, g["conv1/kernel"] = convolution_gradients(images, weights["conv1/kernel"], 1, by_first)
    return loss, g, {"norm1": norm1, "norm2": norm2}


def inferred(weights: Arrays, statistics: Arrays, images: np.ndarray) -> np.ndarray:
    """Logits in inference mode."""

    def normalised(x: np.ndarray, name: str) -> np.ndarray:
        inverse = 1 / np.sqrt(statistics[f"{name}/moving_variance"] + EPSILON)
        centred = (x - statistics[f"{name}/moving_mean"]) * inverse
        return weights[f"{name}/gamma"] * centred + weights[f"{name}/beta"]

    x = np.maximum(normalised(convolved(images, weights["conv1/kernel"], 1), "norm1"), 0)
    x = convolved(x, weights["conv2/kernel"], 2) + weights["conv2/bias"]
    x = np.maximum(normalised(x, "norm2"), 0).reshape(len(images), -1)
    return x @ weights["logits/kernel"] + weights["logits/bias"]


@dataclasses.dataclass
class MaskedTraining:
    """SGD with momentum and a coupled L2 penalty on masked kernels, as PyTorch's SGD: weight -= rate · momentum."""

    weights: Arrays
    statistics: Arrays
    masks: Arrays
    rate: float = 0.1
    factor: float = 0.9
    decay: float = 2e-4
    smoothing: float = 0.0

    def __post_init__(self):
        self.weights = {name: value * self.masks.get(name, 1.0) for name, value in self.weights.items()}
        self.statistics = dict(self.statistics)
        self.momenta = {name: np.zeros_like(value) for name, value in self.weights.items()}
        self.gradients: Arrays = {}

    def step(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Trains one step and returns the loss before it; `gradients` are its dense ones then."""
        loss, self.gradients, norms = loss_and_gradients(self.weights, images, labels, self.smoothing)
        for name, weight in self.weights.items():
            self.momenta[name] = self.factor * self.momenta[name] + self.gradients[name] + self.decay * weight
            self.weights[name] = (weight - self.rate * self.momenta[name]) * self.masks.get(name, 1.0)
        for name, norm in norms.items():
            for kind, value in (("moving_mean", norm.mean), ("moving_variance", norm.variance)):
                path = f"{name}/{kind}"
                self.statistics[path] = MOVING * self.statistics[path] + (1 - MOVING) * value
        return loss

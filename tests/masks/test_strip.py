import numpy as np
import pytest

import tost_tf as tost
from tests.exhaustive import exhaustive
from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.graph.kernels import prunable_weights


@pytest.mark.parametrize("ghosted", [True, exhaustive(False)])
def test_exactly_masked_plain_model(small_model, small_images, ghosted):
    masks = tost.masks.random(small_model, sparsity=0.8)
    sparse = tost.sparsify(small_model, masks)
    model = tost.GhostModel(sparse) if ghosted else sparse
    model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
    model.fit(*small_images, epochs=2, verbose=0)
    final = tost.strip(model, ghosts="remove")
    assert final.get_config() == small_model.get_config()
    for path, mask in masks.items():
        name, _, attribute = path.partition("/")
        kernel = getattr(final.get_layer(name), attribute).numpy()
        np.testing.assert_array_equal(kernel == 0, mask == 0, err_msg=path)
    np.testing.assert_array_equal(final(small_images[0]), sparse(small_images[0]))


def test_other_objects_are_refused():
    with pytest.raises(TostError, match="expected a functional or Sequential"):
        tost.strip(3)


optimizers = keras.optimizers
OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adamw": lambda: optimizers.AdamW(0.01, weight_decay=0.1),
    "adam": lambda: optimizers.Adam(0.01, amsgrad=True, global_clipnorm=1.0),
    "legacy": lambda: optimizers.legacy.Adam(0.01),
    "loss scaling": lambda: keras.mixed_precision.LossScaleOptimizer(optimizers.SGD(0.1, momentum=0.9)),
    "averaged at the end": lambda: optimizers.SGD(0.1, momentum=0.9, use_ema=True, ema_momentum=0.9),
    "averaged every 2": lambda: optimizers.Lion(0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=2),
    "orthogonal": lambda: tost.OrthogonalSGD(0.05),
}


def attending_network() -> keras.Model:
    x = keras.Input((4, 3))
    return keras.Model(x, keras.layers.Dense(2)(keras.layers.Flatten()(keras.layers.MultiHeadAttention(2, 3)(x, x))))


# An average that writes weights, one that Keras no longer maintains, and the project's own; the others with `--all`.
QUICK = ("averaged every 2", "legacy", "orthogonal")


@pytest.mark.parametrize(
    "make",
    [pytest.param(m, id=n, marks=[] if n in QUICK else pytest.mark.exhaustive) for n, m in OPTIMIZERS.items()],
)
def test_the_network_in_training_is_the_stripped_one_whatever_writes_its_weights(make, tmp_path):
    model = attending_network()
    masks = tost.masks.random(model, sparsity=0.6)
    sparse = tost.sparsify(model, masks)
    generator = np.random.default_rng(2)
    inputs, targets = generator.normal(size=(12, 4, 3)).astype("float32"), generator.normal(size=(12, 2))

    def require_same(network: keras.Model) -> None:
        final = tost.strip(network, ghosts="remove")
        for path, kernel in prunable_weights(final).items():
            assert not kernel.numpy()[masks[path] == 0].any()
        np.testing.assert_allclose(network(inputs), final(inputs), atol=1e-6)

    sparse.compile(make(), "mse")
    file = str(tmp_path / "epoch{epoch}.weights.h5")
    saved = keras.callbacks.ModelCheckpoint(file, save_weights_only=True)
    looked = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: require_same(sparse))
    sparse.fit(inputs, targets, batch_size=4, epochs=2, verbose=0, callbacks=[saved, looked])
    require_same(sparse)
    other = tost.sparsify(model, masks)
    for epoch in (1, 2):
        other.load_weights(file.format(epoch=epoch))
        require_same(other)
    trainable = {id(weight) for weight in other.trainable_weights}
    other.set_weights([w.numpy() + 3 if id(w) in trainable else w.numpy() for w in other.weights])
    require_same(other)

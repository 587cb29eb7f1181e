import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras
from tost_tf.errors import TostError


@pytest.mark.parametrize("ghosted", [True, False])
def test_exactly_masked_plain_model(small_model, small_images, ghosted):
    masks = tost.masks.random(small_model, sparsity=0.8)
    sparse = tost.sparsify(small_model, masks)
    model = tost.GhostModel(sparse) if ghosted else sparse
    model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
    model.fit(*small_images, epochs=2, verbose=0)
    final = tost.strip(model)
    assert final.get_config() == small_model.get_config()
    for path, mask in masks.items():
        name, _, attribute = path.partition("/")
        kernel = getattr(final.get_layer(name), attribute).numpy()
        np.testing.assert_array_equal(kernel == 0, mask == 0, err_msg=path)
    np.testing.assert_array_equal(final(small_images[0]), sparse(small_images[0]))


def test_other_objects_are_refused():
    with pytest.raises(TostError, match="expected a functional or Sequential"):
        tost.strip(3)

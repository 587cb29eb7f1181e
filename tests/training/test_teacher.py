"""Teachers are real SavedModels on disk."""

import numpy as np
import pytest

import tost_tf as tost
from tost_tf.compat import keras, tf
from tost_tf.data.pipeline import first_examples, normalise
from tost_tf.errors import TostError
from tost_tf.training.teacher import Teacher


def network(shape, classes):
    image = keras.Input(shape, name="image")
    x = keras.layers.Conv2D(3, 3, activation="relu")(image)
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(image, keras.layers.Dense(classes)(keras.layers.Flatten()(x)))


@pytest.fixture
def exported(small_data, tmp_path):
    """A network for `small_data` and where it is exported, with a normalisation of its own in the file."""
    model = network(small_data.image_shape, 4)
    tost.export.saved_model(model, tmp_path / "teacher", (0.4, 0.5, 0.6), (0.3, 0.2, 0.1))
    return model, tmp_path / "teacher"


def test_teacher_sees_the_pixels_whatever_the_student_is_given(exported, small_data):
    model, path = exported
    pixels = small_data.test.images
    expected = model((pixels / 255.0 - (0.4, 0.5, 0.6)) / (0.3, 0.2, 0.1)).numpy()
    np.testing.assert_allclose(Teacher(path, small_data)(normalise(pixels, small_data)), expected, atol=1e-4)


def test_teacher_is_in_inference_mode_and_gets_no_gradient(exported, small_data):
    _, path = exported
    teacher = Teacher(path, small_data)
    images = normalise(small_data.test.images, small_data)
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = teacher(images)
    assert tape.gradient(logits, images) is None
    # In training mode BatchNormalization would make an image's logits depend on the others beside it.
    np.testing.assert_allclose(teacher(images[:1]), logits[:1], atol=1e-5)


def test_teachers_that_do_not_fit_are_refused(small_data, tmp_path):
    with pytest.raises(TostError, match="the teacher .*nowhere' cannot be loaded: "):
        Teacher(tmp_path / "nowhere", small_data)
    tost.export.saved_model(network((8, 8, 1), 4), tmp_path / "other")
    with pytest.raises(TostError, match=r"takes images of shape \(8, 8, 1\), the dataset has \(6, 5, 3\)"):
        Teacher(tmp_path / "other", small_data)
    tost.export.saved_model(network((6, 5, 3), 7), tmp_path / "other")
    with pytest.raises(TostError, match="distinguishes 7 classes, the dataset has 4"):
        Teacher(tmp_path / "other", small_data)
    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    with pytest.raises(TostError, match="from one input to logits, it has none to none"):
        Teacher(tmp_path / "empty", small_data)
    (tmp_path / "other/saved_model.pb").write_bytes(b"broken")
    with pytest.raises(TostError, match="cannot be loaded"):
        Teacher(tmp_path / "other", small_data)


def served(path, batch, function):
    """A SavedModel that takes `batch` images at once."""
    module = tf.Module()
    signature = [tf.TensorSpec((batch, 6, 5, 3), tf.float32, name="image")]
    serve = tf.function(lambda image: {"logits": function(image)}, input_signature=signature)
    tf.saved_model.save(module, str(path), signatures={"serving_default": serve})
    return path


def test_teachers_that_do_not_work_are_found_by_trying(exported, small_data, tmp_path):
    images, labels = first_examples(small_data, small_data.train, 2)
    Teacher(exported[1], small_data).try_out(images, labels)
    eight = served(tmp_path / "eight", 8, lambda image: tf.reshape(image, (8, 90))[:, :4])
    with pytest.raises(TostError, match="eight' cannot be run on 2 images: "):
        Teacher(eight, small_data).try_out(images, labels)
    broken = served(tmp_path / "broken", None, lambda image: tf.math.log(-1.0 - image[:, 0, :4, 0]))
    with pytest.raises(
        TostError, match=r"broken' gives logits of shape \[2, 4\] for 2 images, the first nan: a finite"
    ):
        Teacher(broken, small_data).try_out(images, labels)
    fewer = served(tmp_path / "fewer", None, lambda image: tf.reshape(image, tf.stack([-1, 3])))
    with pytest.raises(TostError, match=r"gives logits of shape \[60, 3\] for 2 images"):
        teacher = Teacher.__new__(Teacher)
        teacher.__dict__.update(vars(Teacher(exported[1], small_data)), path=fewer)
        teacher._signature = tf.saved_model.load(str(fewer)).signatures["serving_default"]
        teacher.try_out(images, labels)


def test_teacher_of_bytes_gets_every_pixel_right(small_data, tmp_path):
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec((None, 6, 5, 3), tf.uint8, name="image")])
    def serve(image):
        return {"logits": tf.reshape(tf.cast(image, tf.float32), (-1, 90))[:, :4]}

    tf.saved_model.save(module, str(tmp_path / "bytes"), signatures={"serving_default": serve})
    pixels = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None, None, None], (256, 6, 5, 3))
    logits = Teacher(tmp_path / "bytes", small_data)(normalise(pixels, small_data))
    np.testing.assert_array_equal(logits[:, 0], np.arange(256))

"""Which devices a run uses."""

from tost_tf.compat import tf


def distribution_strategy(name: str) -> tf.distribute.Strategy:
    """The strategy for `--distribution`.

    Args:
      name: "none" for one device; "mirrored" for all GPUs of this machine (its CPU devices where there is no GPU);
        "auto" for "mirrored" where there are several GPUs, else "none".
    """
    gpus = tf.config.list_logical_devices("GPU")
    if name == "none" or (name == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    devices = gpus or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])

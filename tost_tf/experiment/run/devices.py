"""Which devices a run uses."""

from __future__ import annotations

import os

from tost_tf.compat import tf
from tost_tf.errors import TostError
from tost_tf.experiment.machine import MachineConfig


def split_cpu(devices: int) -> None:
    """Makes TensorFlow use the CPU as that many devices, to try out `mirrored`; 0 changes nothing.

    Must be called before TensorFlow has used any device in this process.

    Raises:
      TostError: there are GPUs, which would be used instead, or TensorFlow has already set up its devices.
    """
    if not devices:
        return
    gpus = len(tf.config.list_physical_devices("GPU"))
    if gpus:
        raise TostError(
            f"--virtual_devices={devices} splits the CPU, but this machine has {gpus} GPU(s): leave it out, or hide "
            "them with CUDA_VISIBLE_DEVICES=-1"
        )
    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or [None]) == devices:
        return
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    except RuntimeError:
        raise TostError(
            f"--virtual_devices={devices} comes too late: TensorFlow has already set up its devices in this process; "
            "launch the run in a new one"
        ) from None


def distribution_strategy(machine: MachineConfig) -> tf.distribute.Strategy:
    """The strategy for `--distribution`.

    "none" is one device. "mirrored" is all GPUs of this machine (or its CPU devices if it has no GPU). "auto" is
    "mirrored" if there are several GPUs or virtual devices, else "none". "multi_worker" is all GPUs (or the CPU) of
    each machine in `TF_CONFIG`; then this must be called in every process before any other TensorFlow call. "tpu" is
    the TPU of this machine, or the one `TPU_NAME` names.

    Raises:
      TostError: there is no TPU, or `--jit_compile` is used with several devices.
    """
    strategy = _named(machine)
    if machine.jit_compile and strategy.num_replicas_in_sync > 1:
        raise TostError(
            f"--jit_compile works on one device, there are {strategy.num_replicas_in_sync}: leave it out, or give "
            "--distribution=none"
        )
    return strategy


def _named(machine: MachineConfig) -> tf.distribute.Strategy:
    if machine.distribution == "multi_worker":
        options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=machine.worker_timeout)
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    if machine.distribution == "tpu":
        return _tpu()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    several = len(devices) > 1 and (devices[0].device_type == "GPU" or machine.virtual_devices)
    if machine.distribution == "none" or (machine.distribution == "auto" and not several):
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _tpu() -> tf.distribute.Strategy:
    """Written according to TensorFlow's guide; it has never been run on a TPU."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(os.environ.get("TPU_NAME") or "local")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0][:100]
        raise TostError(
            f"--distribution=tpu finds no TPU here ({reason}): choose a TPU runtime, or set TPU_NAME"
        ) from None
    return tf.distribute.TPUStrategy(resolver)

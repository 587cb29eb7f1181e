"""Images and labels: loading and splitting, augmentation, and the `tf.data` pipeline."""

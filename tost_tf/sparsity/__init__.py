"""Fixed sparsity on Keras models, by a wrapper of tensorflow-model-optimization."""

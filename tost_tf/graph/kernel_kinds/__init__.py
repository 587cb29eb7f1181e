"""Where layers hold kernels that can be pruned: one file a kind of layer, each in `registry.KERNEL_KINDS`."""

"""Where layers hold kernels that can be pruned: one file for each kind of layer, each in `registry.KERNEL_KINDS`."""

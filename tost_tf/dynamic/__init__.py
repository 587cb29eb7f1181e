"""Dynamic sparse training: masks that change while the network trains."""

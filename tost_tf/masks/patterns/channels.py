"""Whole channels."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import numpy as np

from tost_tf.compat import keras
from tost_tf.errors import TostError
from tost_tf.graph.kernel_kinds.kind import Axes
from tost_tf.masks.patterns.division import channels_of
from tost_tf.masks.patterns.pattern import Pattern, ranked_kernels

if TYPE_CHECKING:
    from tost_tf.masks.channel_selection import ChannelSelection


@dataclasses.dataclass(frozen=True)
class Channels(Pattern):
    """Filters are kept or removed whole, together with all weights that read their output.

    Channels that are added to each other, normalised, or filtered by a depthwise convolution belong together, and are
    removed in all these layers or in none. So a removed channel is not read by anything, and `tost_tf.compact` makes
    the network smaller by it. The outputs of the model, and channels that reach a layer of an unknown kind, stay. Each
    kernel keeps at least one channel. A layer left dense keeps all its filters, and all weights that read others.

    The sparsity counts all weights that are removed, so at sparsity s a layer between two others keeps about
    sqrt(1 - s) of its channels. The best channels are kept, as many as bring the number of kept weights nearest to the
    requested one.

    Hardware computes channels in blocks, of 8 or 16 as a rule, and a part of one takes longer than its share.
    "channels:16" keeps multiples of 16 of the channels that the same layers write and read, or all of them. Masks found
    so have the pattern "channels" as well, and that is what `masks.pattern` says; of a mask that is given, only that is
    checked.

    Attributes:
      multiple: M in "channels:M", at least 1.
    """

    multiple: int = 1
    form = "channels"
    has_layer_sparsity = False
    cannot_grow = "a channel that grows has zeros before and behind it, so that no gradient would reach it"

    @property
    def text(self) -> str:
        return self.form if self.multiple == 1 else f"{self.form}:{self.multiple}"

    @classmethod
    def parse(cls, text: str) -> Channels | None:
        if text == cls.form:
            return cls()
        if not text.startswith(f"{cls.form}:"):
            return None
        match = re.fullmatch(rf"{cls.form}:(\d{{1,6}})", text)
        if match is None or not int(match[1]):
            raise TostError(f"the mask pattern {text[:60]!r} is not channels:M, such as channels:16: multiples of M")
        return cls(int(match[1]))

    @property
    def needs(self) -> str:
        return "channels that may be removed on one side of a kernel at least"

    def divide(self, shape: tuple[int, ...], axes: Axes) -> None:
        raise TostError("the pattern channels belongs to a whole network, since other layers read the output of one")

    def has_units(self, mask: np.ndarray, axes: Axes) -> bool:
        """Whether a kernel keeps all weights between some inputs and some outputs."""
        channels = channels_of(mask.shape, axes)
        if channels is None:
            return False
        kept = channels.sorted(mask) > 0
        if channels.inputs == 1 and set(axes[0]) <= set(axes[1]):
            return bool((kept == kept[:1]).all())
        return bool((kept == (kept.any(axis=(0, 2))[:, None] & kept.any(axis=(0, 1)))).all())

    def selection(self, model: keras.Model, dense_layers: str = "") -> ChannelSelection:
        from tost_tf.compaction.joined import joined_channels  # which brings TensorFlow
        from tost_tf.masks.channel_selection import ChannelSelection

        kernels = ranked_kernels(model, dense_layers)
        uses = joined_channels(model, kernels)
        self.require_none([path for path in kernels if path not in uses or not uses[path].can_shrink], kernels)
        sizes = {path: channels_of(shape, axes) for path, (shape, axes) in kernels.items()}
        return ChannelSelection(uses, {path: (kernels[path][0], sizes[path]) for path in kernels}, self.multiple)

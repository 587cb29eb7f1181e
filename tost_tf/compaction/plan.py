"""Which channels of each tensor stay."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from tost_tf.compaction.fill import filled
from tost_tf.compaction.graph import Graph, Tensor
from tost_tf.compaction.merge import Sum
from tost_tf.compaction.rule import Constants, Rule
from tost_tf.compaction.rules import rules_of
from tost_tf.compaction.ties import classes_of
from tost_tf.compaction.weighted import Weighted


class Plan:
    """The part of a graph that stays: the fewest channels from which these rules can compute the same outputs.

    First constants are propagated forwards, then need is propagated backwards. The outputs of the model are needed.
    Inputs of a needed output are needed, except constant ones: the bias takes them in. Channels that are tied (by a
    sum, an activation, ...) are needed together. What is not needed is removed. If a term of a sum turns out to be
    constant, it is removed, and the search is repeated without the layers that computed it.

    Args:
      graph: the model.
      only_zeros: whether no constant but zero counts as one, so that no bias has to take in anything.
      multiple: of channels that layers with a kernel keep where they can, see `filled`; at least 1.

    Attributes:
      rules: one for each call.
    """

    def __init__(self, graph: Graph, only_zeros: bool = False, multiple: int = 1):
        self.graph, self._only_zeros = graph, only_zeros
        self.rules = rules_of(graph)
        self._constants = self._propagated()
        self._number_atoms()
        self._kept = np.full(self._size, True)
        self._kept = self._needed_atoms()
        while self._sums_lose_terms():
            self._kept = self._needed_atoms()
        if multiple > 1:
            rules = [(rule, self._constants_for(rule)) for rule in self.used_rules]
            self._kept = filled(self._kept, self._classes(), rules, self._atoms, multiple)

    def kept(self, tensor: Tensor) -> np.ndarray:
        """Which channels of a tensor stay, booleans [channels]."""
        return self._kept[self._atoms(tensor)]

    def constants(self, rule: Rule) -> list[Constants]:
        """The constants of the inputs of a call."""
        return [self._constants[tensor.key] for tensor in rule.inputs]

    def _constants_for(self, rule: Rule) -> list[Constants]:
        return [self.agreed_constants(rule)] if isinstance(rule, Weighted) else self.constants(rule)

    def agreed_constants(self, rule: Rule) -> Constants:
        """The constants of the first input that are the same in all calls of the layer: they share one bias."""
        calls = [other for other in self._calls_of[id(rule.layer)] if other in self._used_rules]
        first, *others = [self.constants(other)[0] for other in calls]
        for other in others:
            first = np.where(first == other, first, np.nan) if first.shape == other.shape else first * np.nan
        return first

    @property
    def used_rules(self) -> list[Rule]:
        """The rules of the calls from which the outputs are computed, in order."""
        return [rule for rule in self.rules if rule in self._used_rules]

    @property
    def changes_nothing(self) -> bool:
        """Whether every call and every channel stays."""
        no_term_is_gone = not any(isinstance(rule, Sum) and rule.gone for rule in self.rules)
        return bool(self._kept.all()) and no_term_is_gone and len(self._used_rules) == len(self.rules)

    def _propagated(self) -> dict[str, Constants]:
        constants = {
            key: np.full(Tensor(key, shape).channels, np.nan)
            for key, shape in zip(self.graph.inputs, self.graph.input_shapes, strict=True)
        }
        for rule in self.rules:
            found = rule.constants([constants[tensor.key] for tensor in rule.inputs])
            found = [np.where(value == 0, 0.0, np.nan) for value in found] if self._only_zeros else found
            constants |= {tensor.key: value for tensor, value in zip(rule.outputs, found, strict=True)}
        return constants

    def _number_atoms(self) -> None:
        """Gives every channel of every tensor a number."""
        self._starts, self._size = {}, 0
        for key, constants in self._constants.items():
            self._starts[key] = self._size
            self._size += constants.size
        self._calls_of = defaultdict(list)
        for rule in self.rules:
            self._calls_of[id(rule.layer)].append(rule)
        self._used_rules = set(self.rules)

    def _atoms(self, tensor: Tensor) -> np.ndarray:
        return self._atoms_under(tensor.key)

    def _atoms_under(self, key: str) -> np.ndarray:
        return self._starts[key] + np.arange(self._constants[key].size)

    def _sums_lose_terms(self) -> bool:
        sums = [rule for rule in self.used_rules if isinstance(rule, Sum)]
        return any([rule.leave_out(self.constants(rule), self.kept(rule.outputs[0])) for rule in sums])

    def _find_used(self) -> None:
        """Finds the calls from which the outputs are computed, given what is kept so far."""
        needed, used = set(self.graph.outputs), set()
        for rule in reversed(self.rules):
            if any(tensor.key in needed for tensor in rule.outputs):
                used.add(rule)
                needed |= {rule.inputs[index].key for index in rule.used([self.kept(t) for t in rule.inputs])}
        self._used_rules, self._used_tensors = used, needed

    def _classes(self) -> np.ndarray:
        """For each atom, the number of the class of atoms it is tied to."""
        return classes_of(self.used_rules, self._atoms, self._size)

    def _pinned(self) -> np.ndarray:
        pins = [atoms for rule in self.used_rules for atoms in rule.pinned(self._atoms)]
        return np.concatenate([self._atoms_under(key) for key in (*self.graph.inputs, *self.graph.outputs)] + pins)

    def _needed_atoms(self) -> np.ndarray:
        """Which atoms are needed, booleans [atoms]. Only atoms that were kept before can be needed."""
        self._find_used()
        before, classes = self._kept, self._classes()
        readers = [
            (rule, self.agreed_constants(rule)) for rule in reversed(self.used_rules) if isinstance(rule, Weighted)
        ]
        needed = np.zeros(classes.max(initial=-1) + 1, bool)
        needed[classes[self._pinned()]] = True
        while True:
            self._spread(needed, classes, readers)
            self._kept = needed[classes]
            self._find_used()
            empty = next((key for key in self._order() if not self._kept[self._atoms_under(key)].any()), None)
            if empty is None:
                return self._kept
            needed[classes[self._one_of(empty, before)]] = True

    def _spread(self, needed: np.ndarray, classes: np.ndarray, readers: list[tuple[Weighted, Constants]]) -> None:
        """Propagates need from outputs to inputs until nothing is added."""
        grows = True
        while grows:
            grows = False
            for rule, constants in readers:
                kept = needed[classes[self._atoms(rule.outputs[0])]]
                atoms = self._atoms(rule.inputs[0])[rule.needed(constants, kept)]
                grows |= not needed[classes[atoms]].all()
                needed[classes[atoms]] = True

    def _order(self) -> list[str]:
        """The tensors in use that have channels, the last first: each layer needs at least one channel."""
        return [key for key in reversed(self._constants) if key in self._used_tensors and self._constants[key].size]

    def _one_of(self, key: str, before: np.ndarray) -> int:
        """The atom that stays of a tensor that is not needed: a constant one if possible, its filter reads nothing."""
        atoms = self._atoms_under(key)
        atoms = atoms[before[atoms]]
        constant = ~np.isnan(self._constants[key][atoms - self._starts[key]])
        return int(atoms[np.argmax(constant)])

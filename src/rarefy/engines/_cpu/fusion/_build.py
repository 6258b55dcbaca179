"""From a traced piece of a model to a region: which operations, and what each may leave out."""

from __future__ import annotations

import dataclasses
from typing import cast

from torch import fx, nn

from rarefy.engines._cpu.blocked._pattern import Pattern, full
from rarefy.engines._cpu.fusion import _supported
from rarefy.engines._cpu.fusion._layers import SparseConv2d, SparseLinear, conv_weights
from rarefy.engines._cpu.fusion._operations import Activate, Convolve, Operation, Term
from rarefy.engines._cpu.fusion._pooling import Flatten, Pool
from rarefy.engines._cpu.fusion._run import Region


@dataclasses.dataclass
class _Pending:
    """An activation that nobody has asked for yet: what follows may join it."""

    terms: list[Term]
    relu: bool = False
    value: int | None = None


class Builder:
    """Turns the nodes of a supported graph into a region.

    Args:
        graph: A graph whose nodes are all supported.
        modules: Its modules by name.
    """

    def __init__(self, graph: fx.Graph, modules: dict[str, nn.Module]) -> None:
        self.modules = modules
        self.operations: list[Operation] = []
        self.made: dict[fx.Node, int | _Pending] = {}
        self.count = 0
        self.graph = graph

    def build(self) -> Region:
        """The region of the whole graph."""
        inputs: list[int] = []
        outputs: list[int] = []
        for node in self.graph.nodes:
            if node.op == "placeholder":
                self.made[node] = self.new()
                inputs.append(self.value(node))
            elif node.op == "output":
                results = node.args[0]
                outputs = [self.value(n) for n in (results if isinstance(results, tuple | list) else [results])]
            else:
                self.made[node] = self.make(node)
        self.link(outputs)
        return Region(inputs, outputs, self.operations)

    def new(self) -> int:
        """The number of another value."""
        self.count += 1
        return self.count - 1

    def value(self, node: fx.Node) -> int:
        """The number of a node's value; an activation nobody asked for yet is made now."""
        made = self.made[node]
        if isinstance(made, int):
            return made
        if made.value is None:
            made.value = self.new()
            self.operations.append(Activate(made.terms, made.relu, made.value))
        return made.value

    def make(self, node: fx.Node) -> int | _Pending:
        """What a node is."""
        kind, sources = _supported.kind(node, self.modules), node.all_input_nodes
        module = self.modules.get(str(node.target)) if node.op == "call_module" else None
        if kind == "convolution":
            return self.convolution(module, self.value(sources[0]))
        if kind == "norm":
            assert isinstance(module, nn.BatchNorm2d)
            return _Pending([Term(self.value(sources[0]), module)])
        if kind == "relu":
            before = self.made[sources[0]]
            if isinstance(before, _Pending) and not before.relu and before.value is None and len(sources[0].users) == 1:
                return _Pending(before.terms, relu=True)
            return _Pending([Term(self.value(sources[0]), None)], relu=True)
        if kind == "add":
            return _Pending([self.term(argument) for argument in node.args if isinstance(argument, fx.Node)])
        if kind == "flatten":
            return self.follow(Flatten(self.value(sources[0]), self.new()))
        window, largest = _supported.window(node, module)
        pooled = self.follow(Pool(self.value(sources[0]), self.new(), window, largest))
        return self.follow(Flatten(pooled, self.new())) if kind == "mean" else pooled

    def term(self, node: fx.Node) -> Term:
        """A node as an addend: batch norm nobody else reads becomes part of the sum."""
        made = self.made[node]
        alone = isinstance(made, _Pending) and made.value is None and not made.relu and len(node.users) == 1
        if isinstance(made, _Pending) and alone and len(made.terms) == 1:
            return made.terms[0]
        return Term(self.value(node), None)

    def convolution(self, module: nn.Module | None, source: int) -> int:
        """A sparse layer, or a dense convolution as one that keeps everything."""
        if isinstance(module, SparseConv2d | SparseLinear):
            return self.follow(Convolve(module.weights(), source, self.new()))
        assert isinstance(module, nn.Conv2d)
        pattern: Pattern = full(module.weight.shape)
        return self.follow(
            Convolve(conv_weights(module, pattern, cast(nn.Parameter, module.weight)), source, self.new())
        )

    def follow(self, operation: Convolve | Pool | Flatten) -> int:
        """Adds an operation; the number of its result."""
        self.operations.append(operation)
        return operation.result

    def link(self, outputs: list[int]) -> None:
        """Who measures moments for batch norm, what need not be stored, who finishes whose gradient."""
        makers = {operation.result: operation for operation in self.operations}
        for operation in self.operations:
            if not isinstance(operation, Activate):
                continue
            for term in operation.terms:
                maker = makers.get(term.value)
                if term.norm is not None and isinstance(maker, Convolve):
                    maker.norms.append(term.norm)
            readers = [reader for reader in self.operations if operation.result in reader.sources()]
            recompute = all(isinstance(reader, Convolve | Pool) for reader in readers)
            operation.stored = len(operation.terms) > 1 or operation.result in outputs or not recompute
            if readers and isinstance(readers[0], Convolve):
                readers[0].finishes = operation

"""The steps of a fused region, each forwards and backwards: convolution, activation, pooling."""

from __future__ import annotations

import dataclasses

import numpy as np
from torch import nn

from rarefy.engines._cpu.blocked import _calls
from rarefy.engines._cpu.blocked._calls import After, Slope, Source
from rarefy.engines._cpu.blocked._geometry import Shape
from rarefy.engines._cpu.blocked._memory import EMPTY, Array, Maps, constant
from rarefy.engines._cpu.blocked._weights import Weights
from rarefy.engines._cpu.fusion._pooling import Flatten, Pool
from rarefy.engines._cpu.fusion._run import Run
from rarefy.engines._cpu.kernels import _elementwise
from rarefy.engines._cpu.kernels._emit import CHUNKS
from rarefy.errors import InvalidInput

Norm = nn.modules.batchnorm._BatchNorm


@dataclasses.dataclass
class Convolve:
    """A sparse convolution or linear layer.

    Args:
        weights: Its numbers.
        source: Value it reads.
        result: Value it makes.
        norms: Batch norms that follow and may want the moments.
        finishes: The activation that made the source, where this is the last to add to its gradient.
    """

    weights: Weights
    source: int
    result: int
    norms: list[Norm] = dataclasses.field(default_factory=list)
    finishes: Activate | None = None

    def parameters(self) -> list[nn.Parameter]:
        """Values and bias."""
        return [p for p in (self.weights.values, self.weights.bias) if p is not None]

    def sources(self) -> tuple[int, ...]:
        """Values it reads."""
        return (self.source,)

    def forward(self, run: Run) -> None:
        """The convolution and, while its output is in the cache, the moments of it."""
        source = run.values[self.source]
        maps, weights = source.maps, self.weights
        shape = weights.shape(maps)
        reads = weights.pattern.forward_reads(shape, CHUNKS)
        out = Maps(maps.images, shape.weight[0], *shape.out, rows=maps.rows)
        bias = constant(out.channels, 0) if weights.bias is None else run.number(weights.bias)
        measured = any(norm.training or norm.running_mean is None for norm in self.norms)
        moments = _calls.convolve(reads, run.number(weights.values), bias, source, out, moments=measured)
        run.values[self.result] = Source.plain(out)
        if measured:
            run.moments[self.result] = moments

    def backward(self, run: Run) -> None:
        """The weight's gradient, the bias', and the source's."""
        slope = run.slope(self.result)
        if slope is None:
            return
        source, weights = run.values[self.source], self.weights
        shape = weights.shape(source.maps)
        if any(parameter.requires_grad for parameter in self.parameters()):
            reads = weights.pattern.forward_reads(shape, CHUNKS)
            values, bias = _calls.correlate(reads, source, slope, bias=weights.bias is not None)
            run.learn(weights.values, values)
            if weights.bias is not None:
                run.learn(weights.bias, bias)
        if self.source in run.wanted:
            self._source_gradient(run, source.maps, slope, shape)

    def _source_gradient(self, run: Run, maps: Maps, slope: Slope, shape: Shape) -> None:
        reads = self.weights.pattern.backward_reads(shape, CHUNKS)
        values = run.number(self.weights.values)
        if reads.order is not None:
            values = values[reads.order]
        others = run.gradient(self.source) if self.finishes or run.pending(self.source) else None
        if self.finishes is None:
            after = _calls.NOTHING if others is None else _calls.adding(others)
        else:
            after = self.finishes.after(run, others)
        out = maps.like()
        sums = _calls.convolve_back(reads, values, slope, out, after)
        if self.finishes is None:
            run.give(self.source, Slope.plain(out))
        else:
            run.finished[self.source] = (out, sums)


@dataclasses.dataclass
class Term:
    """One addend of an activation: a value, through batch norm or not."""

    value: int
    norm: Norm | None


@dataclasses.dataclass
class Activate:
    """Batch norm, the sum of one or two such terms, and ReLU.

    Args:
        terms: One or two.
        relu: Whether a ReLU follows.
        result: Value it makes.
        stored: Whether it is stored; else its readers work it out again from the term.
    """

    terms: list[Term]
    relu: bool
    result: int
    stored: bool = True

    def parameters(self) -> list[nn.Parameter]:
        """Batch norm's scales and shifts."""
        norms = [term.norm for term in self.terms if term.norm is not None]
        return [p for norm in norms for p in (norm.weight, norm.bias) if p is not None]

    def sources(self) -> tuple[int, ...]:
        """Values it reads."""
        return tuple(term.value for term in self.terms)

    def forward(self, run: Run) -> None:
        """Works out batch norm's numbers; stores the result only where it must."""
        sources = [run.values[term.value] for term in self.terms]
        numbers = [self._numbers(run, term, source.maps) for term, source in zip(self.terms, sources, strict=True)]
        first = sources[0].maps
        if not self.stored:
            run.values[self.result] = Source(first, *numbers[0], self.relu)
            return
        out = first.like()
        (a, c), second = numbers[0], sources[1].maps if len(sources) > 1 else None
        b = numbers[1][0] if second else a
        _calls.add(out, first, second, a, b, c + numbers[1][1] if second else c, relu=self.relu)
        run.values[self.result] = Source.plain(out)

    def _numbers(self, run: Run, term: Term, maps: Maps) -> tuple[Array, Array]:
        norm = term.norm
        if norm is None:
            return constant(maps.channels, 1), constant(maps.channels, 0)
        batch = norm.training or norm.running_mean is None
        track = norm.training and norm.running_mean is not None
        moments = np.empty((1, 0, 3))
        if batch:
            if maps.count == 1:
                raise InvalidInput(f"Batch norm in training needs more than one value a channel; got 1 in {norm}.")
            moments = run.moments[term.value] if term.value in run.moments else _calls.moments_of(maps)
        factor = 0.0
        if track and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
            factor = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        kept = (norm.running_mean, norm.running_var)
        mean, variance = (EMPTY if buffer is None else run.buffer(buffer) for buffer in kept)
        scale, shift = (
            constant(maps.channels, default) if parameter is None else run.number(parameter)
            for parameter, default in ((norm.weight, 1), (norm.bias, 0))
        )
        result = _elementwise.norm_forward(moments, scale, shift, norm.eps, factor, mean, variance, batch, track)
        run.norms[id(term)] = result
        return result[2], result[3]

    def after(self, run: Run, add: Maps | None) -> After:
        """What must follow the gradient of the result: mask of the ReLU, batch norm's sums."""
        seen = run.values[self.result]
        normed = [term for term in self.terms if term.norm is not None]
        maps = [run.values[term.value].maps.data for term in normed] + [seen.maps.data] * 2
        means = [run.norms[id(term)][0] for term in normed] + [EMPTY, EMPTY]
        return After(
            True,
            add is not None,
            self.relu,
            len(normed),
            add.data if add else EMPTY,
            seen.maps.data,
            seen.a,
            seen.c,
            *(maps[0], means[0], maps[1], means[1]),
            _calls.NOTHING.sums,
        )

    def backward(self, run: Run) -> None:
        """Through the ReLU and batch norm to the terms."""
        done = run.finished.pop(self.result, None)
        if done is None:
            gradient = run.gradient(self.result)
            if gradient is None:
                return
            if not self.relu and not any(term.norm for term in self.terms):
                done = gradient, np.empty((0, 0, 3))
            else:
                out = gradient.like()
                done = out, _calls.finish_all(out, gradient, self.after(run, None))
        place = 0
        for term in self.terms:
            place += term.norm is not None
            self._term(run, term, *done, place)

    def _term(self, run: Run, term: Term, g: Maps, sums: _calls.Sums, place: int) -> None:
        slope = Slope.plain(g)
        if term.norm is not None:
            norm, maps = term.norm, run.values[term.value].maps
            scale = constant(g.channels, 1) if norm.weight is None else run.number(norm.weight)
            batch = norm.training or norm.running_mean is None
            result = _elementwise.norm_backward(sums, place, maps.count, scale, run.norms[id(term)], batch)
            for parameter, gradient in ((norm.weight, result[0]), (norm.bias, result[1])):
                if parameter is not None:
                    run.learn(parameter, gradient)
            slope = Slope(g, maps if batch else None, result[2], result[3], result[4])
        if term.value in run.wanted:
            run.give(term.value, slope)


Operation = Convolve | Activate | Pool | Flatten

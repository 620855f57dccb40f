"""Recurrent layers: the interface of ``torch.nn.RNN``, ``LSTM`` and ``GRU`` plus ``momentum=rule``.

One layer in one direction is two stages. Time-major data flows through :meth:`_Recurrent._run`:

    x (T, B, I) --rule--> drive --recurrence--> outputs (T, B, H)

Everything before it brings input and state into that form; everything after it takes them back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, layer_norm, linear, pad
from torch.nn.utils.rnn import PackedSequence

from torchmomentum.nn._regularization import Regularization
from torchmomentum.nn._rules import (
    AdamState,
    LookaheadState,
    NesterovLookahead,
    Rule,
    RuleState,
    bounded,
)
from torchmomentum.ops import Modifiers, Problem, run, scan, steps_alive
from torchmomentum.ops.cells import find

Memory: TypeAlias = "tuple[RuleState, ...]"


class _Sequence(NamedTuple):
    """Input in the one form that the layers work on, and the way back to the caller's."""

    data: Tensor  # (T, B, I)
    batched: bool = True
    packed: PackedSequence | None = None
    lengths: Tensor | None = None  # (B,); packed ones in decreasing order
    alive: Tensor | None = None  # (T, B), whether a step counts


def _unpack(packed: PackedSequence) -> _Sequence:
    sizes = packed.batch_sizes.to(packed.data.device)
    batch = int(packed.batch_sizes[0])
    alive = torch.arange(batch, device=sizes.device) < sizes.unsqueeze(1)
    padded = _to_padded(packed.data, alive)
    return _Sequence(padded, packed=packed, lengths=alive.sum(0), alive=alive)


def _to_padded(data: Tensor, alive: Tensor) -> Tensor:
    padded = data.new_zeros(*alive.shape, data.shape[-1])
    return padded.masked_scatter(alive.unsqueeze(-1), data)


def _flip(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Reverses time, each sequence within its own length."""
    if lengths is None:
        return x.flip(0)
    time, batch = x.shape[:2]
    forward = torch.arange(time, device=x.device).unsqueeze(1)  # (T, 1)
    source = torch.where(forward < lengths, lengths - 1 - forward, forward)  # (T, B)
    return x[source, torch.arange(batch, device=x.device)]


def _before_last(out: Tensor, first: Tensor, lengths: Tensor | None) -> Tensor:
    """The state before each sequence's last step, of outputs ``(T, B, H)`` and ``first``."""
    if lengths is None:
        return torch.cat([first.unsqueeze(0), out[-2:]])[-2]
    rows = torch.arange(out.shape[1], device=out.device)
    return torch.where(lengths.unsqueeze(1) > 1, out[(lengths - 2).clamp(min=0), rows], first)


def _stack(parts: tuple[Tensor, ...]) -> Tensor:
    return parts[0].unsqueeze(0) if len(parts) == 1 else torch.stack(parts)


def _index(state: Tensor, order: Tensor | None, dim: int) -> Tensor:
    return state if order is None else state.index_select(dim, order)


def _map_memory(memory: Memory, change: Any) -> Memory:
    def rebuild(state: RuleState) -> RuleState:
        changed = [change(t) for t in state]
        return type(state)(*changed) if hasattr(state, "_fields") else tuple(changed)

    return tuple(rebuild(state) for state in memory)


class _Recurrent(nn.RNNBase):
    """What :class:`RNN`, :class:`LSTM` and :class:`GRU` share."""

    _kind: str

    def __init__(
        self,
        mode: str,
        *args: Any,
        momentum: Rule | None,
        recurrent_dropout: float,
        weight_dropout: float,
        zoneout: float | tuple[float, float],
        layer_norm: bool,
        **kwargs: Any,
    ) -> None:
        if momentum is not None and not isinstance(momentum, Rule):
            raise TypeError(
                "momentum must be a rule such as torchmomentum.nn.Momentum(0.6, 0.6) or None, "
                f"got {type(momentum).__name__}"
            )
        if not isinstance(layer_norm, bool):
            raise TypeError(f"layer_norm must be a bool, got {type(layer_norm).__name__}")
        self.regularization = Regularization.checked(
            recurrent_dropout, weight_dropout, zoneout, 2 if mode == "LSTM" else 1
        )
        self.layer_norm = False
        super().__init__(mode, *args, **kwargs)
        weight: Tensor = getattr(self, "weight_ih_l0")  # noqa: B009 - the type is not declared
        self.layer_norm = layer_norm
        if layer_norm:
            for name, width in self._norms():
                self.register_parameter(name, nn.Parameter(weight.new_empty(width)))
            self._reset_norms()
        if momentum is not None:
            momentum = momentum.to(device=weight.device)
        self.momentum = momentum

    def reset_parameters(self) -> None:
        """Draws all weights and biases as ``torch.nn`` does; sets learned hyperparameters back."""
        bound = self.hidden_size**-0.5
        for names in self._all_weights:
            for name in names:
                nn.init.uniform_(getattr(self, name), -bound, bound)
        if self.layer_norm:
            self._reset_norms()
        rule: Rule | None = getattr(self, "momentum", None)
        if rule is not None:
            rule.reset_parameters()

    def _norms(self) -> list[tuple[str, int]]:
        """The normalizations' parameters by name, and how wide they are."""
        found = []
        for layer in range(self.num_layers):
            for direction in range(self._directions):
                suffix = self._suffix(layer * self._directions + direction)
                rows = getattr(self, f"weight_hh{suffix}").shape[0]
                found += [(f"norm_ih{suffix}", rows), (f"norm_hh{suffix}", rows)]
                if self.mode == "LSTM":
                    size = self.hidden_size
                    found += [(f"norm_c{suffix}", size), (f"norm_c_bias{suffix}", size)]
        return found

    def _reset_norms(self) -> None:
        for name, _ in self._norms():
            nn.init.constant_(getattr(self, name), 0.0 if "bias" in name else 1.0)

    def extra_repr(self) -> str:
        """What the original shows, and what this layer does besides."""
        besides = {k: v for k, v in self.regularization._asdict().items() if v}
        if self.layer_norm:
            besides["layer_norm"] = True
        return ", ".join([super().extra_repr(), *(f"{k}={v}" for k, v in besides.items())])

    # --- state --------------------------------------------------------------------------------

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _suffix(self, k: int) -> str:
        """What the names of the parameters of one layer and direction end with."""
        layer, direction = divmod(k, self._directions)
        return f"_l{layer}" + ("_reverse" if direction else "")

    def _state_widths(self) -> tuple[int, ...]:
        return (self.hidden_size,)

    def _filters_input(self, rule: Rule) -> bool:
        """Whether a rule runs on the input: one that commutes with all up to the gates."""
        return rule.linear and not self.layer_norm

    def _memory_width(self, layer: int) -> int:
        """How many channels the rule of a layer carries: its input's, or its gates'."""
        weight: Tensor = getattr(self, f"weight_ih_l{layer}")
        rule, width = self.momentum, weight.shape[0]
        if rule is not None and self._filters_input(rule):
            width = weight.shape[1] + (1 if self.bias else 0)
        ahead = isinstance(rule, NesterovLookahead)  # whose state holds an h as well
        return width + (self._state_widths()[0] if ahead else 0)

    def _zeros(self, batch: int, like: Tensor) -> tuple[Tensor, ...]:
        layers = self.num_layers * self._directions
        return tuple(like.new_zeros(layers, batch, width) for width in self._state_widths())

    def initial_state(
        self,
        batch_size: int | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Any:
        """Zeros to start streaming from: what :meth:`forward` then takes and returns.

        Args:
            batch_size: The batch, or None for unbatched input.
            device: Where; by default where the weights are.
            dtype: Of which type; by default that of the weights. The momentum is kept in float32
                where this is shorter.

        Returns:
            The state of the torch namesake with the momentum's behind it, one entry for each layer
            and direction.
        """
        weight: Tensor = getattr(self, "weight_ih_l0")  # noqa: B009 - the type is not declared
        device = weight.device if device is None else torch.device(device)
        like = torch.empty(0, device=device, dtype=weight.dtype if dtype is None else dtype)
        if batch_size is not None and (isinstance(batch_size, bool) or batch_size < 0):
            raise ValueError(f"batch_size must be at least 0, got {batch_size!r}")
        states = self._zeros(1 if batch_size is None else batch_size, like)
        memory: Memory | None = None
        if self.momentum is not None:
            wide = torch.promote_types(like.dtype, torch.float32)
            memory = tuple(
                self.momentum.initial_state(
                    states[0].shape[1], self._memory_width(layer), device=device, dtype=wide
                )
                for layer in range(self.num_layers)
                for _ in range(self._directions)
            )
        if batch_size is None:
            states = tuple(s.squeeze(1) for s in states)
            memory = None if memory is None else _map_memory(memory, lambda t: t.squeeze(0))
        return self._join_state(states, memory)

    def _join_state(self, states: tuple[Tensor, ...], memory: Memory | None) -> Any:
        """The state as the caller sees it."""
        if memory is None:
            return states[0]
        return states[0], memory

    def _split_state(self, hx: Any) -> tuple[tuple[Tensor, ...], Memory | None]:
        """The hidden tensors and, where the caller passed it, the momentum."""
        if isinstance(hx, Tensor):
            return (hx,), None
        if isinstance(hx, (tuple, list)) and len(hx) == 2 and isinstance(hx[0], Tensor):
            return (hx[0],), self._check_memory(hx[1])
        raise TypeError(f"{self._kind}: hx must be a tensor h or (h, momentum), got {_kinds(hx)}")

    def _check_memory(self, memory: Any) -> Memory:
        if self.momentum is None:
            raise ValueError(f"{self._kind} without a momentum rule takes no momentum state")
        expected = self.num_layers * self._directions
        if not isinstance(memory, (tuple, list)) or len(memory) != expected:
            raise TypeError(
                f"{self._kind}: the momentum state must hold one entry for each of the {expected} "
                f"layers and directions, as initial_state() makes it, got {_kinds(memory)}"
            )
        return tuple(memory)

    def _check_ranks(self, states: tuple[Tensor, ...], batched: bool) -> None:
        expected, kind = (3, "batched 3-D") if batched else (2, "unbatched 2-D")
        if states[0].dim() != expected:
            raise RuntimeError(
                f"For {kind} input, hx should also be {expected}-D but got "
                f"{states[0].dim()}-D tensor"
            )

    def _check_states(self, states: tuple[Tensor, ...], batch: int) -> None:
        shape = (self.num_layers * self._directions, batch, self.hidden_size)
        self.check_hidden_size(states[0], shape)

    def _prepare_state(
        self, hx: Any, sequence: _Sequence
    ) -> tuple[tuple[Tensor, ...], Memory | None]:
        batch = sequence.data.shape[1]
        if hx is None:
            return self._zeros(batch, sequence.data), None
        states, memory = self._split_state(hx)
        self._check_ranks(states, sequence.batched)
        if not sequence.batched:
            states = tuple(s.unsqueeze(1) for s in states)
            memory = None if memory is None else _map_memory(memory, lambda t: t.unsqueeze(0))
        self._check_states(states, batch)
        if self.momentum is not None and not torch.compiler.is_compiling():
            for k, state in enumerate(memory or ()):
                width = self._memory_width(k // self._directions)
                self.momentum.check_state(state, batch, width, f"momentum[{k}]")
        if sequence.packed is not None:
            order = sequence.packed.sorted_indices
            states = tuple(_index(s, order, 1) for s in states)
            memory = memory and _map_memory(memory, lambda t: _index(t, order, 0))
        return states, memory

    # --- input and output ---------------------------------------------------------------------

    def _check_lengths(self, given: Any, data: Tensor) -> Tensor:
        time, batch = data.shape[:2]
        lengths = torch.as_tensor(given, device=data.device)
        if lengths.is_floating_point() or lengths.dtype == torch.bool or lengths.is_complex():
            raise TypeError(f"lengths must be integers, got {lengths.dtype}")
        if tuple(lengths.shape) != (batch,):
            raise ValueError(
                f"lengths must have shape ({batch},), one for each sequence, "
                f"got {tuple(lengths.shape)}"
            )
        if not torch.compiler.is_compiling() and batch:
            low, high = (int(edge) for edge in torch.aminmax(lengths))
            if low < 1 or high > time:
                raise ValueError(f"lengths must be in [1, {time}], got {low} to {high}")
        return lengths.long()

    def _prepare_input(self, input: Tensor | PackedSequence, lengths: Any) -> _Sequence:
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise ValueError("a PackedSequence has its lengths in itself: pass no others")
            self.check_input(input.data, input.batch_sizes)
            return _unpack(input)
        if input.dim() not in (2, 3):
            raise ValueError(
                f"{self._kind}: Expected input to be 2D or 3D, got {input.dim()}D instead"
            )
        batched = input.dim() == 3
        data = input if batched else input.unsqueeze(0 if self.batch_first else 1)
        self.check_input(data, None)
        if self.batch_first:
            data = data.transpose(0, 1)
        if data.shape[0] == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        if lengths is None:
            return _Sequence(data, batched)
        if not batched:
            raise ValueError("lengths are for a batch; cut an unbatched sequence instead")
        lengths = self._check_lengths(lengths, data)
        alive = steps_alive(len(data), lengths)
        # whatever stands in the padding, a NaN too, has no part in values and gradients
        data = data.masked_fill(~alive, 0)
        return _Sequence(data, batched, lengths=lengths, alive=alive.squeeze(-1))

    def _finish_output(self, data: Tensor, sequence: _Sequence) -> Tensor | PackedSequence:
        if sequence.packed is not None and sequence.alive is not None:
            return sequence.packed._replace(data=data[sequence.alive])
        if sequence.alive is not None:
            data = data.masked_fill(~sequence.alive.unsqueeze(-1), 0)
        if self.batch_first:
            data = data.transpose(0, 1)
        return data if sequence.batched else data.squeeze(0 if self.batch_first else 1)

    def _finish_state(
        self, states: tuple[Tensor, ...], memory: Memory | None, sequence: _Sequence
    ) -> Any:
        if sequence.packed is not None:
            order = sequence.packed.unsorted_indices
            states = tuple(_index(s, order, 1) for s in states)
            memory = memory and _map_memory(memory, lambda t: _index(t, order, 0))
        elif not sequence.batched:
            states = tuple(s.squeeze(1) for s in states)
            memory = memory and _map_memory(memory, lambda t: t.squeeze(0))
        return self._join_state(states, memory)

    # --- the computation ----------------------------------------------------------------------

    def forward(self, input: Any, hx: Any = None, *, lengths: Any = None) -> Any:
        """Runs the layers over a sequence.

        Args:
            input: ``(T, B, I)``, ``(B, T, I)`` with ``batch_first``, ``(T, I)`` unbatched, or a
                ``PackedSequence``.
            hx: The state as the torch namesake takes it, or the same with the momentum's state
                behind it (see :meth:`initial_state`). None starts from zeros.
            lengths: How many steps of each sequence of a padded batch count, ``(B,)`` in any order:
                an alternative to a ``PackedSequence``. The outputs are zero behind them, the state
                is that of each sequence's last step, and what stands in the padding has no part in
                anything. None for all steps.

        Returns:
            The outputs in the form of the input, and the state in the form of ``hx``.

        Raises:
            ValueError: Input of another rank or type than expected, or lengths that do not fit it.
            RuntimeError: Input or state of another size than expected.
            TypeError: A state of another structure than expected.
        """
        sequence = self._prepare_input(input, lengths)
        states, memory = self._prepare_state(hx, sequence)
        data = sequence.data
        last_states: list[tuple[Tensor, ...]] = []
        last_memory: list[RuleState] = []
        for layer in range(self.num_layers):
            outputs: list[Tensor] = []
            for direction in range(self._directions):
                k = layer * self._directions + direction
                start = tuple(s[k] for s in states)
                held = None if memory is None else memory[k]
                out, last, kept = self._run(k, data, start, held, sequence, direction == 1)
                outputs.append(out)
                last_states.append(last)
                last_memory.append(kept)
            data = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
            if self.dropout and self.training and layer < self.num_layers - 1:
                data = dropout(data, self.dropout)
        stacked = tuple(_stack(parts) for parts in zip(*last_states, strict=True))
        remembered = None if memory is None else tuple(last_memory)
        return (
            self._finish_output(data, sequence),
            self._finish_state(stacked, remembered, sequence),
        )

    def _weights(
        self, k: int
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]:
        """``weight_ih, weight_hh, bias_ih, bias_hh, weight_hr`` of one layer and direction."""
        named: Iterator[Tensor] = (getattr(self, name) for name in self._all_weights[k])
        weight_ih, weight_hh = next(named), next(named)
        bias_ih, bias_hh = (next(named), next(named)) if self.bias else (None, None)
        return weight_ih, weight_hh, bias_ih, bias_hh, next(named, None)

    def _run(
        self,
        k: int,
        x: Tensor,
        state: tuple[Tensor, ...],
        memory: RuleState | None,
        sequence: _Sequence,
        reverse: bool,
    ) -> tuple[Tensor, tuple[Tensor, ...], RuleState]:
        """One layer in one direction: the rule along time, then the recurrence."""
        lengths, rule = sequence.lengths, self.momentum
        if reverse:
            x = _flip(x, lengths)
        weight_ih, weight_hh, bias_ih, bias_hh, weight_hr = self._weights(k)
        weight_hh = self.regularization.weight(weight_hh, self.training)
        weights = (weight_ih, weight_hh, bias_ih, bias_hh, weight_hr)
        goes_on = memory is not None
        options, memory = self._options(k, x, state, memory)
        kept: RuleState = ()
        fused = self._recur_fused(x, state, weights, memory, lengths, options)
        if fused is not None:
            results, kept = fused
        elif self.layer_norm or not (rule is None or rule.linear):
            drive = self._drive(k, x, weight_ih, bias_ih)
            if rule is not None:
                drive, kept = rule.scan(drive, memory, lengths)
            recurrent = (weight_hh, bias_hh, weight_hr)
            results = self._recur(drive, state, recurrent, sequence, options)
        else:
            if rule is not None:
                # y_t = W v_t + b a_t, where the rule makes v_t of x_t and a_t of ones
                x, kept = rule.scan(
                    x if bias_ih is None else pad(x, (0, 1), value=1.0), memory, lengths
                )
                if bias_ih is not None:
                    weight_ih = torch.cat([weight_ih, bias_ih.unsqueeze(1)], 1)
                    bias_ih = torch.zeros_like(bias_ih)
            weights = (weight_ih, weight_hh, bias_ih, bias_hh, weight_hr)
            results = self._recur_native(x, state, weights, sequence, options)
        out, *last = results
        if isinstance(rule, NesterovLookahead) and goes_on:
            kept = rule.join(LookaheadState(*kept), _before_last(out, state[0], lengths))
        return _flip(out, lengths) if reverse else out, tuple(last), kept

    def _options(
        self, k: int, x: Tensor, state: tuple[Tensor, ...], memory: RuleState | None
    ) -> tuple[Modifiers, RuleState | None]:
        """What the recurrence does besides, and what of the memory is left to the rule."""
        options = self.regularization.draw(x.shape[0], state, self.training)
        if self.layer_norm:
            suffix = self._suffix(k)
            options = options._replace(
                norm_hh=getattr(self, f"norm_hh{suffix}"),
                norm_c=getattr(self, f"norm_c{suffix}", None),
                norm_c_bias=getattr(self, f"norm_c_bias{suffix}", None),
            )
        rule = self.momentum
        if isinstance(rule, NesterovLookahead):
            width, size = self._memory_width(k // self._directions), state[0].shape[1]
            if memory is None:
                wide = torch.promote_types(x.dtype, torch.float32)
                memory = rule.initial_state(x.shape[1], width, device=x.device, dtype=wide)
            memory, ahead = rule.separate(memory, width - size)
            options = options._replace(
                steps=ahead.steps, previous=ahead.previous, restart=ahead.restart
            )
        return options, memory

    def _drive(self, k: int, x: Tensor, weight_ih: Tensor, bias_ih: Tensor | None) -> Tensor:
        """What the input contributes to the gates before the rule, ``(T, B, G H)``."""
        if not self.layer_norm:
            return linear(bounded(x), weight_ih, bias_ih)
        gain: Tensor = getattr(self, f"norm_ih{self._suffix(k)}")
        drive = layer_norm(linear(bounded(x), weight_ih), gain.shape, gain)
        return drive if bias_ih is None else drive + bias_ih

    def _recur_fused(
        self,
        x: Tensor,
        state: tuple[Tensor, ...],
        weights: tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None],
        memory: RuleState | None,
        lengths: Tensor | None,
        options: Modifiers,
    ) -> tuple[tuple[Tensor, ...], RuleState] | None:
        """Both stages in one kernel, where there is one for the rule and the recurrence."""
        rule = self.momentum
        if rule is None or rule.linear or self.layer_norm:
            return None
        if memory is None:
            memory = rule.initial_state(
                x.shape[1],
                len(weights[0]),
                device=x.device,
                dtype=torch.promote_types(x.dtype, torch.float32),
            )
        moments = rule.moments(memory)
        if moments is None:
            return None
        problem = self._problem(bounded(x), state, weights, lengths, options)
        *results, velocity, rms = run(problem._replace(moments=moments))
        return tuple(results), AdamState(velocity, rms)

    def _problem(
        self,
        x: Tensor,
        state: tuple[Tensor, ...],
        weights: Sequence[Tensor | None],
        lengths: Tensor | None,
        options: Modifiers,
    ) -> Problem:
        weight_ih, weight_hh, bias_ih, bias_hh, weight_hr = weights
        assert weight_hh is not None
        extra = {} if weight_hr is None else {"weight_hr": weight_hr}
        biases = (bias_ih, bias_hh, extra)
        return Problem(find(self.mode), x, state, weight_hh, weight_ih, *biases, lengths, options)

    def _recur(
        self,
        drive: Tensor,
        state: tuple[Tensor, ...],
        weights: Sequence[Tensor | None],
        sequence: _Sequence,
        options: Modifiers,
    ) -> tuple[Tensor, ...]:
        used = weights if self.mode == "LSTM" else weights[:2]
        state = tuple(s.to(drive.dtype) for s in state)
        used = [None if w is None else w.to(drive.dtype) for w in used]
        return scan(self.mode, drive, state, used, sequence.lengths, options)

    def _recur_native(
        self,
        x: Tensor,
        state: tuple[Tensor, ...],
        weights: Sequence[Tensor | None],
        sequence: _Sequence,
        options: Modifiers,
    ) -> tuple[Tensor, ...]:
        problem = self._problem(x, state, weights, sequence.lengths, options)
        if sequence.packed is not None:
            problem = problem._replace(batch_sizes=sequence.packed.batch_sizes)
        return run(problem)


def _kinds(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__} of {len(value)}"
    return type(value).__name__


class RNN(_Recurrent):
    r"""``torch.nn.RNN`` with a momentum rule on its input: a drop-in replacement.

    .. math:: h_t = \sigma(y_t + U h_{t-1} + b_{hh})

    where the rule makes :math:`y_t` of the drives :math:`W x_t + b_{ih}` (equation (9) of the
    MomentumRNN paper for :class:`~torchmomentum.nn.Momentum`). Without a rule :math:`y_t` is the
    drive.

    Args:
        input_size: Features of the input, :math:`I`.
        hidden_size: Features of the hidden state, :math:`H`.
        num_layers: Layers stacked, each with momentum.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        bias: Whether there are ``bias_ih`` and ``bias_hh``.
        batch_first: Input and output are ``(B, T, .)``.
        dropout: Probability of zeroing an output between layers, in [0, 1].
        bidirectional: Runs a second set of weights from the end.
        device: Where the parameters are made.
        dtype: Of which type.
        momentum: A rule of :mod:`torchmomentum.nn`, or None.
        recurrent_dropout: See :class:`LSTM`, as for the next three.
        weight_dropout: Of the recurrent weights.
        zoneout: Of ``h``.
        layer_norm: Of what the weights make of input and state.
        proj_size: Refused, as ``torch.nn.RNN`` does.

    Example:
        >>> layer = RNN(3, 4, momentum=Momentum(0.6, 0.6))
        >>> out, h = layer(torch.zeros(5, 2, 3))
        >>> out.shape, h.shape
        (torch.Size([5, 2, 4]), torch.Size([1, 2, 4]))
    """

    _kind = "RNN"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        momentum: Rule | None = None,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float = 0.0,
        layer_norm: bool = False,
        proj_size: int = 0,
    ) -> None:
        _refuse_projection(proj_size)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        self.nonlinearity = nonlinearity
        super().__init__(
            f"RNN_{nonlinearity.upper()}",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
            momentum=momentum,
            recurrent_dropout=recurrent_dropout,
            weight_dropout=weight_dropout,
            zoneout=zoneout,
            layer_norm=layer_norm,
        )


class LSTM(_Recurrent):
    r"""``torch.nn.LSTM`` with a momentum rule on its input: a drop-in replacement.

    The gates are :math:`y_t + U h_{t-1} + b_{hh}`, where the rule makes :math:`y_t` of the drives
    :math:`W x_t + b_{ih}`; the rest is the LSTM of ``torch.nn``. Parameter names, shapes, gate
    order and initial draws are those of ``torch.nn.LSTM``, so that state
    dicts go both ways (a learned rule has two entries more: load those into ``torch.nn.LSTM`` with
    ``strict=False``).

    Args:
        input_size: Features of the input, :math:`I`.
        hidden_size: Features of the hidden state, :math:`H`.
        num_layers: Layers stacked, each with momentum.
        bias: Whether there are ``bias_ih`` and ``bias_hh``.
        batch_first: Input and output are ``(B, T, .)``.
        dropout: Probability of zeroing an output between layers, in [0, 1].
        bidirectional: Runs a second set of weights from the end.
        proj_size: Projects ``h`` to so many features where positive.
        device: Where the parameters are made.
        dtype: Of which type.
        momentum: A rule of :mod:`torchmomentum.nn`, or None.
        recurrent_dropout: Probability in [0, 1) that the recurrent weights do not see a unit of
            ``h``, in training, drawn once for a sequence (Gal and Ghahramani, 2016).
        weight_dropout: Probability in [0, 1) that a recurrent weight is left out, in training,
            drawn once for a sequence (Merity et al., 2018).
        zoneout: Probability in [0, 1] that a unit of ``h`` or ``c`` stays as it is, one number or
            two, in training drawn at each step (Krueger et al., 2017); in evaluation the mean.
        layer_norm: Normalizes what the weights make of input and state, and ``c`` (Ba et al., 2016,
            equations 20 to 22). Linear rules then run on the gates instead of the input.

    Example:
        >>> layer = LSTM(3, 4, momentum=Adam(mu=0.6, step_size=1.0, beta=0.99))
        >>> out, (h, c) = layer(torch.zeros(5, 2, 3))
        >>> out, (h, c, momentum) = layer(torch.zeros(5, 2, 3), layer.initial_state(2))
        >>> momentum[0].velocity.shape
        torch.Size([2, 16])
    """

    _kind = "LSTM"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
        *,
        momentum: Rule | None = None,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float | tuple[float, float] = 0.0,
        layer_norm: bool = False,
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
            momentum=momentum,
            recurrent_dropout=recurrent_dropout,
            weight_dropout=weight_dropout,
            zoneout=zoneout,
            layer_norm=layer_norm,
        )

    def _state_widths(self) -> tuple[int, ...]:
        return self.proj_size or self.hidden_size, self.hidden_size

    def _join_state(self, states: tuple[Tensor, ...], memory: Memory | None) -> Any:
        return states if memory is None else (*states, memory)

    def _split_state(self, hx: Any) -> tuple[tuple[Tensor, ...], Memory | None]:
        if isinstance(hx, (tuple, list)) and len(hx) in (2, 3):
            h, c, *memory = hx
            if isinstance(h, Tensor) and isinstance(c, Tensor):
                return (h, c), self._check_memory(memory[0]) if memory else None
        raise TypeError(f"LSTM: hx must be (h, c) or (h, c, momentum), got {_kinds(hx)}")

    def _check_ranks(self, states: tuple[Tensor, ...], batched: bool) -> None:
        expected, kind = (3, "batched 3-D") if batched else (2, "unbatched 2-D")
        h, c = (s.dim() for s in states)
        if h != expected or c != expected:
            raise RuntimeError(
                f"For {kind} input, hx and cx should also be {expected}-D but got "
                f"({h}-D, {c}-D) tensors"
            )

    def _check_states(self, states: tuple[Tensor, ...], batch: int) -> None:
        layers = self.num_layers * self._directions
        for i, (state, width) in enumerate(zip(states, self._state_widths(), strict=True)):
            message = f"Expected hidden[{i}] size {{}}, got {{}}"
            self.check_hidden_size(state, (layers, batch, width), message)


class GRU(_Recurrent):
    r"""``torch.nn.GRU`` with a momentum rule on its input: a drop-in replacement.

    The rule makes the input parts of the gates, :math:`y_t`, of the drives :math:`W x_t + b_{ih}`;
    the hidden parts and the reset gate stand as in ``torch.nn.GRU``.

    Args:
        input_size: Features of the input, :math:`I`.
        hidden_size: Features of the hidden state, :math:`H`.
        num_layers: Layers stacked, each with momentum.
        bias: Whether there are ``bias_ih`` and ``bias_hh``.
        batch_first: Input and output are ``(B, T, .)``.
        dropout: Probability of zeroing an output between layers, in [0, 1].
        bidirectional: Runs a second set of weights from the end.
        device: Where the parameters are made.
        dtype: Of which type.
        momentum: A rule of :mod:`torchmomentum.nn`, or None.
        recurrent_dropout: See :class:`LSTM`, as for the next three.
        weight_dropout: Of the recurrent weights.
        zoneout: Of ``h``.
        layer_norm: Of what the weights make of input and state.
        proj_size: Refused, as ``torch.nn.GRU`` does.

    Example:
        >>> layer = GRU(3, 4, momentum=Nesterov(1.0, restart=40))
        >>> out, (h, momentum) = layer(torch.zeros(5, 2, 3), layer.initial_state(2))
        >>> momentum[0].step.tolist()
        [5, 5]
    """

    _kind = "GRU"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        momentum: Rule | None = None,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        zoneout: float = 0.0,
        layer_norm: bool = False,
        proj_size: int = 0,
    ) -> None:
        _refuse_projection(proj_size)
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
            momentum=momentum,
            recurrent_dropout=recurrent_dropout,
            weight_dropout=weight_dropout,
            zoneout=zoneout,
            layer_norm=layer_norm,
        )


def _refuse_projection(proj_size: int) -> None:
    if proj_size:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")

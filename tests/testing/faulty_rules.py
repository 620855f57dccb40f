"""Rules that are right, and rules that break one promise each."""

from typing import NamedTuple

import torch

import torchmomentum.nn as tnn


class State(NamedTuple):
    velocity: torch.Tensor
    steps: torch.Tensor


class Plain(tnn.Rule):
    """A right rule of a user's, linear, with a count."""

    linear = True

    def initial_state(self, batch_size, width, *, device=None, dtype=None):
        velocity = torch.zeros(batch_size, width, device=device, dtype=dtype)
        return State(velocity, torch.zeros(batch_size, dtype=torch.long, device=device))

    def step(self, drive, state):
        velocity = 0.5 * state[0] + drive
        return velocity, State(velocity, state[1] + 1)


class Clipped(Plain):
    linear = False

    def step(self, drive, state):
        velocity = (0.5 * state[0] + drive).clamp(-1.1, 1.1)
        return velocity, State(velocity, state[1] + 1)


def lie(change):
    class Lies(Plain):
        linear = True

        def step(self, drive, state):
            y, new = super().step(drive, state)
            return change(y), new

    return Lies


LIES = {
    "clipped": (lambda y: y.clamp(-1.1, 1.1), "-1 times|0.001 times"),
    "clipped far away": (lambda y: y.clamp(-500, 500), "1000 times the drive"),
    "bent near zero": (lambda y: y.where(y.abs() > 0.01, y * 2), "0.001 times the drive"),
    "of one sign": (lambda y: y.relu(), "-1 times the drive"),
    "an offset": (lambda y: y + 0.1, "0 times the drive"),
    "a norm": (lambda y: y / y.norm(dim=0).clamp(min=1e-300) * y.abs().sum(0), "a sum of drives"),
    "a weight for each channel": (
        lambda y: y * torch.arange(1, y.shape[-1] + 1, dtype=y.dtype),
        "an affine map of the drive",
    ),
    "a neighbour's": (lambda y: y + y.roll(1, -1), "an affine map of the drive"),
}


class ListState(Plain):
    def initial_state(self, *sizes, **options):
        return list(super().initial_state(*sizes, **options))


class NoTypes(Plain):
    def initial_state(self, *sizes, device=None, dtype=None):
        return super().initial_state(*sizes, device=device, dtype=torch.float64)


class NoDevice(Plain):
    def initial_state(self, *sizes, device=None, dtype=None):
        return super().initial_state(*sizes, dtype=dtype)


class TimeFirst(Plain):
    def initial_state(self, batch, width, **options):
        return State(*(s.new_zeros(width) for s in super().initial_state(batch, width, **options)))


class PlainTuple(Plain):
    def step(self, drive, state):
        y, new = super().step(drive, state)
        return y, tuple(new)


class Grows(Plain):
    step = Plain.step

    def scan(self, drives, state=None, lengths=None):
        y, new = super().scan(drives, state, lengths)
        return y, new._replace(steps=new.steps.unsqueeze(-1)) if state is not None else new


class Narrows(Plain):
    def step(self, drive, state):
        y, new = super().step(drive, state)
        return y, new._replace(velocity=new.velocity.float())


class OtherScan(Plain):
    step = Plain.step

    def scan(self, drives, state=None, lengths=None):
        y, new = super().scan(drives, state, lengths)
        return y * 1.001, new


class OtherLast(Plain):
    step = Plain.step

    def scan(self, drives, state=None, lengths=None):
        y, new = super().scan(drives, state, lengths)
        return y, new._replace(steps=new.steps + 1)


class Forgets(Plain):
    step = Plain.step

    def scan(self, drives, state=None, lengths=None):
        return super().scan(drives, None, lengths)


class ForgetsItsCount(Plain):
    step = Plain.step

    def scan(self, drives, state=None, lengths=None):
        y, new = super().scan(drives, state, lengths)
        return y, new if state is None else new._replace(steps=new.steps * 0 + len(drives))


class AllSteps(Plain):
    step = Plain.step

    def scan(self, drives, state=None, lengths=None):
        return super().scan(drives, state, None)


class AllStepsGoingOn(Plain):
    step = Plain.step

    def scan(self, drives, state=None, lengths=None):
        return super().scan(drives, state, None if state is not None else lengths)


class StopsEarly(Plain):
    step = Plain.step

    def scan(self, drives, state=None, lengths=None):
        y, new = super().scan(drives, state, lengths)
        if lengths is not None:
            alive = torch.arange(len(drives)).unsqueeze(-1) < lengths - 1
            y = y * alive.unsqueeze(-1)
        return y, new


class Widens(Plain):
    step = Plain.step

    def scan(self, drives, state=None, lengths=None):
        y, new = super().scan(drives, state, lengths)
        return y.to(torch.promote_types(y.dtype, torch.float32)), new


class HalfState(Plain):
    step = Plain.step

    def fresh_state(self, drives):
        return self.initial_state(*drives.shape[1:], dtype=drives.dtype)

    def scan(self, drives, state=None, lengths=None):
        y, new = super().scan(drives, state, lengths)
        return y, new._replace(velocity=new.velocity.to(drives.dtype))


class PapersAdam(Plain):
    """Equation (15) as it is printed: what makes training NaN on silent input."""

    linear = False

    def __init__(self, beta=0.01, eps=1e-8):
        super().__init__()
        self.beta, self.eps = beta, eps

    def initial_state(self, *sizes, **options):
        velocity = super().initial_state(*sizes, **options)[0]
        return velocity, velocity.clone()

    def step(self, drive, state):
        drive = drive.clamp(-1e15, 1e15)
        velocity = 0.6 * state[0] + drive
        second = self.beta * state[1] + (1 - self.beta) * drive**2
        return velocity / (second.sqrt() + self.eps), (velocity, second)


class Swells(Plain):
    """Grows while its input is silent, and shows a bounded output."""

    linear = False

    def step(self, drive, state):
        velocity = 2 * state[0].detach() + drive.clamp(-1, 1)
        return velocity.clamp(-1, 1), State(velocity, state[1] + 1)


class Detached(Plain):
    def step(self, drive, state):
        y, new = super().step(drive, state)
        return y + 0.1 * y.detach(), new


class DetachedState(Plain):
    step = Plain.step

    def scan(self, drives, state=None, lengths=None):
        return super().scan(drives, None if state is None else _detached(state), lengths)


def _detached(state):
    return State(*(part.detach() for part in state))


class InPlace(Plain):
    def step(self, drive, state):
        state[0].mul_(0.5).add_(drive)
        return state[0].clone(), State(state[0], state[1] + 1)

    def scan(self, drives, state=None, lengths=None):
        state = self.fresh_state(drives) if state is None else state
        return super().scan(drives, State(*(part.clone() for part in state)), lengths)


class ChangesDrives(Plain):
    step = Plain.step

    def scan(self, drives, state=None, lengths=None):
        found = super().scan(drives, state, lengths)
        drives.mul_(2)
        return found


class ChangesWithLengths(Plain):
    step = Plain.step

    def scan(self, drives, state=None, lengths=None):
        found = super().scan(drives, state, lengths)
        if lengths is not None:
            drives[0] += 1
        return found


class Learned(Plain):
    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(()))

    def step(self, drive, state):
        return super().step(drive * self.gain, state)


class LearnedWithReset(Learned):
    def reset_parameters(self):
        torch.nn.init.ones_(self.gain)


class Counted(Plain):
    """Each object has a number of its own that no state dict has."""

    made = 0

    def __init__(self):
        super().__init__()
        Counted.made += 1
        self.factor = 1.0 + Counted.made

    def step(self, drive, state):
        return super().step(drive * self.factor, state)


class CopiedAnew(Plain):
    factor = 1.0

    def step(self, drive, state):
        return super().step(drive * self.factor, state)

    def __deepcopy__(self, memo):
        other = CopiedAnew()
        other.factor = 2.0
        return other


class PickledAnew(CopiedAnew):
    def __getstate__(self):
        return self.__dict__ | {"factor": 2.0}

    def __deepcopy__(self, memo):
        return self


class FalseMoments(Plain):
    """Says that the kernel of Adam's rule computes it."""

    linear = False

    def initial_state(self, batch_size, width, **options):
        return tnn.Adam().initial_state(batch_size, width, **options)

    def step(self, drive, state):
        return 3 * drive, state

    def moments(self, state):
        return tnn.Adam().moments(state)

    def from_moments(self, velocity, rms):
        return tnn.Adam().from_moments(velocity, rms)


class FalseVelocity(tnn.Momentum):
    """Says that the kernel of one step computes it, with another momentum."""

    def velocity(self, state):
        return super().velocity(state)._replace(mu=0.0)


class LosesTheHidden(tnn.NesterovLookahead):
    def follow(self, state, hidden):
        return state


class FollowsLate(tnn.NesterovLookahead):
    """Right in a layer as a whole, wrong step by step."""

    def follow(self, state, hidden):
        found = super().follow(state, hidden)
        return found._replace(**{found._fields[2]: found[2] * 0.5})

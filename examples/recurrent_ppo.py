"""Recurrent PPO of sb3-contrib on layers with momentum: ``pip install sb3-contrib`` first.

Trains on a task that needs memory, then computes the policy's log-probabilities again as training
does, from the states that the rollout kept in NumPy, and compares them with the rollout's own.
"""

import gymnasium
import numpy as np
import torch
from sb3_contrib import RecurrentPPO
from sb3_contrib.ppo_recurrent.policies import MlpLstmPolicy

import torchmomentum as tm


class Recall(gymnasium.Env):
    """Shows a number at first, and asks for its sign eight steps later."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        """Shows a number."""
        super().reset(seed=seed)
        self.left, self.shown = 8, float(self.np_random.choice([-1.0, 1.0]))
        return np.array([self.shown, 0.0], np.float32), {}

    def step(self, action):
        """Rewards the last of eight actions."""
        self.left -= 1
        asked = self.left == 0
        reward = float(asked and (action == 1) == (self.shown > 0))
        return np.array([0.0, float(self.left == 1)], np.float32), reward, asked, False, {}


class MomentumPolicy(MlpLstmPolicy):
    """The policy, its LSTMs with momentum."""

    def __init__(self, observation_space, action_space, schedule, **options):
        super().__init__(observation_space, action_space, schedule, **options)
        for name in ("lstm_actor", "lstm_critic"):
            lstm = getattr(self, name)
            if lstm is not None:
                setattr(self, name, flat_lstm(lstm))
        options = {"lr": schedule(1), **self.optimizer_kwargs}
        self.optimizer = self.optimizer_class(self.parameters(), **options)


def flat_lstm(lstm):
    """In the place of a policy's nn.LSTM."""
    made = tm.nn.MomentumLSTM(lstm.input_size, lstm.hidden_size, lstm.num_layers)
    return tm.nn.FlatState(made)


def difference(model):
    """The most that log-probabilities differ between the last rollout and training."""
    buffer, policy = model.rollout_buffer, model.policy
    most = 0.0
    for data in buffer.get(batch_size=buffer.buffer_size * buffer.n_envs // 2):
        with torch.no_grad():
            _, found, _ = policy.evaluate_actions(
                *(data.observations, data.actions.long().flatten()),
                *(data.lstm_states, data.episode_starts),
            )
        used = data.mask > 1e-8
        most = max(most, (found - data.old_log_prob)[used].abs().max().item())
    return most


if __name__ == "__main__":
    model = RecurrentPPO(
        MomentumPolicy,
        Recall(),
        n_steps=256,
        seed=0,
        learning_rate=3e-3,
        policy_kwargs={"lstm_hidden_size": 32},
    )
    model.learn(2048)
    _, callback = model._setup_learn(256, None)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, n_rollout_steps=256)
    print(f"log-probabilities differ by at most {difference(model):.1e}")

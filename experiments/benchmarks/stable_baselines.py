"""PPO's env steps per second against Stable-Baselines3's, on the same market, with the same network and schedule.

Theirs drives the same accounts through a vector environment of its own interface: one compiled call a step for all of them, no loop
over accounts, no copy (`vectorised`). One dense layer of 128 on the observation is shared by actor and critic, each of which has
one more, as in ours; the schedule is that of `setting`: 64 steps, 8 minibatches, as many epochs. It is measured at several numbers
of environments, and the bar is judged against the fastest. Its episodes are long, so that it never evaluates final observations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from ppo_speed import ASSETS, SMALL, program
from setting import EPOCHS, SHARED

from cappuccino.adapters.gymnasium_envs import MarketVectorEnv, from_config
from cappuccino.bench.interface import Benchmark, Row, interleaved
from cappuccino.config.composition import compose

BARS = {5: (2, 3), 48: (6, 12)}
"""Look-back to (must, aim)."""
NUMBERS = (64, 256, 1024)
STEPS, MINIBATCHES, WIDTH = 64, 8, 128


def theirs(lookback: int, number: int, *, bars: int, steps: int, epochs: int) -> Callable[[], Any]:
    """One rollout of `number` environments and its epochs."""
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

    class Shared(BaseFeaturesExtractor):
        def __init__(self, space: Any):
            super().__init__(space, WIDTH)
            self.layer = torch.nn.Linear(space.shape[0], WIDTH)

        def forward(self, observations: torch.Tensor) -> torch.Tensor:
            return torch.tanh(self.layer(observations))

    words = (f"data.bars={bars}", ASSETS, "network=mlp", f"network.lookback={lookback}")
    shape = (f"env.clocks={number}", "env.accounts=1", f"env.episode_bars={steps * 8}", f"training.rollout_steps={steps}")
    env = vectorised(from_config(MarketVectorEnv, compose("train", [*words, *shape])))
    model = PPO(
        "MlpPolicy",
        env,
        n_steps=steps,
        batch_size=number * steps // MINIBATCHES,
        n_epochs=epochs,
        gamma=0.9,
        gae_lambda=0.9,
        clip_range_vf=10,
        policy_kwargs={
            "features_extractor_class": Shared,
            "net_arch": {"pi": [WIDTH], "vf": [WIDTH]},
            "activation_fn": torch.nn.Tanh,
        },
        device="cpu",
        verbose=0,
    )
    return lambda: model.learn(number * steps, reset_num_timesteps=False)


def vectorised(inner: MarketVectorEnv) -> Any:
    """Our vector environment behind Stable-Baselines3's interface."""
    from stable_baselines3.common.vec_env import VecEnv

    class Vectorised(VecEnv):
        actions: np.ndarray

        def __init__(self) -> None:
            super().__init__(inner.num_envs, inner.single_observation_space, inner.single_action_space)
            self.infos: list[dict[str, Any]] = [{} for _ in range(inner.num_envs)]

        def reset(self) -> np.ndarray:
            return inner.reset(seed=0)[0]

        def step_async(self, actions: np.ndarray) -> None:
            self.actions = actions

        def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
            observation, reward, terminated, truncated, _ = inner.step(self.actions)
            return observation, reward, terminated | truncated, self.infos

        def close(self) -> None:
            inner.close()

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            del indices
            return [getattr(inner, attr_name, None)] * self.num_envs

        # Part of the interface; PPO calls neither.
        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            raise NotImplementedError

        def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
            raise NotImplementedError

        def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> Sequence[bool]:
            del wrapper_class, indices
            return [False] * self.num_envs

    return Vectorised()


def measure(small: bool) -> Iterator[Row]:
    numbers, bars, steps, epochs = ((8,), 1500, 16, 1) if small else (NUMBERS, 6000, STEPS, EPOCHS)
    for lookback, (must, aim) in ({5: BARS[5]} if small else BARS).items():
        found = {number: theirs(lookback, number, bars=bars, steps=steps, epochs=epochs) for number in numbers}
        tried = {number: number * steps / _second_call(call) for number, call in found.items()}
        best = max(tried, key=lambda number: tried[number])
        mine = program(lookback, *(SMALL if small else SHARED), bars=bars)
        timings = interleaved({"ours": mine.run, "theirs": found[best]}, repeats=5)
        work = {"ours": mine.steps, "theirs": best * steps}
        rates = {side: timings.rates(side, work[side] / 1e3) for side in work}
        yield Row(
            f"ours over Stable-Baselines3, look-back {lookback}",
            tuple(a / b for a, b in zip(rates["ours"], rates["theirs"], strict=True)),
            must=must,
            aim=aim,
            unit="x",
            warm_up_s=timings.warm_up_s,
            details={"environments": best, "env steps/s by number of environments, one trial": tried},
        )
        for side in work:
            yield Row(f"{side}, look-back {lookback}", rates[side], unit="k steps/s")


def _second_call(call: Callable[[], Any]) -> float:
    call()
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


BENCHMARK = Benchmark(
    question="How many env steps a second does PPO make, rollout and epochs, against Stable-Baselines3 on the same market?",
    measure=measure,
    requires=("stable_baselines3", "gymnasium"),
)

"""Jobs that are composed in quantity are what Hydra composes one by one."""

from __future__ import annotations

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from cappuccino.config import compose
from cappuccino.config.composition import conf_dir, register
from cappuccino.sweep.composing import Composer

JOBS = [
    (),
    ("agent.learning_rate=0.02", "network.hidden=[32,32]"),
    ("agent.band=0.05", "agent=apg", "agent.learning_rate=0.02"),
    ("network.lookback=4", "network=mlp", "features=price_only"),
    ("experiment=planted", "env.clocks=8", "data.seed=3"),
    ("env.clocks=8", "experiment=planted", "network.lookback=1"),
    ("+costs.increment_by_asset.BTC=1e-6", "agent.target_kl=0.1"),
    ("features.names=[return_1]",),
]


def test_a_job_is_what_hydra_composes():
    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        config = hydra.compose_config("train", [], run_mode=RunMode.MULTIRUN, with_log_configuration=False)
        composer = Composer(config, hydra.config_loader)
        made = [composer.compose(job, "one") for job in (*JOBS, *reversed(JOBS))]
    expected = [compose("train", [*job, "name=one"]) for job in JOBS]
    assert made == [*expected, *reversed(expected)]

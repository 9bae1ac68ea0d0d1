"""Configuration: typed groups checked when they are built, and their composition from `conf/` by Hydra."""

from cappuccino.config.composition import compose as compose
from cappuccino.config.composition import conf_dir as conf_dir
from cappuccino.config.composition import to_config as to_config
from cappuccino.config.groups import AgentConfig as AgentConfig
from cappuccino.config.groups import AlpacaBrokerConfig as AlpacaBrokerConfig
from cappuccino.config.groups import AlpacaData as AlpacaData
from cappuccino.config.groups import BrokerConfig as BrokerConfig
from cappuccino.config.groups import CostsConfig as CostsConfig
from cappuccino.config.groups import DataConfig as DataConfig
from cappuccino.config.groups import EnvConfig as EnvConfig
from cappuccino.config.groups import FeaturesConfig as FeaturesConfig
from cappuccino.config.groups import FilesData as FilesData
from cappuccino.config.groups import LocalBrokerConfig as LocalBrokerConfig
from cappuccino.config.groups import NetworkConfig as NetworkConfig
from cappuccino.config.groups import RewardConfig as RewardConfig
from cappuccino.config.groups import SyntheticData as SyntheticData
from cappuccino.config.groups import TraderConfig as TraderConfig
from cappuccino.config.groups import TrainingConfig as TrainingConfig
from cappuccino.config.roots import BacktestConfig as BacktestConfig
from cappuccino.config.roots import DataCommandConfig as DataCommandConfig
from cappuccino.config.roots import ExchangeCommandConfig as ExchangeCommandConfig
from cappuccino.config.roots import ExportConfig as ExportConfig
from cappuccino.config.roots import TradeCommandConfig as TradeCommandConfig
from cappuccino.config.roots import TrainConfig as TrainConfig

"""Configuration: typed groups checked when they are built, and their composition from `conf/` by Hydra."""

from cappuccino.config.composition import compose as compose
from cappuccino.config.composition import conf_dir as conf_dir
from cappuccino.config.composition import to_config as to_config
from cappuccino.config.costs import CostsConfig as CostsConfig
from cappuccino.config.data import AlpacaData as AlpacaData
from cappuccino.config.data import DataConfig as DataConfig
from cappuccino.config.data import FilesData as FilesData
from cappuccino.config.data import SyntheticData as SyntheticData
from cappuccino.config.roots import BacktestConfig as BacktestConfig
from cappuccino.config.roots import DataCommandConfig as DataCommandConfig
from cappuccino.config.roots import ExchangeCommandConfig as ExchangeCommandConfig
from cappuccino.config.roots import ExportConfig as ExportConfig
from cappuccino.config.roots import TradeCommandConfig as TradeCommandConfig
from cappuccino.config.roots import TrainConfig as TrainConfig
from cappuccino.config.trading import AlpacaBrokerConfig as AlpacaBrokerConfig
from cappuccino.config.trading import BrokerConfig as BrokerConfig
from cappuccino.config.trading import LocalBrokerConfig as LocalBrokerConfig
from cappuccino.config.trading import TraderConfig as TraderConfig
from cappuccino.config.training import AgentConfig as AgentConfig
from cappuccino.config.training import APGConfig as APGConfig
from cappuccino.config.training import EnvConfig as EnvConfig
from cappuccino.config.training import FeaturesConfig as FeaturesConfig
from cappuccino.config.training import NetworkConfig as NetworkConfig
from cappuccino.config.training import PPOConfig as PPOConfig
from cappuccino.config.training import RewardConfig as RewardConfig
from cappuccino.config.training import TrainingConfig as TrainingConfig

"""The one setting that PPO is measured at in every benchmark: clocks, accounts on each, epochs. Of those that `setting_chosen` tries
it reaches an out-of-sample result first."""

CLOCKS, ACCOUNTS, EPOCHS = 64, 16, 1
SHARED = (f"env.clocks={CLOCKS}", f"env.accounts={ACCOUNTS}", f"agent.epochs={EPOCHS}")
INDEPENDENT = (
    f"env.clocks={CLOCKS * ACCOUNTS}",
    "env.accounts=1",
    f"agent.epochs={EPOCHS}",
    "agent.relative=false",
    "agent.stretch=1",
)
"""The usual way: an account a clock, so that every sample has a window of its own, and minibatches of single samples."""

ASSETS = "data.assets=[BTC,ETH,SOL,XRP,LTC,LINK,DOGE]"
"""Seven, which with fourteen features each are 98 numbers a bar."""

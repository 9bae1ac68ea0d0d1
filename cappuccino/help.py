"""What `--help` says. Plain text, so that it answers without importing anything."""

from __future__ import annotations

from typing import NamedTuple


class Help(NamedTuple):
    """summary: one line for the overview. text: what the command does. examples: one a line. keys: what is set most often."""

    summary: str
    text: str
    examples: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]


ACTIONS: dict[str, tuple[str, ...]] = {
    "data": ("fetch", "inspect"),
    "registry": ("list", "show", "compare", "promote", "rollback", "prune"),
    "pipeline": ("run",),
}
"""Commands that take a second word."""

FORMS: dict[str, tuple[str, ...]] = {"validate": ("causality",), "doctor": ("notify",)}
"""Commands that may take a second word, which has a configuration of its own."""

DESKS: dict[str, tuple[str, ...]] = {"trade": ("status", "halt", "flatten", "resume", "accept", "review", "history")}
"""Commands that may take a second word, all of which share one configuration, `<command>_desk`."""

PLAIN: dict[str, str] = {"bench": "[NAME ...] [--small] [--out FOLDER]"}
"""Commands without a configuration, and their arguments."""

_DATA_KEYS = (
    ("data=synthetic|files|alpaca", "where the bars come from"),
    ("data.path=FOLDER", "of data=files: a file, a folder or a glob pattern; of data=alpaca: the store"),
    ("data.assets=[BTC,ETH]", "base symbols, in this order"),
)
_RUN_KEYS = (("run=NAME", "a run's folder, its name below runs/, or latest"),)

COMMANDS: dict[str, Help] = {
    "data": Help(
        "fetch bars from Alpaca, or inspect the bars of any source",
        "`fetch` downloads bars from Alpaca's crypto data API (no keys needed) into a store, resumes where it stopped\n"
        "and appends what is new. `inspect` prints a table on the bars of any source and writes a plot: coverage,\n"
        "gaps, duplicates, restated bars, zero volume, the order of open, high, low and close, outliers.",
        (
            "cappuccino data fetch data.assets=[BTC,ETH] data.start=2023-01-01",
            "cappuccino data inspect data=files data.path=bars/binance_1h",
        ),
        (*_DATA_KEYS, ("data.bar=1h", "length of a bar"), ("out=FILE", "where `inspect` writes its report")),
    ),
    "train": Help(
        "train a policy and backtest it on the validation span",
        "Reads bars, trains a policy with PPO in one compiled program, and writes checkpoints, logs, a report and a\n"
        "summary to runs/<name>/.",
        (
            "cappuccino train data=files data.path=bars/binance_1h training.env_steps=2000000",
            "cappuccino train experiment=planted network=per_asset",
            "cappuccino train -m seed=0,1,2",
            "cappuccino train -m sweep=ppo hydra.sweeper.n_trials=64",
            "cappuccino train best=ppo-1a2b3c4d",
            "cappuccino train name=first resume=true",
        ),
        (
            *_DATA_KEYS,
            ("features=default|price_only", "what the policy sees of the bars"),
            ("costs=alpaca|free", "fees, spread, slippage and the venue's rules"),
            ("network=mlp|per_asset", "the policy's network"),
            ("network.lookback=24", "bars that the policy sees"),
            ("agent.learning_rate=3e-4", "and agent.gamma, gae_lambda, clip, entropy, ..."),
            ("env.clocks=64 env.accounts=16", "simulated accounts: clocks times accounts"),
            ("training.env_steps=2000000", "length of the training"),
            ("seed=0", "of everything random"),
            ("device=auto|cpu|cuda", "what to train on"),
            ("name=NAME resume=true", "the run's folder; continue it"),
            ("-m sweep=ppo|apg|reward|costs_robust|network|features|full", "search with Optuna"),
            ("-m hydra.sweeper.n_trials=64", "and objective, pruner, seeds, lanes, storage, study_name, ..."),
            ("-m sweep=ppo hydra/launcher=ray", "its workers on a Ray cluster"),
            ("best=STUDY", "train a study's best trial again"),
        ),
    ),
    "backtest": Help(
        "run a trained policy over a span of bars",
        "Takes the checkpoint of a run that was best on the validation span, trades it over a span of the run's bars\n"
        "(or of others) without randomness, and writes report and summary beside the run's own.",
        ("cappuccino backtest run=latest span=test", "cappuccino backtest run=first costs=free"),
        (
            *_RUN_KEYS,
            ("span=train|valid|test", "which part of the bars"),
            ("data=... costs=...", "others than the run's own"),
        ),
    ),
    "export": Help(
        "turn a run's best checkpoint into an artifact that trades without JAX",
        "Writes the whole decision graph of the checkpoint that was best on the validation span as ONNX, with a\n"
        "manifest that says what it needs and where it comes from.",
        ("cappuccino export run=latest", "cappuccino export run=first out=artifacts/first"),
        (*_RUN_KEYS, ("out=FOLDER", "where to; runs/<name>/artifact otherwise")),
    ),
    "combine": Help(
        "make one artifact of several that does what they agree on",
        "Writes an artifact that trades the mean of the target weights of several ones, of the same assets, bars and\n"
        "features; an asset moves only if enough of them move it the same way.",
        ("cappuccino combine artifacts=[runs/a/artifact,runs/b/artifact] agreement=0.6 out=artifacts/both",),
        (
            ("artifacts=[FOLDER,FOLDER]", "two or more"),
            ("agreement=0.5", "the share that must agree; 0: always the mean"),
            ("out=FOLDER", "where to"),
        ),
    ),
    "validate": Help(
        "cross-validate a configuration; or prove that an artifact does not look ahead, or score it on other bars",
        "Trains a configuration on every fold of the bars with several seeds, side by side, runs each over the bars that it\n"
        "has not seen, says by a rule fixed beforehand (verdict=) whether anything was found, and writes page and numbers to\n"
        "runs/<name>/, with the champion: trained on all bars up to the cut, an artifact. Of an artifact that there is,\n"
        "`causality` replaces the bars behind many cuts and shows which features and target weights moved before them, and\n"
        "computes every feature from the bars of its declared warm-up alone; what looks ahead or takes longer is named\n"
        "(exit code 2). Without that word the artifact is traded over other bars, beside the baselines, for a page and\n"
        "numbers, saying which of the bars it was trained or selected on. Both write to runs/validations/<checksum>/.",
        (
            "cappuccino validate data=files data.path=bars/binance_1h",
            "cappuccino validate experiment=planted validation=walk_forward seeds=5",
            "cappuccino validate causality artifact=runs/first/artifact",
            "cappuccino validate causality artifact=runs/first/artifact data=files data.path=bars/other cuts=100",
            "cappuccino validate artifact=runs/first/artifact data=files data.path=bars/other",
            "cappuccino validate artifact=runs/first/artifact span=test costs=free",
        ),
        (
            ("validation=holdout|walk_forward|kfold_purged|cpcv", "how bars are split into folds"),
            ("seeds=3", "trainings of every fold, and of the champion"),
            ("verdict.deflated=0.95", "and verdict.confidence, draws: when something is found"),
            ("stress.draws=20", "and stress.horizon_bars, crash_fall, ...: what it is tried under; stress=none: nothing"),
            ("cut=DATE", "bars from then on stay unseen; the start of the test span otherwise"),
            ("agent=... network=... training.env_steps=...", "and all else that `train` takes"),
            ("best=STUDY", "a study's best trial, all of its trials counted as tried"),
            ("artifact=FOLDER", "an artifact to look at"),
            ("data=...", "the bars; those of its training otherwise"),
            ("cuts=20 rows=100", "of `causality`: cuts of the future, rows of the warm-up"),
            ("span=all|train|valid|test", "of a score: which part of the bars"),
            ("costs=...", "of a score: others than those it was trained with"),
            ("out=FOLDER", "where page and numbers go"),
        ),
    ),
    "registry": Help(
        "list, show, compare and promote artifacts by what is known of them",
        "Every artifact that `validate`, `export` and `combine` make is kept by its content below runs/registry, with its\n"
        "figures, its state (candidate, validated, shadow, champion, retired) and each change of that. `promote` moves one a\n"
        "state further if the gates (gates=) hold, else it says which do not (exit code 3); `rollback` makes the\n"
        "champion's predecessor champion again; `prune` deletes retired ones.",
        (
            "cappuccino registry list",
            "cappuccino registry show artifact=1a2b3c4d",
            "cappuccino registry compare artifacts=[1a2b3c4d,5e6f7a8b]",
            "cappuccino registry promote artifact=1a2b3c4d",
            "cappuccino registry rollback reason=drawdown",
        ),
        (
            ("artifact=CHECKSUM", "its first characters, four or more"),
            ("gates.deflated=0.95", "and gates.pbo, information, fee_factor, ...: what must be shown"),
            ("reason=TEXT", "why, for the record"),
            ("keep=3", "retired artifacts that `prune` leaves"),
        ),
    ),
    "pipeline": Help(
        "search, validate, promote, trade on paper, watch and roll back, unattended",
        "Works out from the study's storage, the registry and the traders what is to be done next, does it, and looks\n"
        "again: a study, its best trial validated, its artifact held against the gates, a shadow trader, the champion's\n"
        "trader, the champion's roll-back where it fails. Traders are processes of their own, which go on without it. It may\n"
        "be killed at any moment and goes on where it was. It ends when nothing is left to do.",
        (
            "cappuccino pipeline run data=files data.path=bars/binance_1h shadow_bars=336",
            "cappuccino pipeline run data=alpaca broker=alpaca data.assets=[BTC,ETH] data.start=2022-01-01 "
            "data.train_end=2025-01-01 data.valid_end=2025-07-01 retrain_days=30",
            "cappuccino pipeline run experiment=planted agent=apg space=apg dry_run=true",
        ),
        (
            *_DATA_KEYS,
            ("space=ppo trials=16", "the search: what of (a choice of sweep=), and how many trials"),
            ("agent=... network=... training.env_steps=...", "and all else that `train` takes"),
            ("validation=cpcv seeds=3 stress=none", "how the best trial is validated"),
            ("gates.deflated=0.95", "and gates.shadow_days, live_drawdown, ...: what must be shown"),
            ("shadow_bars=720", "bars that a shadow trades before it is judged"),
            ("retrain_days=30", "days of new bars after which the next study begins"),
            ("broker=local|alpaca", "where the champion trades; shadows have an exchange of their own"),
            ("dry_run=true", "print what would be done"),
        ),
    ),
    "exchange": Help(
        "serve bars as an exchange that speaks Alpaca's API",
        "A local exchange on recorded or synthetic bars, which unmodified alpaca-py talks to: account, orders,\n"
        "positions, clock, bars and quotes. Needs no keys.",
        (
            "cappuccino exchange data=files data.path=bars/binance_1h start=2023-10-01",
            "cappuccino exchange clock=accelerated speed=3600 port=8765",
        ),
        (
            *_DATA_KEYS,
            ("clock=stepped|accelerated|real", "how its time moves"),
            ("start=2023-10-01", "exchange time at which it opens"),
            ("capital=100000", "cash of its account"),
        ),
    ),
    "trade": Help(
        "trade an artifact on Alpaca's paper service or the local exchange",
        "At each bar's close: fetches the bars, computes the features, runs the artifact, plans and sends market\n"
        "orders, follows them to their end and records everything in runs/traders/<name>/. Stopped and started again,\n"
        "it goes on where it was. Keys of broker=alpaca are read from APCA_API_KEY_ID and APCA_API_SECRET_KEY.\n"
        "With a second word it is about a trader that there is. `status` shows it. `halt` throws its kill switch: open\n"
        "orders are canceled and none is sent until `resume`; `flatten` sells everything besides. `accept` takes over\n"
        "what the venue says, where the trader refused to. `review` explains, cause by cause, what it earned otherwise than\n"
        "the backtest. `history` prints its orders as CSV.",
        (
            "cappuccino trade artifact=runs/first/artifact broker=local data=files data.path=bars/binance_1h trade.bars=168",
            "cappuccino trade artifact=runs/first/artifact broker=alpaca trade.name=paper trade.dry_run=true",
            "cappuccino trade status trade.name=paper live=true",
            "cappuccino trade halt trade.name=paper reason=maintenance",
            "cappuccino trade review trade.name=paper out=review.csv",
            "cappuccino trade history trade.name=paper out=orders.csv",
        ),
        (
            ("artifact=FOLDER", "what to trade"),
            ("broker=local|alpaca", "where"),
            ("trade.name=NAME", "the trader's folder"),
            ("trade.capital=100000", "dollars it may use"),
            ("trade.dry_run=true", "print the plan, send nothing"),
            ("trade.bars=168", "stop after so many bars"),
            ("trade.foreign=refuse|adopt|ignore", "what to do about orders and holdings that are not its own"),
            ("reason=TEXT", "of halt, flatten, resume: for the journal"),
            ("confirm=true", "of accept: take over what the table shows"),
            ("live=true", "of status: again and again"),
        ),
    ),
    "dashboard": Help(
        "show traders, registry, studies and bars in a browser, with the kill switch",
        "Serves a page on the folder of runs, on this machine alone unless host= says otherwise: traders with their equity\n"
        "beside the backtest and baselines, positions, orders, distance to the risk rules; artifacts with their gates;\n"
        "studies; coverage of the bars. It goes on by itself. Halting and resuming a trader takes the token in\n"
        "CAPPUCCINO_TOKEN, or the one that is printed at the start where that is not set.",
        ("cappuccino dashboard", "cappuccino dashboard port=0 runs_dir=runs"),
        (
            ("host=127.0.0.1", "address to listen at; at others than this machine's reading takes the token too"),
            ("port=8766", "and port"),
            ("names=[trader.example]", "names by which browsers may ask, besides localhost and addresses"),
            ("gates=default", "what an artifact must show"),
        ),
    ),
    "doctor": Help(
        "say what would keep a trader from trading, and what to do about it",
        "Checks keys, clock, account, artifact, bars, the trader's folder and the disk; sends no order. Each line says ok,\n"
        "warning or problem; with a problem the exit code is 3. `notify` sends a test notification to every URL in\n"
        "CAPPUCCINO_NOTIFY and fetches the one in CAPPUCCINO_HEARTBEAT, and says by number which took it.",
        (
            "cappuccino doctor artifact=runs/first/artifact broker=alpaca trade.name=paper",
            "cappuccino doctor notify",
        ),
        (
            ("artifact=FOLDER", "what is to be traded"),
            ("broker=local|alpaca", "where"),
            ("trade.name=NAME", "the trader's folder"),
            ("trade.capital=100000", "dollars it may use"),
            ("watch.disk_mb=500", "free megabytes below which it warns"),
        ),
    ),
    "bench": Help(
        "measure how fast it is, against bars that it must reach",
        "Runs the benchmarks in experiments/benchmarks of a checkout, all or the named ones, each in a process of its own\n"
        "with both sides in turns, prints a table and writes JSON to experiments/benchmarks/results. Some need packages\n"
        "of the extra `bench`. A bar that is not reached is told, and is no error; a benchmark that crashes is (exit code 1).",
        ("cappuccino bench", "cappuccino bench env_step", "cappuccino bench env_step --small"),
        (
            ("NAME ...", "which; all without a name"),
            ("--small", "instances of seconds, whose figures mean nothing; not kept with the others"),
            ("--out FOLDER", "where the JSON goes"),
        ),
    ),
}

_EXIT_CODES = (
    "Exit codes: 0 done, 2 something to mend in what was given, 3 a trader refuses to go on, 4 it is halted,\n"
    "5 its venue does not answer, 130 interrupted, 1 a defect."
)
_HYDRA = (
    "Hydra's flags work too: --cfg job prints the whole configuration, -m sweeps over comma-separated values,\n"
    "--config-dir adds a folder of your own configuration, --hydra-help lists the rest."
)


def overview() -> str:
    """Help of `cappuccino` itself."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {entry.summary}" for name, entry in COMMANDS.items()]
    return "\n".join(
        [
            "usage: cappuccino COMMAND [flags] [key=value ...]",
            "",
            "Trains trading policies on bars of crypto spot markets and trades them on paper.",
            "",
            *lines,
            "",
            "Example: cappuccino train data=files data.path=bars/binance_1h",
            "`cappuccino COMMAND --help` says more, `cappuccino --version` which code this is.",
            "",
            _EXIT_CODES,
        ]
    )


def command_help(command: str) -> str:
    """Help of one command."""
    entry = COMMANDS[command]
    word = f" {'|'.join(ACTIONS[command])}" if command in ACTIONS else ""
    word = f" [{'|'.join(FORMS[command])}]" if command in FORMS else word
    word = f" [{'|'.join(DESKS[command])}]" if command in DESKS else word
    width = max(len(key) for key, _ in entry.keys)
    return "\n".join(
        [
            f"usage: cappuccino {command}{word} {PLAIN.get(command, '[flags] [key=value ...]')}",
            "",
            entry.text,
            "",
            "Examples:",
            *(f"  {example}" for example in entry.examples),
            "",
            "Often set:",
            *(f"  {key:<{width}}  {meaning}" for key, meaning in entry.keys),
            "",
            *([] if command in PLAIN else [_HYDRA]),
            _EXIT_CODES,
        ]
    )

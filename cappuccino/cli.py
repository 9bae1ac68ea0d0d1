"""The command line: `cappuccino <command> [Hydra flags] [key=value ...]`.

Exit codes: 0; 1 for a defect of ours, with its traceback; 2 for what the user can mend, with one line on stderr; 3 where a trader
refuses to go on, with what a person has to read; 4 where its kill switch is thrown; 5 where its venue does not answer; 130 when
interrupted. Only the standard library is imported until a command runs, so that help is fast.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from cappuccino import extensions
from cappuccino.errors import Halted, InputError, Refusal, Unanswered
from cappuccino.help import ACTIONS, COMMANDS, DESKS, FORMS, PLAIN, command_help, overview
from cappuccino.version import code_version

INPUT_ERROR, REFUSED, HALTED, UNANSWERED, INTERRUPTED = 2, 3, 4, 5, 130


class _Stop(BaseException):
    """Carries a command's exception through Hydra, which would log it, go on with the next job, or cut its traceback."""

    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code. `argv` is the command line without the program's name."""
    words = list(sys.argv[1:] if argv is None else argv)
    name = " ".join(["cappuccino", *words[:1]]) if words[:1] and words[0] in COMMANDS else "cappuccino"
    try:
        return _run(words)
    except InputError as error:
        return _complain(name, error, INPUT_ERROR)
    except Unanswered as error:
        return _complain(name, error, UNANSWERED)
    except Refusal as error:
        print(f"{name}: {error}", file=sys.stderr)
        return REFUSED
    except Halted as error:
        return _complain(name, error, HALTED)
    except KeyboardInterrupt:
        return _complain(name, "interrupted", INTERRUPTED)


def train_main() -> int:
    """`python train.py ...` is `cappuccino train ...`."""
    return main(["train", *sys.argv[1:]])


def _complain(name: str, message: object, code: int) -> int:
    print(f"{name}: {' '.join(str(message).split())}", file=sys.stderr)
    return code


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] == "--version":
        print(f"cappuccino {code_version()}")
        return 0
    command, *rest = words
    if command not in COMMANDS:
        raise InputError(f"unknown command {command!r}; it must be one of {', '.join(COMMANDS)}")
    if "-h" in rest or "--help" in rest:
        print(command_help(command))
        return 0
    extensions.load()
    if command in PLAIN:
        return importlib.import_module(f"cappuccino.commands.{command}").run(rest) or 0
    if command in FORMS:
        _run_hydra(*_form(command, rest))
    elif rest and rest[0] in DESKS.get(command, ()):
        _run_hydra(f"{command}_desk", [f"action={rest[0]}", *rest[1:]])
    else:
        _run_hydra(command, _with_action(command, rest))
    return 0


def _form(command: str, words: list[str]) -> tuple[str, list[str]]:
    """Which configuration, and module, the words ask for, and the words as Hydra reads them: `validate causality ...` is
    `validate_causality ...`, `validate artifact=...` is `validate_artifact artifact=...`, and without either it is `validate`."""
    given = [word for word in words if word in FORMS[command]]
    if len(given) > 1:
        raise InputError(f"say one of {'|'.join(FORMS[command])} at most, and once; got {' '.join(given)}")
    if given:
        return f"{command}_{given[0]}", [word for word in words if word != given[0]]
    if command == "validate" and any(word.startswith("artifact=") for word in words):
        return f"{command}_artifact", words
    return command, words


def _with_action(command: str, words: list[str]) -> list[str]:
    """`data fetch ...` as Hydra reads it: `data action=fetch ...`. Where Hydra only shows something, it may be left out."""
    actions = ACTIONS.get(command, ())
    given = [word for word in words if word in actions]
    shows = any(word.startswith(("--cfg", "-c", "--info", "-i", "--hydra-help", "--shell")) for word in words)
    if actions and len(given) != 1 and not (shows and not given):
        raise InputError(f"say what to do: cappuccino {command} {'|'.join(actions)}")
    return [f"action={word}" if word in given else word for word in words]


def _run_hydra(command: str, words: list[str]) -> None:
    from hydra._internal.utils import _run_hydra as run_hydra
    from hydra._internal.utils import get_args_parser
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from cappuccino.config.composition import conf_dir, explain, register

    parser = get_args_parser()
    parser.prog = f"cappuccino {command.replace('_', ' ')}"
    parser.error = _reject  # argparse would print its usage and exit
    args = parser.parse_intermixed_args(words)
    register()
    with _full_errors():
        try:
            run_hydra(
                args=args,
                args_parser=parser,
                task_function=_job(command),
                config_path=str(conf_dir()),
                config_name=command,
            )
        except _Stop as stop:
            raise stop.cause from None
        except (HydraException, OmegaConfBaseException, AssertionError, ValueError) as error:
            raise InputError(explain(error, command)) from error


def _reject(message: str) -> NoReturn:
    raise InputError(f"{message}; --hydra-help lists the flags")


def _job(command: str) -> Callable[[Any], None]:
    """What Hydra calls for every job: checks the configuration and runs the command on it."""

    def job(composed: Any) -> None:
        folder = _output_folder()
        try:
            _check_multirun()
            config = _config_of_job(composed, folder)
            importlib.import_module(f"cappuccino.commands.{command}").run(config)
        except Exception as error:  # noqa: BLE001 - passed on whole, see _Stop
            if isinstance(error, InputError | Refusal | Halted):
                _remove_if_empty(folder)
            raise _Stop(error) from None

    return job


def _check_multirun() -> None:
    """Raises InputError for what only a multirun reads, which Hydra would let pass and nobody heed."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    found = HydraConfig.get()
    only = ("hydra/sweeper", "hydra.sweeper", "hydra/launcher", "hydra.launcher")
    given = [word for word in found.overrides.hydra if word.lstrip("+~").startswith(only)]
    if found.runtime.choices.get("sweep") is not None:
        given.append(f"sweep={found.runtime.choices['sweep']}")
    if found.mode is RunMode.RUN and given:
        raise InputError(f"{given[0]} is for a multirun; give -m too")


def _config_of_job(composed: Any, folder: pathlib.Path) -> Any:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from cappuccino.config.composition import to_config

    if HydraConfig.get().mode is RunMode.MULTIRUN and "name" in composed:
        composed.name = folder.relative_to(pathlib.Path(composed.runs_dir).absolute()).as_posix()
    return to_config(composed)


def _output_folder() -> pathlib.Path:
    from hydra.core.hydra_config import HydraConfig

    return pathlib.Path(HydraConfig.get().runtime.output_dir)


def _remove_if_empty(folder: pathlib.Path) -> None:
    """Hydra makes a job's folder, and a sweep's with a file in it, before the job has looked at its input."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    sweep = folder.parent / "multirun.yaml"
    if sweep.is_file() and list(folder.parent.iterdir()) == [sweep]:
        sweep.unlink()
        folder.parent.rmdir()


@contextlib.contextmanager
def _full_errors() -> Iterator[None]:
    """Inside, Hydra raises its exceptions instead of printing them and leaving with exit code 1."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before

"""The one error that a user's input can cause: shown as a single line, exit code 2."""


class InputError(ValueError):
    """What was wrong, the value, and what would be right, in one line.

    Raised for anything a user can mend: a path, a configuration value, a bar file, an artifact. The command line prints
    the message without a traceback and exits with 2; every other exception is a defect of ours and keeps its traceback.
    """


class Refusal(Exception):
    """The trader declines to go on until a person has looked; the message says why and what to do. Exit code 3."""

"""The errors that a user or a trader's account can cause: shown without a traceback, each with its exit code."""


class InputError(ValueError):
    """What was wrong, the value, and what would be right, in one line.

    Raised for anything a user can mend: a path, a configuration value, a bar file, an artifact. The command line prints
    the message without a traceback and exits with 2; every other exception is a defect of ours and keeps its traceback.
    """


class Refusal(Exception):
    """The trader declines to go on until a person has looked; the message says why and what to do. Exit code 3."""


class Unanswered(Refusal):
    """The venue does not answer, and nothing can be done before it does: starting again later mends that. Exit code 5."""


class Halted(Exception):
    """The kill switch is thrown: nothing is ordered until a person releases it; the message says why. Exit code 4."""

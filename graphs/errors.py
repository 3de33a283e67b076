"""The one exception for input that a user can mend."""


class InputError(ValueError):
    """Bad input: the message names the value found, the rule it breaks and how to mend it.

    The command line prints the message alone and exits with code 2; from Python it is a ``ValueError``.
    """

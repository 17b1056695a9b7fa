"""The one error of the key tool that a user sees."""


class Problem(Exception):
    """Why something cannot be done: one line for the user, without secrets."""

"""The one exception that a deployment shows to a person."""


class DeployError(Exception):
    """Something that the person at the keyboard can put right; the text says what, where, and what to do."""

"""The one exception that the local platform shows to a person."""


class LocalPlatformError(Exception):
    """Something that the person at the keyboard can put right; the text says what, where, and what to do."""

"""What an operator can put right."""


class ControlPlaneError(Exception):
    """Something outside this program is wrong; the message says what, where and what to do."""


def one_line(error: object) -> str:
    """Return the text of an error, or any other text, without line breaks."""
    return " ".join(str(error).split())

"""The lines of a dead process's log that say why it died."""

import re

_CHAIN = re.compile(
    r"^(?:The above exception was the direct cause of|During handling of the above exception, another)",
    re.MULTILINE,
)


def excerpt(log: str, lines: int = 10) -> str:
    """Return the end of a log; of chained tracebacks the end of the first, which is the cause of the others.

    Args:
        log: what the process has written.
        lines: how many lines to return at most.
    """
    cause = _CHAIN.split(log, maxsplit=1)[0]
    return "\n".join(cause.strip().splitlines()[-lines:])

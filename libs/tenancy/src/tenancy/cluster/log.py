"""Logs of the control plane: one record, one line, to standard output, where the cluster's log collector reads."""

import logging
import sys
import time


class OneLine(logging.Formatter):
    """Time in UTC, level, logger, message; line breaks, as in a traceback, are written as a backslash and an n."""

    converter = time.gmtime

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).strip().replace("\n", "\\n")


def configure() -> None:
    """Write everything of level INFO and above that this process logs or warns of."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(OneLine())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # One line for each request and each retry of a client.
    for name in ("alembic", "httpx", "kubernetes", "uvicorn.access", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)


def take_over(*names: str) -> None:
    """Let loggers that somebody else has configured since then write as all others do."""
    for name in names:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True

"""What is done again and again goes on after an error, and ends with its block."""

import time

import pytest
from tenancy.cluster.repeating import repeating

from . import plane as planes


def test_whatever_goes_wrong_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    times: list[int] = []

    def action() -> None:
        times.append(1)
        raise RuntimeError("the database is away")

    with repeating(action, 0.01, failed="the workspace could not be loaded anew"):
        planes.until(lambda: len(times) > 2)
    ended = len(times)
    time.sleep(0.1)
    assert len(times) == ended
    assert "the workspace could not be loaded anew; trying again" in caplog.text
    assert "the database is away" in caplog.text

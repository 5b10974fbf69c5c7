"""What Kubernetes' answers mean for a run."""

import json

from kubernetes.client.exceptions import ApiException

from tenancy.cluster.errors import one_line

FORBIDDEN, NOT_FOUND, CONFLICT = 403, 404, 409
PASSING = frozenset({0, 401, 408, 429, 500, 502, 503, 504})
"""0: no answer. 401: a token that is just being replaced."""
FULL = ("exceeded quota", "status unknown for quota")
"""What a quota answers when it is used up, or was made a moment ago."""


class RunRefusedError(Exception):
    """A run will not be launched, now or later; the message becomes that of its failure."""


class ClusterBusyError(Exception):
    """Kubernetes takes no Job now, or does not answer; nothing is wrong with the run."""


class NoAnswerError(ClusterBusyError):
    """Kubernetes does not answer."""

    def __init__(self, error: object) -> None:
        super().__init__(f"the Kubernetes API does not answer: {one_line(error)}")


def meaning(error: ApiException, namespace: str) -> RunRefusedError | ClusterBusyError:
    """Return what an answer to the making of a Job means for the run."""
    text = said(error)
    if error.status in PASSING or (error.status == FORBIDDEN and any(words in text for words in FULL)):
        return ClusterBusyError(f"namespace {namespace} takes no Job now: {text}")
    if error.status == NOT_FOUND or "is being terminated" in text:
        advice = "there is no such namespace, or it is going away: run `helm upgrade` of the platform"
    elif error.status == FORBIDDEN:
        advice = "the control plane needs the Role launch-runs there: run `helm upgrade` of the platform"
    else:
        advice = "look at the container context of the location's runs"
    return RunRefusedError(f"namespace {namespace} does not take the run's Job: {text}; {advice}")


def said(error: ApiException) -> str:
    """Return Kubernetes' own words, one line."""
    try:
        return one_line(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        return one_line(f"{error.status} {error.reason}")

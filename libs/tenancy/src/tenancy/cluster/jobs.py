"""The Kubernetes API as the launcher uses it: one attempt each, and an answer that says what it means for the run."""

import json
import logging
from typing import Any

import urllib3.exceptions
from dagster_k8s.client import (
    DagsterK8sAPIRetryLimitExceeded,
    DagsterK8sUnrecoverableAPIError,
    DagsterKubernetesClient,
)
from kubernetes.client import V1DeleteOptions, V1Job
from kubernetes.client.exceptions import ApiException

from tenancy.cluster.errors import one_line
from tenancy.cluster.room import Quota

ANSWER_SECONDS = 10.0

WRAPPED = (DagsterK8sAPIRetryLimitExceeded, DagsterK8sUnrecoverableAPIError)

FORBIDDEN, NOT_FOUND, CONFLICT = 403, 404, 409
PASSING = frozenset({0, 401, 408, 429, 500, 502, 503, 504})
"""0: no answer. 401: a token that is just being replaced."""
FULL = ("exceeded quota", "status unknown for quota")
"""What a quota answers when it is used up, or was made a moment ago."""

logger = logging.getLogger("tenancy.cluster")


class RunRefusedError(Exception):
    """A run will not be launched, now or later; the message becomes that of its failure."""


class ClusterBusyError(Exception):
    """Kubernetes takes no Job now, or does not answer; nothing is wrong with the run."""


class Jobs(DagsterKubernetesClient):
    """The client of dagster-k8s; it does not wait and try again by itself, for the queue does.

    The thread that empties the queue would else stand still for a minute, for all teams.
    """

    def create_namespaced_job_with_retries(self, body: V1Job, namespace: str, **_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Make a Job; one of this name that is there already and has not ended is the one, from a lost answer.

        Raises:
            RunRefusedError: Kubernetes will not have it.
            ClusterBusyError: not now.
        """
        try:
            self.batch_api.create_namespaced_job(body=body, namespace=namespace, _request_timeout=ANSWER_SECONDS)
        except ApiException as error:
            if error.status != CONFLICT:
                raise meaning(error, namespace) from error
            self._adopt(body, namespace)
        except urllib3.exceptions.HTTPError as error:
            raise ClusterBusyError(f"the Kubernetes API does not answer: {one_line(error)}") from error

    def _adopt(self, body: Any, namespace: str) -> None:
        name = body.metadata.name
        try:
            status = self.get_job_status(job_name=name, namespace=namespace)
            if status is None or status.succeeded or status.failed:
                # Its pod found the run in the queue again, and left it alone.
                self.delete_job(name, namespace)
                raise ClusterBusyError(f"an earlier Job {name} in namespace {namespace} is being removed")
        except (*WRAPPED, ApiException, urllib3.exceptions.HTTPError) as error:
            raise ClusterBusyError(f"the Kubernetes API does not answer: {one_line(error)}") from error

    def delete_job(self, job_name: str, namespace: str) -> bool:
        """Delete a Job; returns whether there was one. Kubernetes deletes its pods.

        The client's own way is to leave the pods, and to delete those that it has seen before: one that is made
        meanwhile stays, and so does the right to delete any pod.
        """
        try:
            self.batch_api.delete_namespaced_job(
                job_name,
                namespace,
                body=V1DeleteOptions(propagation_policy="Background"),
                _request_timeout=ANSWER_SECONDS,
            )
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise
            return False
        return True

    def quotas(self, namespace: str) -> list[Quota]:
        """Return the quotas that count every pod of a namespace; none when they may not be seen.

        Raises:
            ClusterBusyError: there is no answer.
        """
        try:
            found: Any = self.core_api.list_namespaced_resource_quota(namespace, _request_timeout=ANSWER_SECONDS)
        except ApiException as error:
            if error.status in PASSING:
                raise meaning(error, namespace) from error
            logger.warning("the quotas of namespace %s cannot be seen: %s", namespace, said(error))
            return []
        except urllib3.exceptions.HTTPError as error:
            raise ClusterBusyError(f"the Kubernetes API does not answer: {one_line(error)}") from error
        return [
            Quota(quota.status.hard or {}, quota.status.used or {})
            for quota in found.items
            if quota.status and not quota.spec.scopes and not quota.spec.scope_selector
        ]


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

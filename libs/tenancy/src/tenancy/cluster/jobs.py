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
from kubernetes.client import V1DeleteOptions, V1Job, V1Preconditions
from kubernetes.client.exceptions import ApiException

from tenancy.cluster.answers import (
    CONFLICT,
    NOT_FOUND,
    PASSING,
    ClusterBusyError,
    NoAnswerError,
    meaning,
    said,
)
from tenancy.cluster.janitor import RunJob, unfinished
from tenancy.cluster.room import Quota

ANSWER_SECONDS = 10.0
PAGE = 500
OF_RUNS = "app.kubernetes.io/component=run_worker,dagster/run-id"
NOT_SUCCEEDED = "status.successful=0"
"""Kubernetes chooses by little of a Job's status; those that have failed come along."""

WRAPPED = (DagsterK8sAPIRetryLimitExceeded, DagsterK8sUnrecoverableAPIError)

logger = logging.getLogger("tenancy.cluster")


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
            raise NoAnswerError(error) from error

    def _adopt(self, body: Any, namespace: str) -> None:
        name = body.metadata.name
        try:
            status = self.get_job_status(job_name=name, namespace=namespace)
            if status is None or status.succeeded or status.failed:
                # Its pod found the run in the queue again, and left it alone.
                self.delete_job(name, namespace)
                raise ClusterBusyError(f"an earlier Job {name} in namespace {namespace} is being removed")
        except (*WRAPPED, ApiException, urllib3.exceptions.HTTPError) as error:
            raise NoAnswerError(error) from error

    def delete_job(self, job_name: str, namespace: str) -> bool:
        """Delete a Job; returns whether there was one. Kubernetes deletes its pods.

        The client's own way is to leave the pods, and to delete those that it has seen before: one that is made
        meanwhile stays, and so does the right to delete any pod.
        """
        try:
            self._delete(job_name, namespace, None)
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise
            return False
        return True

    def _delete(self, name: str, namespace: str, only_if: V1Preconditions | None) -> None:
        options = V1DeleteOptions(propagation_policy="Background", preconditions=only_if)
        self.batch_api.delete_namespaced_job(name, namespace, body=options, _request_timeout=ANSWER_SECONDS)

    def unfinished(self, namespace: str) -> list[RunJob]:
        """Return the Jobs of runs in a namespace that have not come to their end.

        Raises:
            ClusterBusyError: they cannot be seen.
        """
        found: list[RunJob] = []
        more: str | None = None
        while True:
            try:
                # As text: the client takes milliseconds to make objects of one Job.
                answer = self.batch_api.list_namespaced_job(
                    namespace,
                    label_selector=OF_RUNS,
                    field_selector=NOT_SUCCEEDED,
                    limit=PAGE,
                    _continue=more,
                    _preload_content=False,
                    _request_timeout=ANSWER_SECONDS,
                )
            except ApiException as error:
                raise ClusterBusyError(said(error)) from error
            except urllib3.exceptions.HTTPError as error:
                raise NoAnswerError(error) from error
            content = json.loads(answer.data)
            found += unfinished(namespace, content["items"])
            more = content["metadata"].get("continue")
            if not more:
                return found

    def remove(self, job: RunJob) -> bool:
        """Delete a Job as it was when it was seen; returns False when it has changed or is gone.

        Raises:
            ClusterBusyError: Kubernetes does not do it.
        """
        try:
            self._delete(job.name, job.namespace, V1Preconditions(resource_version=job.version))
        except ApiException as error:
            if error.status in (NOT_FOUND, CONFLICT):
                return False
            raise ClusterBusyError(said(error)) from error
        except urllib3.exceptions.HTTPError as error:
            raise NoAnswerError(error) from error
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
            raise NoAnswerError(error) from error
        return [
            Quota(quota.status.hard or {}, quota.status.used or {})
            for quota in found.items
            if quota.status and not quota.spec.scopes and not quota.spec.scope_selector
        ]

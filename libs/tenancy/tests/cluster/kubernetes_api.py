"""A Kubernetes API in memory, for what the launcher asks of one; it remembers what was asked.

The real one is asked in `tests/e2e`.
"""

import json
import re
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

JOBS = re.compile(r"/apis/batch/v1/namespaces/([^/]+)/jobs(?:/([^/]+))?(/status)?")
CORE = re.compile(r"/api/v1/namespaces/([^/]+)/(pods|events|resourcequotas)(?:/([^/]+))?(/log)?")

BEGUN = "2026-01-01T00:00:00Z"
VERBS = {"POST": "create", "DELETE": "delete", "GET": "get"}

Refusal = tuple[int, str]
"""Status and message of an answer that is an error."""


@dataclass
class KubernetesApi:
    """What is in the cluster, and what was asked of it."""

    url: str = ""
    jobs: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict[tuple[str, str], dict[str, Any]])
    quotas: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    refusals: deque[Refusal] = field(default_factory=deque[Refusal])
    """Answers to the next attempts to make a Job."""
    lost_answers: int = 0
    """How many of the next Jobs are made without an answer."""
    may_see_quotas: bool = True
    not_listed: set[str] = field(default_factory=set[str])
    """Namespaces whose Jobs may not be seen."""
    page: int = 500
    """How many Jobs are listed at once, at most."""
    is_down: bool = False
    asked: set[str] = field(default_factory=set[str])
    """Resource and verb of every request, as a Role names them."""
    before_deletion: Callable[[], None] | None = None
    """What happens before the next Job is deleted."""
    _version: int = 0

    def job_of(self, run_id: str) -> dict[str, Any]:
        """Return the Job of a run."""
        return next(job for (_, name), job in self.jobs.items() if name == f"dagster-run-{run_id}")

    def end(self, run_id: str, **status: int) -> None:
        """Give the Job of a run a status."""
        kind = "Failed" if status.get("failed") else "Complete" if status.get("succeeded") else None
        conditions = [{"type": kind, "status": "True"}] if kind else []
        job = self.job_of(run_id)
        job["status"] = {**status, "startTime": BEGUN, "conditions": conditions}
        self._change(job)

    def age(self, run_id: str, seconds: float) -> None:
        """Let the Job of a run have been made some time ago."""
        made = datetime.now(UTC) - timedelta(seconds=seconds)
        self.job_of(run_id)["metadata"]["creationTimestamp"] = made.isoformat()

    def _change(self, job: dict[str, Any]) -> None:
        self._version += 1
        job["metadata"]["resourceVersion"] = str(self._version)

    def set_quota(self, namespace: str, hard: Mapping[str, str], used: Mapping[str, str]) -> None:
        """Give a namespace one quota."""
        status = {"hard": dict(hard), "used": dict(used)}
        self.quotas[namespace] = [{"metadata": {"name": "team"}, "spec": {"hard": dict(hard)}, "status": status}]

    def reset(self) -> None:
        """Forget everything but what was asked."""
        self.jobs.clear()
        self.quotas.clear()
        self.refusals.clear()
        self.not_listed.clear()
        self.lost_answers, self.may_see_quotas, self.is_down, self.page = 0, True, False, 500

    def answer(self, verb: str, path: str, body: Any) -> tuple[int, Any] | None:
        """Answer one request; None for no answer at all."""
        if self.is_down:
            return None
        where = urlsplit(path)
        if (match := JOBS.fullmatch(where.path)) is not None:
            namespace, name, status = match.groups()
            return self._jobs(verb, namespace, name, status, body, where.query)
        if (match := CORE.fullmatch(where.path)) is not None:
            namespace, kind, name, log = match.groups()
            self.asked.add(f"{kind}{log or ''} {VERBS[verb] if name else 'list'}")
            if kind == "resourcequotas":
                if not self.may_see_quotas:
                    return error(403, f'resourcequotas is forbidden in the namespace "{namespace}"')
                return 200, {"kind": "ResourceQuotaList", "items": self.quotas.get(namespace, [])}
            if kind == "pods":
                return 200, self._pods(namespace) if not name else {}
            return 200, {"kind": "List", "items": []}
        raise AssertionError(f"the launcher asked {verb} {path}")

    def _pods(self, namespace: str) -> dict[str, Any]:
        """Return the pods of Jobs that have failed: their containers were killed."""
        killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
        state = {"name": "dagster", "ready": False, "restartCount": 0, "image": "", "imageID": "", "state": killed}
        pods = [
            {
                "metadata": {"name": f"{name}-x"},
                "spec": {"containers": [{"name": "dagster"}]},
                "status": {"phase": "Failed", "containerStatuses": [state]},
            }
            for (where, name), job in self.jobs.items()
            if where == namespace and job["status"].get("failed")
        ]
        return {"kind": "PodList", "items": pods}

    def _jobs(
        self, verb: str, namespace: str, name: str | None, status: str | None, body: Any, query: str
    ) -> tuple[int, Any] | None:
        self.asked.add(f"jobs{status or ''} {VERBS[verb] if name or verb == 'POST' else 'list'}")
        if verb == "POST":
            return self._make_job(namespace, body)
        if name is None:
            return self._list(namespace, {key: value for key, (value,) in parse_qs(query).items()})
        if verb == "DELETE":
            return self._delete(namespace, name, body)
        job = self.jobs.get((namespace, name))
        return (200, job) if job else error(404, f'jobs.batch "{name}" not found')

    def _list(self, namespace: str, query: Mapping[str, str]) -> tuple[int, Any]:
        if namespace in self.not_listed:
            return error(403, f'jobs.batch is forbidden in the namespace "{namespace}"')
        found = [job for (where, _), job in self.jobs.items() if where == namespace]
        match query:
            case {"labelSelector": "app.kubernetes.io/component=run_worker,dagster/run-id", "limit": limit}:
                assert query["fieldSelector"] == "status.successful=0"
                found = [job for job in found if not job["status"].get("succeeded")]
                assert all("dagster/run-id" in job["metadata"]["labels"] for job in found)
                begin, size = int(query.get("continue", "0")), min(int(limit), self.page)
                more = {"continue": str(begin + size)} if len(found) > begin + size else {}
                return 200, {"kind": "JobList", "metadata": more, "items": found[begin : begin + size]}
            case {"fieldSelector": selector}:
                found = [job for job in found if f"metadata.name={job['metadata']['name']}" == selector]
                return 200, {"kind": "JobList", "metadata": {}, "items": found}
            case _:
                raise AssertionError(f"the launcher lists Jobs by {query}")

    def _delete(self, namespace: str, name: str, options: Mapping[str, Any]) -> tuple[int, Any]:
        if self.before_deletion is not None:
            happens, self.before_deletion = self.before_deletion, None
            happens()
        assert options["propagationPolicy"] == "Background", "the pods of the Job would stay"
        job = self.jobs.get((namespace, name))
        if job is None:
            return error(404, f'jobs.batch "{name}" not found')
        wanted = (options.get("preconditions") or {}).get("resourceVersion")
        if wanted not in (None, job["metadata"]["resourceVersion"]):
            return error(409, f'Operation cannot be fulfilled on jobs.batch "{name}": Precondition failed')
        return 200, self.jobs.pop((namespace, name))

    def _make_job(self, namespace: str, job: dict[str, Any]) -> tuple[int, Any] | None:
        if self.refusals:
            return error(*self.refusals.popleft())
        key = (namespace, job["metadata"]["name"])
        if key in self.jobs:
            return error(409, f'jobs.batch "{key[1]}" already exists')
        self.jobs[key] = {**job, "status": {"active": 1, "startTime": BEGUN}}
        self._change(self.jobs[key])
        self.age(job["metadata"]["labels"]["dagster/run-id"], 0)
        if self.lost_answers:
            self.lost_answers -= 1
            return None
        return 201, job


def error(status: int, message: str) -> tuple[int, Any]:
    """Return an error as Kubernetes words it."""
    return status, {"kind": "Status", "status": "Failure", "message": message, "code": status}


@contextmanager
def running() -> Generator[KubernetesApi]:
    """Serve an API on a port of this machine."""
    api = KubernetesApi()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            answer = api.answer(self.command, self.path, body)
            if answer is None:
                self.close_connection = True
                return
            status, content = answer
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the names are the base's

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        api.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield api
        server.shutdown()
        thread.join()


def write_kubeconfig(path: Path, url: str) -> Path:
    """Write how to reach the API."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    path.write_text(yaml.safe_dump(content))
    return path

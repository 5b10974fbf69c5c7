"""What the running Dagster instance says about itself, by GraphQL, so that the launcher need not import Dagster."""

from typing import Any

import httpx

HEARTBEATS = "{instance{daemonHealth{allDaemonStatuses{daemonType required lastHeartbeatTime}}}}"


class Instance:
    """Questions to the webserver.

    Args:
        url: of the webserver, without a slash at the end.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(timeout=20.0)

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Return the data that answers a query.

        Raises:
            httpx.HTTPError: the webserver cannot be reached, or refuses the query.
        """
        response = self._client.post(f"{self.url}/graphql", json={"query": query, "variables": variables})
        response.raise_for_status()
        answer = response.json()
        if answer.get("errors"):
            raise httpx.DecodingError(f"GraphQL: {answer['errors'][0].get('message')}", request=response.request)
        return answer["data"]

    def heartbeats(self) -> dict[str, float] | None:
        """Return when each required daemon last gave a sign of life (seconds of the epoch), None when unknown."""
        try:
            statuses = self.ask(HEARTBEATS)["instance"]["daemonHealth"]["allDaemonStatuses"]
        except httpx.HTTPError:
            return None
        return {status["daemonType"]: status["lastHeartbeatTime"] or 0.0 for status in statuses if status["required"]}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

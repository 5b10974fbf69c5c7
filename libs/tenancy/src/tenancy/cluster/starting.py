"""The instance of the control plane, opened with one message when it cannot be."""

from collections.abc import Generator
from contextlib import contextmanager

from dagster import DagsterError, DagsterInstance

from tenancy.cluster.errors import ControlPlaneError, one_line


@contextmanager
def opened_instance() -> Generator[DagsterInstance]:
    """Open the instance that DAGSTER_HOME describes, with its queue and its launcher, which are else made later.

    Raises:
        ControlPlaneError: dagster.yaml, or a file that it names, is not usable.
    """
    try:
        instance = DagsterInstance.get()
        _ = instance.run_coordinator, instance.run_launcher
    except DagsterError as error:
        raise ControlPlaneError(f"the instance cannot be opened, check dagster.yaml: {one_line(error)}") from error
    with instance:
        yield instance

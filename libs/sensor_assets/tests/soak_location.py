"""The location of the daemon tests, in a code server that faults reach."""

import os
from pathlib import Path

from libs.sensor_assets.tests import daemon_location
from libs.sensor_assets.tests.soak_faults import expose

expose(Path(os.environ["FAULTS"]), "code-server")
defs, ledger = daemon_location.defs, daemon_location.ledger

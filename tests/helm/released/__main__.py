"""Keep what this state of the charts makes as the last release: `python -m tests.helm.released`."""

import json

from tests.helm.immutable import OBJECTS, rendered

OBJECTS.write_text(json.dumps(rendered(), indent=1, sort_keys=True) + "\n")

"""`python -m sensor_assets`: the command `sensor-assets`."""

import sys

from sensor_assets.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

"""Write what the charts make of every environment, and the Job of a run of each location, as files.

python -m tests.helm.manifests .local/manifests
"""

import sys
from pathlib import Path

import yaml

from tests.helm import releases, runs


def main(directory: Path) -> None:
    """Write the files."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in releases.CLUSTERS:
        values = releases.environment(name)
        objects = [*releases.everything(values), *runs.of_everything(values)[1]]
        (directory / f"{name}.yaml").write_text(yaml.safe_dump_all(objects))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

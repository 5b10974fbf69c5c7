"""Hold what checkov found against the skips that have a reason: `python -m tests.helm.findings FILE`."""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.helm.rendering import read_one

SKIPS = Path(__file__).with_name("checkov.yaml")


def unexplained(report: Mapping[str, Any], skips: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Yield findings without a reason, and reasons without a finding.

    Args:
        report: what `checkov --output json` prints of one framework.
        skips: entries with `check`, `objects` and `reason`.
    """
    used: set[int] = set()
    for found in report["results"]["failed_checks"]:
        check, name = found["check_id"], found["resource"]
        reasons = [
            index
            for index, skip in enumerate(skips)
            if skip["check"] == check and re.fullmatch(skip["objects"], name) and skip["reason"]
        ]
        used |= set(reasons)
        if not reasons:
            yield f"{found['file_path']}: {name}: {check}: {found['check_name']}"
    for index, skip in enumerate(skips):
        if index not in used:
            yield f"{SKIPS.name}: {skip['check']} of {skip['objects']} is found nowhere; take it out"
    if not report["summary"]["passed"] or report["summary"]["parsing_errors"]:
        yield f"checkov has read nothing, or not all: {report['summary']}"


def main(file: Path) -> int:
    """Print what is unexplained; 1 when anything is."""
    found = list(unexplained(json.loads(file.read_text()), read_one(SKIPS.read_text())))
    print("\n".join(found), file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

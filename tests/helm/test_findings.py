"""`make lint-charts` lets nothing pass that has no reason."""

from typing import Any

from tests.helm.findings import SKIPS, unexplained
from tests.helm.rendering import read_one

SKIP = {"check": "CKV_K8S_1", "objects": r"Pod\.x\.(a|b)", "reason": "so"}


def report(*found: tuple[str, str], passed: int = 9, parsing_errors: int = 0) -> dict[str, Any]:
    """Return what checkov prints."""
    failed = [
        {"check_id": check, "resource": name, "file_path": "/dev.yaml", "check_name": "x"} for check, name in found
    ]
    return {
        "results": {"failed_checks": failed},
        "summary": {"passed": passed, "parsing_errors": parsing_errors},
    }


def test_a_finding_with_a_reason_passes() -> None:
    assert list(unexplained(report(("CKV_K8S_1", "Pod.x.a"), ("CKV_K8S_1", "Pod.x.b")), [SKIP])) == []


def test_another_object_or_another_check_does_not() -> None:
    found = report(("CKV_K8S_1", "Pod.x.a"), ("CKV_K8S_1", "Pod.x.ab"), ("CKV_K8S_2", "Pod.x.a"))
    assert list(unexplained(found, [SKIP])) == [
        "/dev.yaml: Pod.x.ab: CKV_K8S_1: x",
        "/dev.yaml: Pod.x.a: CKV_K8S_2: x",
    ]


def test_a_skip_that_nothing_needs_is_told() -> None:
    (found,) = unexplained(report(), [SKIP])
    assert found.startswith("checkov.yaml: CKV_K8S_1 of ")


def test_a_run_that_read_nothing_is_no_success() -> None:
    assert len(list(unexplained(report(passed=0), []))) == 1
    assert len(list(unexplained(report(parsing_errors=1), []))) == 1


def test_every_skip_has_a_reason() -> None:
    assert all(
        set(skip) == {"check", "objects", "reason"} and len(skip["reason"]) > 20 for skip in read_one(SKIPS.read_text())
    )

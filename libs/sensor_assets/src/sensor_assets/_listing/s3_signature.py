"""Signatures of version 4 for requests without a body, in a third of the time that botocore takes.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256

NOTHING = sha256(b"").hexdigest()


def signed(
    host: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    *,
    access_key: str,
    secret_key: str,
    token: str | None,
    region: str,
    now: datetime | None = None,
) -> dict[str, str]:
    """Return the headers of a GET request with those that sign it.

    Args:
        host: What the header Host will say.
        path: Path as it is sent, quoted.
        query: Parameters as they are sent: quoted, sorted, each with a ``=``.
        headers: More headers.
        access_key: Id of the key.
        secret_key: The key.
        token: Session token of a temporary key.
        region: Region of the bucket.
        now: Time of the request (UTC).
    """
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    sent = {**headers, "X-Amz-Content-SHA256": NOTHING, "X-Amz-Date": moment}
    if token:
        sent["X-Amz-Security-Token"] = token
    lines = sorted([("host", host), *((name.lower(), " ".join(value.split())) for name, value in sent.items())])
    names = ";".join(name for name, _ in lines)
    canonical = (
        f"GET\n{path}\n{query}\n" + "".join(f"{name}:{value}\n" for name, value in lines) + f"\n{names}\n{NOTHING}"
    )
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    signature = hmac.digest(_key(secret_key, moment[:8], region), text.encode(), "sha256").hex()
    sent["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return sent


@lru_cache(maxsize=8)
def _key(secret_key: str, day: str, region: str) -> bytes:
    """Return the key of a day."""
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key

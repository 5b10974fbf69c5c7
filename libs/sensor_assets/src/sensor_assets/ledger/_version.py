"""How a version is stored: the ETag that most object stores give, an MD5 in quotes, in half of its bytes."""

MD5_BYTES = 16
QUOTED_MD5_LENGTH = 34


def encode(version: str) -> bytes:
    """Return the bytes for a version; different versions have different bytes.

    Sixteen bytes are a quoted MD5; any other text stands for itself, and gets a zero byte behind it when it would have
    sixteen. No version has a zero byte of its own, see `storable`.
    """
    if len(version) == QUOTED_MD5_LENGTH:
        try:
            digest = bytes.fromhex(version[1:-1])
        except ValueError:
            digest = b""
        # Not all that reads as hex is written so: capitals and spaces are texts.
        if f'"{digest.hex()}"' == version:
            return digest
    text = version.encode()
    return text + b"\0" if len(text) == MD5_BYTES else text


def decode(stored: bytes) -> str:
    """Return the version that was encoded."""
    if len(stored) == MD5_BYTES:
        return f'"{stored.hex()}"'
    return stored.removesuffix(b"\0").decode()

"""Pages of the documentation as programs: their files are written, their commands run, their output compared.

A code block says after its language what is to be done with it:

    sh run                run in the shell of the page, which keeps its directory
    text output           what the commands before it printed, `...` standing for anything
    python run            run in the namespace of the page
    LANGUAGE file=PATH    write it to a file; `append` adds it to the end of one

A block that says nothing is for reading.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_BLOCK = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it is, its language, what is to be done with it, its text."""

    page: Path
    line: int
    language: str
    words: tuple[str, ...]
    body: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def file(self) -> str | None:
        """The path to which the block is written."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), None)


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        language, *words = found["info"].split() or [""]
        yield Block(page, text.count("\n", 0, found.start()) + 1, language, tuple(words), found["body"])


@dataclass
class Session:
    """Someone who follows pages: a directory, variables, and what the last commands printed."""

    directory: Path
    environment: Mapping[str, str]
    names: dict[str, Any] = field(default_factory=dict[str, Any])
    printed: str = ""

    def follow(self, page: Path) -> int:
        """Do what a page says; returns the number of blocks that were for doing.

        Raises:
            AssertionError: A command failed or printed something else; the message names the block.
        """
        done = 0
        for block in blocks(page):
            done += self._follow(block)
        return done

    def _follow(self, block: Block) -> bool:
        if (path := block.file) is not None:
            self._write(self.directory / path, block)
        elif block.words == ("run",) and block.language == "sh":
            self._run(block)
        elif block.words == ("run",) and block.language == "python":
            code = compile("\n" * block.line + block.body, str(block.page), "exec")
            exec(code, self.names)
        elif block.words == ("output",):
            self._compare(block)
        else:
            assert not block.words, f"{block}: nobody knows what '{' '.join(block.words)}' asks for"
            return False
        return True

    def _write(self, file: Path, block: Block) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        before = f"{file.read_text().rstrip()}\n\n\n" if "append" in block.words else ""
        file.write_text(before + block.body)

    def _run(self, block: Block) -> None:
        where = self.directory / ".where"
        script = f"set -e\n{block.body}\npwd > '{where}'\n"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.directory,
            env=dict(self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block} ended with {done.returncode}:\n{done.stdout}"
        self.printed = done.stdout
        self.directory = Path(where.read_text().strip())
        where.unlink()

    def _compare(self, block: Block) -> None:
        pattern = ".*".join(re.escape(part) for part in block.body.strip("\n").split("..."))
        assert re.search(pattern, self.printed, re.DOTALL), f"{block}: expected\n{block.body}\nbut got\n{self.printed}"


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a person who has uv on the path and nothing of this repository's set."""
    inherited = ("PATH", "HOME", "LANG", "TMPDIR", "UV_CACHE_DIR", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "PIP_INDEX_URL")
    kept = {name: os.environ[name] for name in inherited if name in os.environ}
    if uv := os.environ.get("UV"):
        kept["PATH"] = f"{Path(uv).parent}{os.pathsep}{kept['PATH']}"
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy") or "SSL" in name}
    return {**kept, **proxies, **variables}

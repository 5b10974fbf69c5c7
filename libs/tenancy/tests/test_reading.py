"""What of YAML is taken, what is refused, and that nothing but InvalidFileError ever comes out."""

import os
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tenancy import register
from tenancy.document import InvalidFileError
from tenancy.reading import LARGEST_FILE, parse, read


def problems_of(text: str) -> list[str]:
    """Return the messages that a text gives, whether they stop the reading or not."""
    try:
        return [str(problem) for problem in parse(text, "f.yaml").problems]
    except InvalidFileError as error:
        return str(error).splitlines()


def test_values_keep_the_line_of_their_key() -> None:
    document = parse('a:\n  b: 1\n  c:\n    - x\n    - {d: "no"}\n', "f.yaml")
    assert document.value == {"a": {"b": 1, "c": ["x", {"d": "no"}]}}
    assert document.lines[("a", "b")] == 2
    assert document.lines[("a", "c", 1, "d")] == 5
    assert document.problems == []


@pytest.mark.parametrize(
    ("text", "value"),
    [("null", None), ("~", None), ("", None), ("true", True), ("false", False), ("0", 0), ("-12", -12), ("2.50", 2.5)]
    + [(text, text) for text in ("16Gi", "s3://bucket", "500m", "a b", "a@b.example", "-x", "1.2.3")],
)
def test_a_plain_word_that_all_readers_agree_on_is_taken(text: str, value: object) -> None:
    document = parse(f"k: {text}\n", "f.yaml")
    assert document.value == {"k": value}
    assert document.problems == []


@pytest.mark.parametrize(
    "word",
    [
        *("no", "No", "yes", "on", "OFF", "y", "N", "True", "NULL", "=", "<<", "2013-01-01", "12:30", "010", "0o17"),
        *("0x1f", "0b1", "1_000", "1e3", "1.", ".5", "+1", ".inf", ".NaN", "9" * 400),
    ],
)
def test_a_plain_word_that_readers_disagree_on_must_be_quoted_as_value_and_as_key(word: str) -> None:
    advice = "is not text for every reader of YAML; put it in quotes"
    assert [line.endswith(advice) for line in problems_of(f"k: {word}\n")] == [True]
    assert [line.endswith(advice) for line in problems_of(f"{word}: k\n")] == [True]
    assert problems_of(f'"{word}": "{word}"\n') == []


@pytest.mark.parametrize("word", ["null", "true", "12", "1.5"])
def test_a_key_that_is_no_text_must_be_quoted(word: str) -> None:
    assert problems_of(f"{word}: k\n") == [
        f"f.yaml:1: {word}: {word} is not text for every reader of YAML; put it in quotes"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml: is empty"),
        ("# only a comment\n", "f.yaml: is empty"),
        ("---\n...\n", "f.yaml: is empty"),
        ("a: 1\n---\na: 2\n", "f.yaml:2: a second document begins; keep only one"),
        ("a:\n\tb: 1\n", "f.yaml:2: is not valid YAML: a tab; indent with spaces"),
        ("a: [1, 2\n", "f.yaml:2: is not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\nb: \x00\n", "f.yaml:2: is not valid YAML: character 0 is not allowed"),
        ('a: "\\UFFFFFFFF"\n', "f.yaml: is not valid YAML: chr() arg not in range(0x110000)"),
        ("a: 1\n\nb: 2\na: 3\n", "f.yaml:4: a: also on line 1; keep one"),
        ("a: !!python/object/apply:os.system [ls]\n", "f.yaml:1: a: tags (!) are not allowed"),
        ("a: &x 1\n", "f.yaml:1: anchors and aliases are not allowed; write the value out"),
        ("a: 1\nb: *x\n", "f.yaml:2: anchors and aliases are not allowed; write the value out"),
        ("? [a]\n: b\n", "f.yaml:1: a list or a mapping cannot be a key"),
        ("[" * 100_000, "f.yaml:1: is nested more than 16 levels deep"),
        ("- " * 100_000, "f.yaml:1: is nested more than 16 levels deep"),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_a_text_that_cannot_be_used_gives_one_line_that_says_why(text: str, message: str) -> None:
    (line,) = problems_of(text)
    assert line.startswith(message.replace("chr() arg not in range(0x110000)", ""))


def test_an_anchor_bomb_is_refused_before_it_grows() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{key}: &{key} [{','.join([f'*{before}'] * 9)}]\n" for before, key in zip("abcdefgh", "bcdefghi", strict=True)
    )
    tracemalloc.start()
    assert problems_of(bomb) == ["f.yaml:1: anchors and aliases are not allowed; write the value out"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize(
    "text",
    [
        "a" * LARGEST_FILE,
        "a: 1\n" * (LARGEST_FILE // 5),
        "".join(f"k{number}: 1\n" for number in range(LARGEST_FILE // 12)),
        "teams: {" + "no, " * (LARGEST_FILE // 5) + "}",
        "teams:\n" + "  x: {y: {z: 0x}}\n" * (LARGEST_FILE // 20),
        "[" + "[[[[[[[[1]]]]]]]]," * (LARGEST_FILE // 20) + "]",
        '"' + "\\x" * (LARGEST_FILE // 2),
        "? " * (LARGEST_FILE // 2),
        "{" * (LARGEST_FILE // 2),
        "a: 'b\n" * (LARGEST_FILE // 6),
        "k: " + "9" * (LARGEST_FILE - 10),
    ],
    ids=lambda text: repr(text[:14]),
)
def test_the_largest_file_is_answered_in_bounded_time_and_lines(text: str) -> None:
    begin = time.process_time()
    with pytest.raises(InvalidFileError) as caught:
        register.loads(text)
    assert time.process_time() - begin < 30  # against hanging: what grows with the square takes hours
    assert len(str(caught.value).splitlines()) <= 51
    assert max(map(len, str(caught.value).splitlines())) < 2000


def test_a_path_that_is_no_readable_file_is_one_line(tmp_path: Path) -> None:
    def message(path: Path) -> str:
        with pytest.raises(InvalidFileError) as caught:
            read(path)
        return str(caught.value).removeprefix(str(path))

    assert message(tmp_path / "missing.yaml") == ": no such file; run this at the root of the repository"
    assert message(tmp_path) == ": is a directory, not a file"
    os.mkfifo(tmp_path / "pipe")
    assert message(tmp_path / "pipe") == ": is not a regular file"
    (tmp_path / "latin1.yaml").write_bytes("a: 1\nb: caf\u00e9\n".encode("latin-1"))
    assert message(tmp_path / "latin1.yaml") == ":2: is not UTF-8 (byte 0xe9); save it as UTF-8"
    (tmp_path / "large.yaml").write_bytes(b"#" * (LARGEST_FILE + 1))
    assert message(tmp_path / "large.yaml") == ": is larger than 256 KiB"
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    assert "cannot be read" in message(tmp_path / "loop.yaml")


def test_a_byte_order_mark_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "windows.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\r\nb:\r\n  c: x\r\n")
    assert read(file).value == {"a": 1, "b": {"c": "x"}}


_pieces = st.sampled_from(
    [
        *("organization", "teams", "locations", "groups", "quota", ":", ": ", "\n", "\n  ", "- ", "[", "]", "{", "}"),
        *("&a", "*a", "!!int", "<<", "|", ">", "%YAML 1.1\n", "---\n", "...", "'", '"', "#", "?", "\t", "\\x", "no"),
        *("@", "`", "\x85", "\u2028", "\ufeff", "\ud800", "\0", "0x", "12:30", "a", "é", "\U0001f600", "~", ",", "1"),
    ]
)


@given(st.one_of(st.text(), st.lists(_pieces, max_size=40).map("".join)))
@example("\ud800")
@example("%YAML 9.9\n---\na: 1")
@example("{? : }")
def test_any_text_that_is_no_register_is_refused_with_one_line_for_each_problem(text: str) -> None:
    with pytest.raises(InvalidFileError) as caught:
        register.loads(text)
    lines = str(caught.value).split("\n")
    assert len(lines) == len(caught.value.problems)
    assert all(line.startswith("tenants.yaml") and line.isprintable() for line in lines)


@given(st.binary())
def test_any_bytes_that_are_no_register_are_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(data)
    with pytest.raises(InvalidFileError):
        register.load(file)

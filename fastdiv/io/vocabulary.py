"""What tokens say: from a tokenizer's file, which is read as data and never run."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastdiv.io import FileFormatError
from fastdiv.io.rows import file_size

__all__ = ["Vocabulary", "printable", "read_vocabulary"]

_LARGEST_FILE = 256 << 20
_LARGEST_ID = 1 << 24
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE = "▁"


class Vocabulary:
    """Bytes of each token, where they are known.

    Parameters
    ----------
    tokens : mapping of int to bytes
    """

    def __init__(self, tokens: Mapping[int, bytes]) -> None:
        self._tokens = tokens

    def text(self, token: int) -> str:
        """Return a token as one can print it; its number, where nothing is known of it."""
        return self.texts([token])

    def texts(self, tokens: Iterable[int]) -> str:
        """Return tokens one after the other: bytes of one character may be of several."""
        found: list[str] = []
        waiting = b""
        for token in tokens:
            known = self._tokens.get(int(token))
            if known is None:
                found += [printable(waiting), f"⟨{token}⟩" if token >= 0 else ""]
                waiting = b""
            else:
                waiting += known
        return "".join([*found, printable(waiting)])


def printable(content: bytes) -> str:
    r"""Return bytes as one line of text: what is no character, or shows nothing, is escaped.

    Examples
    --------
    >>> print(printable(b"caf\xc3\xa9\n\xff"))
    café\n\xff
    """
    text = content.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def read_vocabulary(path: Path) -> Vocabulary:
    """Read the texts of tokens.

    Parameters
    ----------
    path : Path
        ``tokenizer.json`` as Hugging Face's tokenizers write it; an object of text to number
        (``vocab.json``); a JSON list of texts; or a text file with a token on each line.

    Raises
    ------
    FileFormatError
        Something else.
    """
    size = file_size(path)
    if size > _LARGEST_FILE:
        raise FileFormatError(path, f"has {size} bytes; a vocabulary has at most {_LARGEST_FILE}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(path, f"is no text: byte {error.start} is not UTF-8") from None
    if text.lstrip()[:1] not in ("{", "["):
        lines = text.removesuffix("\n").split("\n")
        return Vocabulary({i: _plain(line.removesuffix("\r")) for i, line in enumerate(lines)})
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(path, f"is no JSON: {error}") from None
    if isinstance(content, list):
        return Vocabulary(dict(enumerate(_plain(t) for t in _strings(path, content))))
    if isinstance(content.get("model"), dict):
        return _of_tokenizer(path, content)
    return Vocabulary(_decoded(path, content, _guessed(content)))


def _of_tokenizer(path: Path, content: dict[str, Any]) -> Vocabulary:
    given = content["model"].get("vocab")
    if isinstance(given, list):
        # A unigram model: [text, score].
        firsts = [entry[0] if isinstance(entry, list) and entry else entry for entry in given]
        given = {text: i for i, text in enumerate(_strings(path, firsts))}
    if not isinstance(given, dict):
        raise FileFormatError(path, "has no vocabulary in its model")
    byte_level = _mentions(content.get("decoder"), "ByteLevel") or _mentions(
        content.get("pre_tokenizer"), "ByteLevel"
    )
    found = _decoded(path, given, _from_byte_level if byte_level else _from_pieces)
    for added in content.get("added_tokens") or []:
        if isinstance(added, dict) and isinstance(added.get("id"), int):
            found[added["id"]] = str(added.get("content", "")).encode("utf-8", "surrogatepass")
    return Vocabulary(found)


def _guessed(vocabulary: Mapping[str, object]) -> Callable[[str], bytes]:
    """Tell a bare list's spelling by the sign that it has for a space."""
    spaces = sum(text.startswith("Ġ") for text in vocabulary)
    return _from_byte_level if spaces > len(vocabulary) // 100 else _from_pieces


def _decoded(
    path: Path, vocabulary: Mapping[str, object], decode: Callable[[str], bytes]
) -> dict[int, bytes]:
    found = {}
    for text, number in vocabulary.items():
        if not isinstance(number, int) or not 0 <= number < _LARGEST_ID:
            raise FileFormatError(path, f"gives {text!r:.40} the number {number!r:.40}")
        found[number] = decode(text)
    return found


def _strings(path: Path, content: Sequence[object]) -> list[str]:
    for i, text in enumerate(content):
        if not isinstance(text, str):
            raise FileFormatError(path, f"has {text!r:.40} as token {i}; takes text")
    return [str(text) for text in content]


def _mentions(part: Any, kind: str) -> bool:
    if isinstance(part, dict):
        return part.get("type") == kind or any(_mentions(x, kind) for x in part.values())
    return isinstance(part, list) and any(_mentions(x, kind) for x in part)


def _plain(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _from_pieces(text: str) -> bytes:
    byte = _BYTE.fullmatch(text)
    if byte:
        return bytes([int(byte[1], 16)])
    return _plain(text.replace(_SPACE, " "))


def _byte_alphabet() -> dict[str, int]:
    """Return the character that stands for each byte: itself, or the next one from 256 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    return {
        **{chr(byte): byte for byte in plain},
        **{chr(256 + i): byte for i, byte in enumerate(others)},
    }


_ALPHABET = _byte_alphabet()


def _from_byte_level(text: str) -> bytes:
    if all(c in _ALPHABET for c in text):
        return bytes(_ALPHABET[c] for c in text)
    return _plain(text)

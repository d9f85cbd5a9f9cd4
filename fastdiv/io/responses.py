"""What each server's answer says, position by position; nothing is computed here.

Where a server's list of the most probable tokens may also hold the token that came though it is
not among them (OpenAI completions, vLLM), that token is no witness for what the tail may hold:
such a list is *mixed*. Where tokens of one text may have replaced each other in an object, or
are told apart by no more than U+FFFD, they are *ambiguous*, and an object that has some may
lack others: it is *incomplete*.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from fastdiv.io.rows import FileFormatError, FilePath

__all__ = ["Entry", "Number", "Part", "Place", "Position", "responses"]

Part: TypeAlias = Literal["prompt", "output"]

_REPLACEMENT = "\ufffd"
_REPLACEMENT_BYTES = _REPLACEMENT.encode()
_TOKEN_ID = re.compile(r"token_id:([0-9]{1,9})")
_BYTES = re.compile(r"bytes:((?:\\x[0-9a-f]{2})+)")
_LARGEST_ID = 2**31 - 1


class Number(str):
    """A JSON number that is no integer, as it was printed."""

    __slots__ = ()


@dataclass(frozen=True)
class Place:
    """Where in a file something is, for errors."""

    path: FilePath
    document: int
    part: str = ""
    position: int | None = None

    def within(self, part: str) -> "Place":
        """Return the place of a part of what is here."""
        return Place(self.path, self.document, f"{self.part}.{part}".lstrip("."))

    def at(self, position: int) -> "Place":
        """Return the place of a position in what is here."""
        return Place(self.path, self.document, self.part, position)

    def complain(self, reason: str) -> FileFormatError:
        """Return an error that names the place."""
        where = [f"document {self.document}", self.part]
        if self.position is not None:
            where.append(f"position {self.position}")
        return FileFormatError(self.path, f"{', '.join(filter(None, where))}: {reason}")


class Entry(NamedTuple):
    """A token with what is printed of it: an identifier, or the bytes that its text is."""

    token: int | bytes
    text: str | None
    log_p: object
    ambiguous: bool = False


class Position(NamedTuple):
    """One row: the token that came, and the list of the most probable ones."""

    place: Place
    came: Entry
    listed: list[Entry]
    mixed: bool = False
    incomplete: bool = False


def responses(place: Place, document: dict[str, Any], part: Part | None) -> list[list[Position]]:
    """Return the positions of each response in a document.

    Parameters
    ----------
    place : Place
    document : dict
    part : {"prompt", "output"} or None
        What to return; None returns both, the prompt's with those of the first response.
    """
    if isinstance(document.get("response"), dict):
        body = document["response"].get("body")
        if not isinstance(body, dict):
            raise place.within("response").complain("has no body")
        document = body
    prompt = list(_prompt(place, document)) if part != "output" else []
    found = [list(output) for output in _outputs(place, document)] if part != "prompt" else []
    if prompt:
        found[:1] = [prompt + (found[0] if found else [])]
    if not any(found):
        error = document.get("error")
        said = f": {str(error)[:200]!r}" if error else ""
        what = f"of the {part} " if part else ""
        raise place.complain(f"has no log-probabilities {what}that fastdiv knows{said}")
    return found


def _prompt(place: Place, document: dict[str, Any]) -> Iterator[Position]:
    choices = document.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    for holder in (document, first):
        if isinstance(holder, dict) and holder.get("prompt_logprobs") is not None:
            yield from _from_vllm(
                place.within("prompt_logprobs"),
                holder["prompt_logprobs"],
                holder.get("prompt_token_ids") or document.get("prompt_token_ids"),
                prompt=True,
            )
            return
    yield from _from_sglang(place, document, "input")


def _outputs(place: Place, document: dict[str, Any]) -> Iterator[Iterator[Position]]:
    if document.get("completion_probabilities") is not None:
        where = place.within("completion_probabilities")
        yield _from_content(where, document["completion_probabilities"])
    elif isinstance(document.get("meta_info"), dict):
        yield _from_sglang(place, document, "output")
    for group in ("choices", "outputs"):
        for i, answer in enumerate(_list(place.within(group), document.get(group) or [])):
            where = place.within(f"{group}[{i}]")
            if not isinstance(answer, dict):
                raise where.complain("is no JSON object")
            logprobs = answer.get("logprobs")
            if logprobs is not None:
                yield _from_answer(where.within("logprobs"), logprobs, answer)


def _from_answer(place: Place, logprobs: object, answer: dict[str, Any]) -> Iterator[Position]:
    if isinstance(logprobs, list):
        return _from_vllm(place, logprobs, answer.get("token_ids"), prompt=False)
    if not isinstance(logprobs, dict):
        raise place.complain("is neither a JSON object nor a list")
    if logprobs.get("tokens") is not None:
        return _from_completion(place, logprobs)
    if logprobs.get("content") is not None:
        return _from_content(place.within("content"), logprobs["content"])
    raise place.complain("has neither content nor tokens")


def _from_content(place: Place, content: object) -> Iterator[Position]:
    """OpenAI chat and llama.cpp: objects that hold lists of objects."""
    for i, item in enumerate(_list(place, content)):
        where = place.at(i)
        listed = _fields(where, item).get("top_logprobs")
        if listed is None and ({"probs", "prob", "top_probs"} & item.keys()):
            raise where.complain(
                "holds probabilities after sampling; ask llama.cpp for post_sampling_probs = false"
            )
        yield Position(
            where,
            _content_entry(where, item),
            [_content_entry(where, _fields(where, other)) for other in _list(where, listed or [])],
        )


def _content_entry(place: Place, item: dict[str, Any]) -> Entry:
    if "logprob" not in item:
        raise place.complain("a token has no logprob")
    text = item.get("token")
    if not isinstance(text, str):
        raise place.complain(f"token is {text!r:.40}; takes text")
    if "id" in item:
        return Entry(_identifier(place, item["id"]), text, item["logprob"])
    said = item.get("bytes")
    if said is None:
        return _text_entry(text, item["logprob"])
    try:
        content = bytes(_list(place, said))
    except (TypeError, ValueError):
        raise place.complain("bytes are no list of numbers from 0 to 255") from None
    # vLLM gives the bytes of U+FFFD itself for a token that is no text.
    return Entry(content, None, item["logprob"], _REPLACEMENT_BYTES in content)


def _text_entry(text: str, log_p: object) -> Entry:
    if match := _TOKEN_ID.fullmatch(text):
        return Entry(int(match[1]), None, log_p)
    if match := _BYTES.fullmatch(text):
        return Entry(bytes.fromhex(match[1].replace("\\x", "")), None, log_p)
    return Entry(text.encode("utf-8", "surrogatepass"), None, log_p, _REPLACEMENT in text)


def _from_completion(place: Place, logprobs: dict[str, Any]) -> Iterator[Position]:
    """OpenAI completions: lists side by side, and an object for each position."""
    tokens = _list(place.within("tokens"), logprobs["tokens"])
    values = _list(place.within("token_logprobs"), logprobs.get("token_logprobs"))
    tops = logprobs.get("top_logprobs")
    tops = [None] * len(tokens) if tops is None else _list(place.within("top_logprobs"), tops)
    _same_length(place, "tokens, token_logprobs and top_logprobs", tokens, values, tops)
    for i, (token, value, top) in enumerate(zip(tokens, values, tops, strict=True)):
        where = place.at(i)
        if not isinstance(token, str):
            raise where.complain(f"token is {token!r:.40}; takes text")
        if not i and value is None and top is None:
            continue  # nothing predicted the first token
        listed = [_text_entry(text, log_p) for text, log_p in _fields(where, top or {}).items()]
        incomplete = any(entry.ambiguous for entry in listed)
        yield Position(where, _text_entry(token, value), listed, True, incomplete)


def _from_vllm(
    place: Place, content: object, token_ids: object, *, prompt: bool
) -> Iterator[Position]:
    """vLLM: an object for each position; the token that came is its first, unless said."""
    positions = _list(place, content)
    came = None if token_ids is None else _list(place.within("token_ids"), token_ids)
    if came is not None:
        _same_length(place, "positions and token ids", positions, came)
    for i, item in enumerate(positions):
        where = place.at(i)
        if item is None and prompt and not i:
            continue  # nothing predicted the first token
        listed, ranks = [], []
        for key, value in _fields(where, item).items():
            fields = value if isinstance(value, dict) else {"logprob": value}
            if "logprob" not in fields:
                raise where.complain(f"token {key!r:.40} has no logprob")
            if not (key.isascii() and key.isdigit() and len(key) < 12):
                raise where.complain(f"{key!r:.40} is no token id")
            text = fields.get("decoded_token")
            token = _identifier(where, int(key))
            listed.append(Entry(token, text if isinstance(text, str) else None, fields["logprob"]))
            ranks.append(fields.get("rank"))
        if not listed:
            raise where.complain("has no tokens")
        at = _which_came(where, listed, ranks, None if came is None else came[i])
        rank = ranks[at]
        mixed = type(rank) is not int or rank > len(listed)
        yield Position(where, listed[at], listed, mixed)


def _which_came(place: Place, listed: list[Entry], ranks: list[object], said: object) -> int:
    if said is not None:
        for i, entry in enumerate(listed):
            if entry.token == said:
                return i
        raise place.complain(f"token {said!r:.40} came, but has no logprob")
    far = [i for i, rank in enumerate(ranks) if type(rank) is int and rank > len(listed)]
    return far[0] if len(far) == 1 else 0


def _from_sglang(place: Place, document: dict[str, Any], side: str) -> Iterator[Position]:
    """SGLang: lists [logprob, id, text], those of the most probable tokens side by side."""
    info = document.get("meta_info")
    if not isinstance(info, dict) or info.get(f"{side}_token_logprobs") is None:
        return
    place = place.within("meta_info")
    where = place.within(f"{side}_token_logprobs")
    items = _list(where, info[f"{side}_token_logprobs"])
    tops = info.get(f"{side}_top_logprobs") or [None] * len(items)
    tops = _list(place.within(f"{side}_top_logprobs"), tops)
    _same_length(where, "tokens and their top_logprobs", items, tops)
    for i, (item, top) in enumerate(zip(items, tops, strict=True)):
        came = _triple(where.at(i), item)
        if side == "input" and not i and came.log_p is None and not top:
            continue  # nothing predicted the first token
        listed = [_triple(where.at(i), other) for other in _list(where.at(i), top or [])]
        yield Position(where.at(i), came, listed)


def _triple(place: Place, item: object) -> Entry:
    if not isinstance(item, list) or len(item) not in (2, 3):
        raise place.complain("a token is no list [logprob, id, text]")
    text = item[2] if len(item) == 3 and isinstance(item[2], str) else None
    return Entry(_identifier(place, item[1]), text, item[0])


def _identifier(place: Place, said: object) -> int:
    if type(said) is not int or not 0 <= said <= _LARGEST_ID:
        raise place.complain(f"{said!r:.40} is no token id")
    return said


def _list(place: Place, content: object) -> list[Any]:
    if not isinstance(content, list):
        raise place.complain("is no list")
    return content


def _fields(place: Place, content: object) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise place.complain("is no JSON object")
    return content


def _same_length(place: Place, what: str, *lists: Sequence[object]) -> None:
    lengths = [len(one) for one in lists]
    if len(set(lengths)) > 1:
        raise place.complain(f"has {', '.join(map(str, lengths))} {what}; takes as many of each")

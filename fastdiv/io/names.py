"""Identifiers for tokens that are known by their text only."""

from collections.abc import Iterator

__all__ = ["TokenNames"]


class TokenNames:
    """A table of tokens, numbered in the order in which they were first seen.

    Two files whose tokens have no identifiers can be compared if they share one table.

    Examples
    --------
    >>> names = TokenNames()
    >>> names.intern(b" a"), names.intern(b" b"), names.intern(b" a")
    (0, 1, 0)
    >>> names[1], len(names)
    (b' b', 2)
    """

    def __init__(self) -> None:
        self._ids: dict[bytes, int] = {}
        self._names: list[bytes] = []

    def intern(self, name: bytes) -> int:
        """Return the identifier of a token, which is given one if it is new."""
        found = self._ids.get(name)
        if found is None:
            found = self._ids[name] = len(self._names)
            self._names.append(name)
        return found

    def __getitem__(self, token: int) -> bytes:
        """Return what an identifier stands for."""
        return self._names[token]

    def __len__(self) -> int:
        """Return how many tokens there are."""
        return len(self._names)

    def __iter__(self) -> Iterator[bytes]:
        """Go through the tokens in the order of their identifiers."""
        return iter(self._names)

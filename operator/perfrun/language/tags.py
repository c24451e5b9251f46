"""Which scenarios a Cucumber tag expression selects."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection

from perfrun.language.wording import quoted


class TagError(ValueError):
    """The text is no tag expression; the message says what was expected."""


@functools.lru_cache(maxsize=256)
def matcher(expression: str) -> Callable[[Collection[str]], bool]:
    """Return whether tags satisfy the expression; an empty expression selects everything.

    Raises:
        TagError: the expression is malformed.
    """
    from cucumber_tag_expressions import TagExpressionError, parse  # noqa: PLC0415 -- most features select nothing

    try:
        parsed = parse(expression)
    except (TagExpressionError, RecursionError) as error:
        raise TagError(
            f"{quoted(expression)} is no tag expression; expected tags joined by and, or, not and brackets, "
            "such as '@gpu and not @slow'"
        ) from error
    return lambda tags: bool(parsed.evaluate(list(tags)))

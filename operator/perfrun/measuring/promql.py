"""PromQL templates of named metrics, rendered so that a value from a feature can never be more than a label value.

Whoever may write a feature may not thereby query whatever they like: parameters stand only inside a double-quoted
label value of a matcher, which is checked on the template, and there their text is escaped as PromQL's lexer reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

import attrs

WINDOW: Final = "window"
STEP: Final = "step"
_OWN: Final = frozenset({WINDOW, STEP})
_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
_TOKEN: Final = re.compile(
    r"""(?P<comment>\#[^\n]*)
      | (?P<double>"(?:\\.|[^"\\\n])*")
      | (?P<single>'(?:\\.|[^'\\\n])*')
      | (?P<raw>`[^`]*`)
      | (?P<open>["'`])
      | (?P<variable>\$(?:\{[A-Za-z_][A-Za-z0-9_]*\}|[A-Za-z_][A-Za-z0-9_]*))
      | (?P<space>\s+)
      | (?P<operator>=~|!~|!=|==|[{}()\[\],=])
      | (?P<word>[A-Za-z_:][A-Za-z0-9_:]*)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_MATCHERS: Final = frozenset({"=", "!=", "=~", "!~"})
_REGEX_MATCHERS: Final = frozenset({"=~", "!~"})
_SURROGATES: Final = frozenset(map(chr, range(0xD800, 0xE000)))
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_UNITS: Final = ((86400_000, "d"), (3600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms"))
_SPECIAL: Final = re.compile(r"[\\.+*?()|\[\]{}^$]")


class TemplateError(ValueError):
    """A metric's query template is not one; the message is a sentence for the owner of the target."""


@attrs.frozen
class _Token:
    kind: str
    text: str
    at: int


def duration(length: float) -> str:
    """Return a length in seconds as a PromQL duration such as ``5m`` or ``1h30m``; at least one millisecond."""
    left = max(1, round(length * 1000))
    parts = []
    for size, unit in _UNITS:
        whole, left = divmod(left, size)
        if whole:
            parts.append(f"{whole}{unit}")
    return "".join(parts)


def check(template: str, parameters: frozenset[str] = frozenset()) -> None:
    """Check that a template uses its variables where they may stand.

    Raises:
        TemplateError: a parameter stands outside a double-quoted label value, a variable is unknown, a parameter is
            never used, or a string is not closed.
    """
    for _ in _pieces(template, parameters):
        pass
    used = {first or second for first, second in _VARIABLE.findall(template)}
    unused = sorted(parameters - used)
    if unused:
        msg = f"the query never uses ${unused[0]}, which the metric's name takes; write it inside a quoted label value"
        raise TemplateError(msg)


def render(template: str, parameters: Mapping[str, str], window: float | None, step: float | None = None) -> str:
    """Return the query with its variables replaced.

    ``window`` and ``step`` are in seconds; where one is None its variable is left in, for a later rendering.

    Raises:
        TemplateError: the template is not one (see :func:`check`), or takes a variable that has no value.
    """
    lengths = {WINDOW: window, STEP: step}

    def replaced(found: re.Match[str]) -> str:
        length = lengths[found.group(1) or found.group(2)]
        return found.group() if length is None else duration(length)

    rendered = []
    for piece, regex in _pieces(template, frozenset(parameters)):
        if piece.kind == "variable":
            rendered.append(_VARIABLE.sub(replaced, piece.text))
        elif piece.kind == "double":
            rendered.append(_filled(piece.text, parameters, regex=regex))
        else:
            rendered.append(piece.text)
    return "".join(rendered)


def with_window(query: str, window: float, step: float) -> str:
    """Return a rendered query whose ``$window`` and ``$step`` (outside strings) were left in, with these in seconds."""
    lengths = {"$window": window, "${window}": window, "$step": step, "${step}": step}
    return "".join(
        duration(lengths[token.text]) if token.kind == "variable" and token.text in lengths else token.text
        for token in _tokens(query)
    )


def escaped(value: str) -> str:
    """Return text as it must stand between the double quotes of a PromQL string."""
    text = value.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(character if character.isprintable() else _code_point(character) for character in text)


def literal(value: str) -> str:
    """Return text as a regular expression (RE2) that matches it and nothing else."""
    return _SPECIAL.sub(lambda found: "\\" + found.group(), value)


def _code_point(character: str) -> str:
    # A lone surrogate is no character that PromQL could read; it becomes the replacement character.
    code = ord(_REPLACEMENT if character in _SURROGATES else character)
    return f"\\U{code:08x}"


def _filled(string: str, parameters: Mapping[str, str], *, regex: bool) -> str:
    def replaced(found: re.Match[str]) -> str:
        value = parameters.get(found.group(1) or found.group(2))
        if value is None:
            return found.group()
        return escaped(literal(value) if regex else value)

    return _VARIABLE.sub(replaced, string)


def _pieces(template: str, parameters: frozenset[str]) -> Iterator[tuple[_Token, bool]]:
    """Yield the template's tokens, checked; the flag says that a string belongs to a regular expression matcher."""
    depth = 0
    before: list[_Token] = []
    for token in _tokens(template):
        depth += {"{": 1, "}": -1}.get(token.text, 0) if token.kind == "operator" else 0
        matcher = before[-1].text if before and before[-1].kind == "operator" else ""
        label_value = token.kind == "double" and depth > 0 and matcher in _MATCHERS
        _check_token(token, parameters, label_value=label_value)
        yield token, matcher in _REGEX_MATCHERS
        if token.kind not in ("space", "comment"):
            before = [token]


def _check_token(token: _Token, parameters: frozenset[str], *, label_value: bool) -> None:
    place = f"at character {token.at + 1} of the query"
    if token.kind == "open":
        msg = f"a string that begins {place} is not closed; add the missing {token.text}"
        raise TemplateError(msg)
    if token.kind == "comment" and _VARIABLE.search(token.text):
        msg = f"a comment {place} holds a variable; remove the comment"
        raise TemplateError(msg)
    for found in _VARIABLE.finditer(token.text) if token.kind != "comment" else ():
        name = found.group(1) or found.group(2)
        if token.kind == "variable" and name in _OWN:
            continue
        if name not in parameters:
            # Inside a string a dollar may be plain text, such as the end of a regular expression.
            if token.kind in ("double", "single", "raw") and name not in _OWN:
                msg = f"${name} {place} is unknown; the metric's name takes {_listed(parameters)}"
                raise TemplateError(msg)
            msg = f"${name} {place} is not known there; only $window and $step may stand outside a quoted label value"
            raise TemplateError(msg)
        if not label_value:
            msg = (
                f"${name} {place} stands outside a label value; "
                f'a parameter may stand only inside a double-quoted label value, as in {{label="${name}"}}'
            )
            raise TemplateError(msg)


def _listed(parameters: frozenset[str]) -> str:
    return " and ".join(f"${name}" for name in sorted(parameters)) or "no parameter"


def _tokens(query: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(query):
        yield _Token(kind=found.lastgroup or "other", text=found.group(), at=found.start())

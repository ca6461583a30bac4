"""The Condition element of IAM policies (IAM JSON policy reference, "Condition operators")."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

ARN_PARTS = 6
"""arn:partition:service:region:account:resource; the last part may hold colons itself."""


class PolicyError(ValueError):
    """A policy holds something that is malformed or not known here."""


def wildcard(pattern: str) -> str:
    """A policy's pattern as a regular expression: `*` any characters, `?` any one.

    Raises:
        PolicyError: it uses a policy variable, which is not known here.
    """
    if "${" in pattern:
        raise PolicyError(f"policy variables are not known here: {pattern!r}")
    return "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern)


def holds(condition: Any, context: Mapping[str, Sequence[str]]) -> bool:
    """Whether all tests of a Condition element hold in a request's context.

    `context` maps keys in lower case to values; no values mean that the request has no such key.

    Raises:
        PolicyError: an operator or key that is not known here, or a malformed element.
    """
    if not isinstance(condition, Mapping):
        raise PolicyError(f"Condition {condition!r} is no object")
    results = []
    for operator, tests in condition.items():
        if not isinstance(tests, Mapping):
            raise PolicyError(f"Condition {operator}: {tests!r} is no object")
        results += [_test(operator, key, wanted, context) for key, wanted in tests.items()]
    return all(results)


def _test(operator: str, key: str, wanted: Any, context: Mapping[str, Sequence[str]]) -> bool:
    if key.lower() not in context:
        raise PolicyError(f"condition key {key!r} is not known here; known: {sorted(context)}")
    values = context[key.lower()]
    texts = _texts(wanted, operator, key)
    if operator == "Null":
        return _truth(texts, key) == (not values)
    qualifier, _, name = operator.rpartition(":")
    lenient = name.endswith("IfExists")
    compare, negated = _operator(name.removesuffix("IfExists"), operator)
    # Each pair is compared even if the outcome is known: a malformed pattern must not stay unseen.
    passes = [(True in [compare(value, text) for text in texts]) != negated for value in values]
    if qualifier == "ForAllValues":
        return all(passes)
    if qualifier == "ForAnyValue":
        return any(passes)
    if qualifier:
        raise PolicyError(f"condition qualifier {qualifier!r} is not known here")
    if len(values) > 1:
        raise PolicyError(f"condition key {key!r} has several values: use ForAnyValue or the like")
    # Of a key that the request has not, a negated operator holds and any other fails.
    return passes[0] if values else (negated or lenient)


def _arn_like(value: str, pattern: str) -> bool:
    parts = pattern.split(":", ARN_PARTS - 1)
    if len(parts) != ARN_PARTS:
        raise PolicyError(f"{pattern!r} is no ARN of {ARN_PARTS} parts")
    regexes = [wildcard(part) for part in parts]
    found = value.split(":", ARN_PARTS - 1)
    return len(found) == ARN_PARTS and all(
        re.fullmatch(regex, one, re.DOTALL) for regex, one in zip(regexes, found, strict=True)
    )


def _like(value: str, pattern: str) -> bool:
    return re.fullmatch(wildcard(pattern), value, re.DOTALL) is not None


def _equal(value: str, text: str) -> bool:
    if "${" in text:
        raise PolicyError(f"policy variables are not known here: {text!r}")
    return value == text


def _equal_ignoring_case(value: str, text: str) -> bool:
    return _equal(value.lower(), text.lower())


def _number_less(value: str, text: str) -> bool:
    try:
        return float(value) < float(text)
    except ValueError as error:
        raise PolicyError(f"{value!r} < {text!r} compares what are no numbers") from error


_OPERATORS: Mapping[str, tuple[Callable[[str, str], bool], bool]] = {
    "StringEquals": (_equal, False),
    "StringNotEquals": (_equal, True),
    "StringEqualsIgnoreCase": (_equal_ignoring_case, False),
    "StringNotEqualsIgnoreCase": (_equal_ignoring_case, True),
    "StringLike": (_like, False),
    "StringNotLike": (_like, True),
    "ArnEquals": (_arn_like, False),  # ArnEquals and ArnLike behave identically, says the reference
    "ArnLike": (_arn_like, False),
    "ArnNotEquals": (_arn_like, True),
    "ArnNotLike": (_arn_like, True),
    "Bool": (_equal_ignoring_case, False),
    "NumericLessThan": (_number_less, False),
}
"""Each operator's comparison and whether it is the negation of that."""


def _operator(name: str, full: str) -> tuple[Callable[[str, str], bool], bool]:
    if name not in _OPERATORS:
        raise PolicyError(f"condition operator {full!r} is not known here")
    return _OPERATORS[name]


def _texts(wanted: Any, operator: str, key: str) -> list[str]:
    values = wanted if isinstance(wanted, list) else [wanted]
    if not values or not all(isinstance(value, (str, bool, int, float)) for value in values):
        raise PolicyError(f"Condition {operator} {key}: {wanted!r} is no string or list of strings")
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in values]


def _truth(texts: list[str], key: str) -> bool:
    if len(texts) != 1 or texts[0].lower() not in ("true", "false"):
        raise PolicyError(f"Condition Null {key}: {texts} is neither true nor false")
    return texts[0].lower() == "true"

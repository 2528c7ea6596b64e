"""What a doubtful group of terms may mean, as queries and as text to show."""

from __future__ import annotations

from monitor.match.lexer import Kind, Lexeme
from monitor.model import And, Not, Or, Query, Term

# Each unit of a group with the operator in front of it; of kind END where none is written.
Joined = list[tuple[Lexeme, Query]]


def joined_parts(kind: type[And] | type[Or], units: list[Query]) -> Query:
    """One node over `units`, with nodes of the same kind opened up and the exclusions of an And at its end."""
    if len(units) == 1:
        return units[0]
    parts: list[Query] = []
    for unit in units:
        parts += unit.parts if isinstance(unit, kind) else (unit,)
    if kind is And:
        parts.sort(key=lambda part: isinstance(part, Not))
    return kind(parts=tuple(parts), start=units[0].start, end=units[-1].end)


def left_to_right(joined: Joined) -> Query:
    found = joined[0][1]
    for operator, unit in joined[1:]:
        if operator.kind is Kind.OR:
            found = joined_parts(Or, [found, unit])
        elif operator.kind is Kind.NOT:
            found = joined_parts(And, [found, Not(part=unit)])
        else:
            found = joined_parts(And, [found, unit])
    return found


def _and_first(joined: Joined) -> Query:
    """The reading in which AND and NOT bind tighter than OR."""
    alternatives: list[Query] = []
    for operator, unit in joined:
        if operator.kind is Kind.OR or not alternatives:
            alternatives.append(unit)
        else:
            part: Query = Not(part=unit) if operator.kind is Kind.NOT else unit
            alternatives[-1] = joined_parts(And, [alternatives[-1], part])
    return joined_parts(Or, alternatives)


def readings(joined: Joined) -> str:
    if phrase := _phrase_reading(joined):
        return f"did you mean  {phrase}  ?"
    return (
        f"write  {left_to_right(joined)}  (how PubMed reads it)"
        f"   or  {_and_first(joined)}  (how Google and Lucene read it)"
    )


def _phrase_reading(joined: Joined) -> str:
    """Where only missing quotes make the mixture (opioid tolerance OR mTOR): the query with them."""
    if any(operator.kind is Kind.AND for operator, _ in joined):
        return ""
    runs: list[tuple[str, list[Query]]] = []
    for operator, unit in joined:
        if operator.kind is Kind.END and runs:
            runs[-1][1].append(unit)
        else:
            runs.append((operator.text, [unit]))
    if all(len(units) == 1 for _, units in runs):
        return ""
    if not all(len(units) == 1 or all(_is_bare(unit) for unit in units) for _, units in runs):
        return ""
    shown = [" ".join(map(str, units)) for _, units in runs]
    shown = [f'"{text}"' if len(units) > 1 else text for text, (_, units) in zip(shown, runs, strict=True)]
    return " ".join(f"{operator} {text}".strip() for text, (operator, _) in zip(shown, runs, strict=True))


def quoted_run(joined: Joined) -> str:
    """The words behind the last NOT, as the phrase that was probably meant."""
    last = max(index for index, (operator, _) in enumerate(joined) if operator.kind is Kind.NOT)
    words = [unit for _, unit in joined[last:]]
    text = " ".join(str(word) for word in words)
    return f'NOT "{text}"' if all(map(_is_bare, words)) else f"NOT ({text})"


def _is_bare(query: Query) -> bool:
    return isinstance(query, Term) and not (query.field or query.prefix or query.exact or " " in query.text)

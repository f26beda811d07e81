"""The least a model asks of an input, and every way to break one member of it."""

import copy
import datetime
import re._constants as codes
import re._parser as parser

from wire import models
from wire.rules import Rules, _pattern


def shortest(pattern):
    """A short text that matches; models use few of the means of regular expressions."""
    def of(parsed):
        return "".join(one(code, given) for code, given in parsed)

    def one(code, given):
        if code is codes.LITERAL:
            return chr(given)
        if code is codes.NOT_LITERAL:
            return "a" if given != ord("a") else "b"
        if code is codes.ANY:
            return "a"
        if code is codes.IN:
            return among(given)
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
            least, _, inner = given
            return of(inner) * least
        if code is codes.SUBPATTERN:
            return of(given[3])
        if code is codes.BRANCH:
            return of(given[1][0])
        return ""

    def among(given):
        negated = given[0][0] is codes.NEGATE
        allowed = [c for c in "aA1-./:_ " if any(within(c, x) for x in given[negated:]) != negated]
        if allowed:
            return allowed[0]
        code, what = given[0]
        return chr(what if code is codes.LITERAL else what[0])

    def within(char, given):
        code, what = given
        if code is codes.LITERAL:
            return ord(char) == what
        if code is codes.RANGE:
            return what[0] <= ord(char) <= what[1]
        if code is codes.CATEGORY:
            return {codes.CATEGORY_DIGIT: char.isdigit(), codes.CATEGORY_WORD: char.isalnum() or char == "_",
                    codes.CATEGORY_SPACE: char.isspace(), codes.CATEGORY_NOT_SPACE: not char.isspace()}.get(what, False)
        return False
    return of(parser.parse(pattern))


class Samples:
    def __init__(self, model):
        self.model = model
        self.shapes = models.raw(model.service_name)["shapes"]

    def least(self, shape, depth=0):
        """A value with required members only."""
        raw = self.shapes[shape.name]
        kind = shape.type_name
        if kind == "structure":
            names = list(shape.required_members)
            if not names and (raw.get("union") or depth):
                # Forms cannot say that a structure is there but empty.
                plain = [name for name in shape.members if shape.members[name].type_name == "string"]
                names = plain[:1] or list(shape.members)[:1]
            return {name: self.least(shape.members[name], depth + 1) for name in names}
        if kind == "list":
            return [self.least(shape.member, depth + 1) for _ in range(max(1, raw.get("min", 0)))]
        if kind == "map":
            return {self.least(shape.key): self.least(shape.value)} if raw.get("min", 0) else {}
        if kind == "boolean":
            return False
        if kind == "blob":
            return b"x" * max(1, raw.get("min", 0))
        if kind == "timestamp":
            return datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
        if kind in ("integer", "long"):
            return int(raw.get("min", 1))
        if kind in ("float", "double"):
            return float(raw.get("min", 1))
        if "enum" in raw:
            return raw["enum"][0]
        least = raw.get("min", 0)
        pattern = raw.get("pattern")
        text = "a" * max(1, least)
        if pattern and not _matches(pattern, text):
            try:
                text = shortest(pattern.replace(r"\p{L}", "a").replace(r"\p{N}", "1").replace(r"\p{Z}", " "))
            except Exception:  # noqa: BLE001 - what cannot be made is counted by the caller
                return text
            text += "a" * (least - len(text)) if _matches(pattern, text + "a" * (least - len(text))) else ""
        return text

    def fits(self, shape, value):
        rules = Rules(self.model)
        rules.check(shape, value)
        return not rules.found

    def broken(self, shape):
        """(what is wrong, member, input): each breaks one rule of one member of the operation's own shape."""
        base = self.least(shape)
        if not self.fits(shape, base):
            return
        for name in shape.required_members:
            # Clients fill a client token in by themselves.
            if self.idempotent(shape, name):
                continue
            without = copy.deepcopy(base)
            del without[name]
            yield "missing", name, without
        for name, inner in shape.members.items():
            raw = self.shapes[inner.name]
            for what, value in self._values(inner, raw):
                changed = copy.deepcopy(base)
                changed[name] = value
                rules = Rules(self.model)
                rules.check(shape, changed)
                if len(rules.found) == 1:
                    yield what, name, changed

    def idempotent(self, shape, name):
        return self.shapes[shape.name]["members"][name].get("idempotencyToken", False)

    def _values(self, shape, raw):
        if shape.type_name == "string":
            if "enum" in raw:
                yield "enum", "NOT-A-CHOICE"
                return
            good = self.least(shape)
            if raw.get("max", 1 << 20) < 1 << 16:
                yield "too long", good[:1] * (raw["max"] + 1)
            if raw.get("min", 0) > 1:
                yield "too short", good[:raw["min"] - 1]
            if "pattern" in raw:
                for bad in ("\u00e9\u00e9\u00e9!", "!?*", "a b\tc"):
                    if raw.get("min", 0) <= len(bad) <= raw.get("max", 99) and not _matches(raw["pattern"], bad):
                        yield "pattern", bad
                        break
        elif shape.type_name in ("integer", "long"):
            if "max" in raw:
                yield "too much", raw["max"] + 1
            if raw.get("min") is not None:
                yield "too little", raw["min"] - 1
        elif shape.type_name == "list" and 0 < raw.get("max", 0) < 300:
            entry = self.least(shape.member, 1)
            yield "too many", [entry] * (raw["max"] + 1)


def _matches(pattern, text):
    compiled = _pattern(pattern)
    return compiled is None or bool(compiled.fullmatch(text))

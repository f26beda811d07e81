"""What the models say of a value: types, required members, enumerations, lengths, ranges, patterns."""

import datetime
import functools

import regex

from . import models

PLAIN = {
    "string": str, "character": str, "boolean": bool, "timestamp": datetime.datetime,
    "integer": int, "long": int, "float": (int, float), "double": (int, float),
}


@functools.cache
def _pattern(source):
    # Java writes the astral planes as surrogates.
    source = source.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF")
    try:
        return regex.compile(source)
    except regex.error:
        return None


# Patterns AWS's own answers do not keep to: the examples of `aws ssm get-command-invocation` in the AWS CLI have
# "PT0.091S" and dates with three decimals, and the reference says "the string is empty" before it has begun.
ANSWERED_FREELY = {("ssm", "StringDateTime")}


class Rules:
    """Collects what breaks the model of one service, and which members were seen.

    In answers an empty list or map may stand where the model wants one entry: the examples of the AWS CLI have
    `"InvalidLabels": []`, `"Labels": []` and `"tags": {}`.
    """

    def __init__(self, model, answers=False):
        self.service, self.answers = model.service_name, answers
        self.shapes = models.raw(model.service_name)["shapes"]
        self.found, self.members = [], set()

    def check(self, shape, value, path=""):
        if shape is None:
            if value:
                self.found.append(f"{path or '/'}: the model has nothing here")
            return
        kind = shape.type_name
        if kind == "structure":
            if not isinstance(value, dict):
                self.found.append(f"{path}: {type(value).__name__} instead of a structure")
                return
            self.found.extend(f"{path}/{name} is required" for name in shape.required_members
                              if value.get(name) is None)
            present = [name for name in shape.members if value.get(name) is not None]
            if self.shapes[shape.name].get("union") and len(present) != 1:
                self.found.append(f"{path}: {len(present)} members of a union")
            for name in present:
                self.members.add((shape.name, name))
                self.check(shape.members[name], value[name], f"{path}/{name}")
        elif kind == "list":
            if not isinstance(value, list):
                self.found.append(f"{path}: {type(value).__name__} instead of a list")
                return
            self._size(shape, len(value), path)
            for index, entry in enumerate(value):
                self.check(shape.member, entry, f"{path}/{index}")
        elif kind == "map":
            if not isinstance(value, dict):
                self.found.append(f"{path}: {type(value).__name__} instead of a map")
                return
            self._size(shape, len(value), path)
            for key, entry in value.items():
                self.check(shape.key, key, f"{path}/{key}(key)")
                self.check(shape.value, entry, f"{path}/{key}")
        else:
            self._plain(shape, kind, value, path)

    def _plain(self, shape, kind, value, path):
        raw = self.shapes[shape.name]
        if kind == "blob":
            if isinstance(value, (bytes, bytearray)):
                self._size(shape, len(value), path)
            elif not hasattr(value, "read"):
                self.found.append(f"{path}: {type(value).__name__} instead of bytes")
            return
        if not isinstance(value, PLAIN[kind]) or isinstance(value, bool) and kind != "boolean":
            self.found.append(f"{path}: {value!r:.80} is no {kind}")
            return
        if kind == "string":
            self._size(shape, len(value), path)
            if "enum" in raw and value not in raw["enum"]:
                self.found.append(f"{path}: {value!r} is none of {raw['enum']}")
            free = self.answers and (self.service, shape.name) in ANSWERED_FREELY
            pattern = _pattern(raw["pattern"]) if "pattern" in raw and not free else None
            if pattern is not None and not pattern.fullmatch(value):
                self.found.append(f"{path}: {value!r} does not match {raw['pattern']}")
        elif kind in ("integer", "long", "float", "double"):
            self._size(shape, value, path)

    def _size(self, shape, size, path):
        raw = self.shapes[shape.name]
        if self.answers and size == 0 and shape.type_name in ("list", "map"):
            return
        if "min" in raw and size < raw["min"]:
            self.found.append(f"{path}: {size} is less than {raw['min']}")
        if "max" in raw and size > raw["max"]:
            self.found.append(f"{path}: {size} is more than {raw['max']}")

#!/usr/bin/env python3
"""Checks a record of the wire against the full service models of botocore.

Usage: wire_check.py FOLDER [--report FILE]

FOLDER holds what processes with BAKELINE_TEST_WIRE=FOLDER wrote. A request that breaks its model must have been refused;
every answer must be one the model allows. One violation fails. The report says which operations and members were seen.
"""

import argparse
import collections
import json
import pathlib
import sys

import botocore.parsers

from wire import answers, decode, errors, models
from wire.rules import Rules


class Check:
    def __init__(self):
        self.violations = collections.Counter()
        self.counts = collections.Counter()
        self.operations = collections.defaultdict(lambda: {"answered": 0, "codes": collections.Counter()})
        self.members = collections.defaultdict(lambda: (set(), set()))

    def violation(self, where, what):
        self.violations[f"{where}: {what}"] += 1

    def exchange(self, exchange):
        request, response = exchange["request"], exchange["response"]
        scope = request["scope"]
        model = scope and models.signed_as(scope["service"])
        if not model:
            self.counts["unsigned or of no service of ours"] += 1
            if response["status"] < 400:
                self.violation(str(scope), "answered without knowing the service")
            return
        protocol = models.protocol(model, request)
        operation, asked = self.request(model, protocol, request)
        name = operation.name if operation else "unknown"
        where = f"{model.service_name} {name}"
        try:
            answer, strangers = answers.parsed(protocol, operation or _Nothing, response)
        except botocore.parsers.ResponseParserError as error:
            self.violation(where, f"botocore cannot read the answer: {error}")
            return
        status = response["status"]
        if status >= 300:
            code = answer.get("Error", {}).get("Code")
            self.counts["refused"] += 1
            seen = self.operations[(model.service_name, name)]
            seen["codes"][f"{code} {status}"] += 1
            wrong = errors.judged(model, protocol, operation, status, code)
            if wrong:
                self.violation(where, wrong)
            return
        self.counts["answered"] += 1
        if operation is None or asked is None:
            self.violation(where, "answered a request that is none of the protocol's")
            return
        params, unknown = asked
        rules = Rules(model)
        rules.check(operation.input_shape, params)
        for what in [*rules.found, *(f"unknown member {place}" for place in unknown)]:
            self.violation(where, f"let in though {what}")
        inputs = rules.members
        wanted = operation.http.get("responseCode", 200)
        if status != wanted and not (protocol == "rest-xml" and status in (200, 204, 206)):
            self.violation(where, f"status {status} instead of {wanted}")
        answer.pop("ResponseMetadata", None)
        rules = Rules(model, answers=True)
        rules.check(operation.output_shape, answer)
        for what in [*rules.found, *(f"unknown member {place}" for place in strangers)]:
            self.violation(where, f"answered though {what}")
        self.operations[(model.service_name, name)]["answered"] += 1
        seen_in, seen_out = self.members[(model.service_name, name)]
        seen_in |= inputs
        seen_out |= rules.members

    def request(self, model, protocol, request):
        if request["body"].get("length") and protocol != "rest-xml":
            return None, None
        try:
            operation, params, unknown = decode.request(model, protocol, request)
        except decode.Malformed:
            return None, None
        return operation, (params, unknown)

    def report(self):
        out = {}
        for (service, name), seen in sorted(self.operations.items()):
            ins, outs = self.members[(service, name)]
            model = models.service(service)
            known = name in model.operation_names
            operation = model.operation_model(name) if known else None
            out.setdefault(service, {})[name] = {
                "answered": seen["answered"],
                "codes": dict(sorted(seen["codes"].items())),
                "input": _top(operation and operation.input_shape, ins),
                "output": _top(operation and operation.output_shape, outs),
                "nested": len(ins) + len(outs),
            }
        return {"exchanges": dict(self.counts), "operations": out}


class _Nothing:
    """Stands in for the operation of a request that names none."""

    output_shape = None
    has_streaming_output = False


def _top(shape, seen):
    """Of the members of an operation's own shape, those that were seen."""
    return [] if shape is None else sorted(name for name in shape.members if (shape.name, name) in seen)


def lines(folder):
    for path in sorted(pathlib.Path(folder).glob("*.jsonl")):
        with path.open(encoding="utf-8") as file:
            for line in file:
                if line.endswith("\n"):
                    yield json.loads(line)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder")
    arguments.add_argument("--report")
    options = arguments.parse_args()
    check = Check()
    for exchange in lines(options.folder):
        check.counts["exchanges"] += 1
        check.exchange(exchange)
    report = check.report()
    if options.report:
        pathlib.Path(options.report).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for what, times in check.violations.most_common():
        print(f"{times:6} x {what}")
    operations = sum(seen["answered"] > 0 for of in report["operations"].values() for seen in of.values())
    for side in ("input", "output"):
        seen = sum(len(of[side]) for of_service in report["operations"].values() for of in of_service.values())
        known = sum(len(getattr(models.service(service).operation_model(name), f"{side}_shape").members)
                    for service, of_service in report["operations"].items() for name, of in of_service.items()
                    if of["answered"] and getattr(models.service(service).operation_model(name), f"{side}_shape"))
        print(f"{seen} of the {known} members of {side}s of the operations answered were seen")
    print(f"{check.counts['exchanges']} different exchanges, {check.counts['answered']} answered and "
          f"{check.counts['refused']} refused; {operations} operations were answered; "
          f"{sum(check.violations.values())} violations")
    if check.counts["exchanges"] == 0:
        sys.exit("nothing was recorded")
    sys.exit(1 if check.violations else 0)


if __name__ == "__main__":
    main()

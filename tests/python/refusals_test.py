#!/usr/bin/env python3
"""Every operation refuses what breaks its model, who is not known or too late, and what is denied.

Usage: refusals_test.py BAKELINE

The inputs are made from the full models of botocore, one broken rule at a time, and sent by boto3.
"""

import collections
import json
import sys

import botocore
import botocore.exceptions

from refusals.samples import Samples
from tour.embedded_aws import EmbeddedAws
from tour_test import SERVICES, offered
from wire import models

# How the families of services word it: (code, status) by what is wrong.
VALIDATION = {
    "json": ("ValidationException", 400),
    "rest-json": ("ValidationException", 400),
    # Its clients read the shape's name; the old code travels in a header.
    "smithy-rpc-v2-cbor": ("ValidationException", 400),
    "query": ("ValidationError", 400),
}
EC2 = {"missing": ("MissingParameter", 400), "unknown": ("UnknownParameter", 400)}
UNKNOWN_KEY = {"json": ("UnrecognizedClientException", 400), "rest-json": ("UnrecognizedClientException", 403),
               "smithy-rpc-v2-cbor": ("UnrecognizedClientException", 400), "query": ("InvalidClientTokenId", 403),
               "ec2": ("AuthFailure", 401), "rest-xml": ("InvalidAccessKeyId", 403)}
EXPIRED = {"json": ("ExpiredTokenException", 400), "rest-json": ("ExpiredTokenException", 403),
           "smithy-rpc-v2-cbor": ("ExpiredTokenException", 400), "query": ("ExpiredToken", 403),
           "ec2": ("RequestExpired", 400), "rest-xml": ("ExpiredToken", 400)}
DENIED = {"json": ("AccessDeniedException", 400), "rest-json": ("AccessDeniedException", 403),
          "smithy-rpc-v2-cbor": ("AccessDenied", 403), "query": ("AccessDenied", 403),
          "ec2": ("UnauthorizedOperation", 403), "rest-xml": ("AccessDenied", 403)}
FAMILY = {"autoscaling": "query", "elbv2": "query", "sts": "query", "cloudwatch": "smithy-rpc-v2-cbor", "ec2": "ec2",
          "ebs": "rest-json", "imagebuilder": "rest-json", "lambda": "rest-json", "securityhub": "rest-json", "s3": "rest-xml"}
DENY_ALL = "version: 1\nfaults: [{fault: {deny: {}}}]\n"


def answered(call, params):
    try:
        call(**params)
    except botocore.exceptions.ClientError as error:
        return (error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]), \
            error.response["Error"].get("Message", "")
    except (botocore.exceptions.ParamValidationError, botocore.exceptions.BotoCoreError) as error:
        return None, str(error)
    return ("answered", 200), ""


def inject(params, **_):
    """Adds a member no model has to a request about to be sent."""
    body = params["body"]
    if isinstance(body, dict):
        body["NoSuchMember"] = "x"
    elif params["headers"].get("smithy-protocol") == "rpc-v2-cbor":
        # A map of one more: text(12) "NoSuchMember", text(1) "x", into an indefinite or short map.
        params["body"] = bytes([body[0] + 1]) + body[1:] + b"\x6cNoSuchMember\x61x" if body else \
            b"\xa1\x6cNoSuchMember\x61x"
    else:
        whole = json.loads(body or b"{}")
        whole["NoSuchMember"] = "x"
        params["body"] = json.dumps(whole).encode()


def method(client, operation):

    return getattr(client, botocore.xform_name(operation))


def broken(aws, wrong, counts):
    for service in SERVICES:
        if service == "s3":
            continue
        client, model = aws.client(service), models.service(service)
        family, samples = FAMILY.get(service, "json"), Samples(model)
        for operation in sorted(offered(service)):
            shape = model.operation_model(operation).input_shape
            if shape is None:
                continue
            if not samples.fits(shape, samples.least(shape)):
                counts["operations without a sample"] += 1
                print(f"no sample: {service} {operation}: {samples.least(shape)}")
            for what, member, params in samples.broken(shape):
                location = shape.members[member].serialization.get("location")
                if what == "missing" and location == "uri":
                    continue
                default = ("InvalidParameterValue", 400)
                expected = EC2.get(what, default) if family == "ec2" else VALIDATION[family]
                got, message = answered(method(client, operation), params)
                if got is None:
                    counts["not sendable"] += 1
                    continue
                counts[what] += 1
                if got != expected:
                    wrong.append(f"{service} {operation}: {what} {member}: {got} {message:.120}")
                elif member.lower() not in message.lower():
                    wrong.append(f"{service} {operation}: {what} {member} is not named: {message:.120}")
            if model.operation_model(operation).http["method"] == "GET":
                continue
            client.meta.events.register_last(f"before-call.*.{operation}", inject, unique_id="inject")
            got, message = answered(method(client, operation), samples.least(shape))
            client.meta.events.unregister(f"before-call.*.{operation}", inject, unique_id="inject")
            counts["unknown"] += 1
            expected = EC2["unknown"] if family == "ec2" else VALIDATION[family]
            if got != expected or "NoSuchMember" not in message:
                wrong.append(f"{service} {operation}: unknown member: {got} {message:.120}")


def callers(aws, wrong, counts, key, expected, what):
    for service in SERVICES:
        client, model = aws.client(service, key), models.service(service)
        samples, family = Samples(model), FAMILY.get(service, "json")
        for operation in sorted(offered(service)):
            shape = model.operation_model(operation).input_shape
            params = samples.least(shape) if shape is not None else {}
            if service == "s3":
                params = {name: {"Bucket": "web-artifacts", "Key": "k"}.get(name, value) for name, value in params.items()}
            got, message = answered(method(client, operation), params)
            counts[what] += 1
            wanted = expected[family]
            # A HEAD has no body to say more in.
            if service == "s3" and operation.startswith("Head"):
                wanted = (str(wanted[1]), wanted[1])
            if got != wanted:
                wrong.append(f"{service} {operation}: {what}: {got} {message:.120}")


def main():
    binary = sys.argv[1]
    wrong, counts = [], collections.Counter()
    with EmbeddedAws(binary) as aws:
        broken(aws, wrong, counts)
        callers(aws, wrong, counts, "AKIANOTISSUEDBYANYONE", UNKNOWN_KEY, "unknown key")
        key = aws.client("sts").assume_role(RoleArn="arn:aws:iam::123456789012:role/short", RoleSessionName="short",
                                               DurationSeconds=900)["Credentials"]["AccessKeyId"]
        sts = aws.client("sts", key)
        while answered(sts.get_caller_identity, {})[0][0] == "answered":
            pass
        callers(aws, wrong, counts, key, EXPIRED, "expired key")
    with EmbeddedAws(binary, scenario=DENY_ALL) as aws:
        callers(aws, wrong, counts, None, DENIED, "denied")
    print(", ".join(f"{what} {times}" for what, times in sorted(counts.items())))
    print(f"{sum(counts.values())} refusals tried, {len(wrong)} wrong")
    sys.exit("\n".join(wrong) if wrong else 0)


if __name__ == "__main__":
    main()

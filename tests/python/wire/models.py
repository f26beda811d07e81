"""The full service models, found by what a request is signed as and what it looks like."""

import functools
import re
from urllib.parse import unquote

import botocore.loaders
import botocore.model

# botocore's name of a service, by the name in the signature.
SERVICES = {
    "autoscaling": "autoscaling",
    "codepipeline": "codepipeline",
    "ebs": "ebs",
    "ec2": "ec2",
    "ecr": "ecr",
    "ecs": "ecs",
    "elasticloadbalancing": "elbv2",
    "imagebuilder": "imagebuilder",
    "kms": "kms",
    "lambda": "lambda",
    "monitoring": "cloudwatch",
    "s3": "s3",
    "secretsmanager": "secretsmanager",
    "securityhub": "securityhub",
    "ssm": "ssm",
    "sts": "sts",
}


@functools.cache
def service(name):
    loader = botocore.loaders.Loader()
    return botocore.model.ServiceModel(loader.load_service_model(name, "service-2"), name)


@functools.cache
def raw(name):
    """The model as it is written: botocore's shapes leave some constraints out."""
    return botocore.loaders.Loader().load_service_model(name, "service-2")


def signed_as(scope):
    name = SERVICES.get(scope)
    return None if name is None else service(name)


def protocol(model, request):
    spoken = model.metadata.get("protocols") or [model.metadata["protocol"]]
    headers = request["headers"]
    if "smithy-rpc-v2-cbor" in spoken and headers.get("smithy-protocol") == "rpc-v2-cbor":
        return "smithy-rpc-v2-cbor"
    if "json" in spoken and "x-amz-target" in headers:
        return "json"
    for name in ("rest-json", "rest-xml", "ec2", "query", "json"):
        if name in spoken:
            return name
    raise ValueError(spoken)


@functools.cache
def _routes(name):
    """(method, path pattern, static query, operation) of every operation, the most particular first."""
    model, routes = service(name), []
    for operation in map(model.operation_model, model.operation_names):
        uri = operation.http["requestUri"]
        path, _, query = uri.partition("?")
        pattern = re.compile(
            "".join(
                f"(?P<{piece[1:-1].rstrip('+')}>{'.+' if piece.endswith('+}') else '[^/]+'})"
                if piece.startswith("{") else re.escape(piece)
                for piece in re.split(r"(\{[^}]+\})", path)
            )
            + "/?$"
        )
        static = dict(pair.partition("=")[::2] for pair in query.split("&") if pair)
        routes.append((operation.http["method"], pattern, static, operation))
    return routes


def route(model, method, path, query, headers):
    """The REST operation a request asks for, with the labels of its path."""
    best = None
    for wanted, pattern, static, operation in _routes(model.service_name):
        matched = pattern.match(path) if wanted == method else None
        if not matched or any(query.get(key) != value for key, value in static.items()):
            continue
        shape, score = operation.input_shape, len(static) * 10
        for member, inner in shape.members.items() if shape else ():
            location = inner.serialization.get("location")
            there = {"querystring": query, "header": headers}.get(location, {})
            name = inner.serialization.get("name", member)
            name = name.lower() if location == "header" else name
            if member in shape.required_members and location in ("querystring", "header"):
                score += 1 if name in there else -1000
            elif name in there:
                score += 0.01
        # A key makes a request one about an object, a bucket alone never.
        if score > -1 and (best is None or (score, len(matched.groups())) > best[0]):
            labels = {name: unquote(value) for name, value in matched.groupdict().items()}
            best = ((score, len(matched.groups())), operation, labels)
    return (None, {}) if best is None else best[1:]

"""Answers: botocore's parsers read them; what parsers pass over in silence is looked at by hand."""

import json
from xml.etree import ElementTree

import botocore.parsers

from . import decode

# Elements around an answer in XML that are not of its shape.
ENVELOPE = {"ResponseMetadata", "requestId"}


def parsed(protocol, operation, response):
    """(parsed answer, unknown members). Raises botocore's ResponseParserError."""
    body = decode.bytes_of(response["body"])
    # The body of an object was left out of the record: its length is all that is known.
    body = b"" if body is None else body
    parser = botocore.parsers.create_parser(protocol)
    shape = operation.output_shape
    streaming = operation.has_streaming_output
    given = {"status_code": response["status"], "headers": _headers(response["headers"]),
             "body": _Stream(body) if streaming and response["status"] < 300 else body, "context": {}}
    answer = parser.parse(given, shape)
    unknown = decode.Unknown()
    if response["status"] < 300 and body and not streaming:
        _strangers(protocol, operation, body, unknown)
    return answer, unknown


class _Stream:
    """A streamed body stays unread."""

    def __init__(self, body):
        self.body = body

    def read(self, *_):
        return self.body


def _headers(headers):
    import botocore.awsrequest
    return botocore.awsrequest.HeadersDict(headers)


def _strangers(protocol, operation, body, unknown):
    shape = operation.output_shape
    if protocol == "json":
        decode.from_json(shape, json.loads(body), "", unknown)
    elif protocol == "rest-json":
        decode.from_json(shape, json.loads(body), "", unknown, names=True)
    elif protocol == "smithy-rpc-v2-cbor":
        decode.from_json(shape, decode.cbor(body), "", unknown, native=True)
    elif shape is not None:
        tree = ElementTree.fromstring(body)
        payload = shape.serialization.get("payload")
        if protocol == "rest-xml":
            if payload and shape.members[payload].type_name in ("blob", "string"):
                return
            inner = shape.members[payload] if payload else shape
            _xml(inner, tree, "", unknown)
            return
        if protocol == "query" and "resultWrapper" in shape.serialization:
            wrapped = [child for child in tree if decode.local(child) == shape.serialization["resultWrapper"]]
            if len(wrapped) != 1:
                unknown.append(f"{len(wrapped)} x {shape.serialization['resultWrapper']}")
                return
            unknown.extend(f"/{decode.local(c)}" for c in tree if c is not wrapped[0] and decode.local(c) not in ENVELOPE)
            tree = wrapped[0]
        _xml(shape, [child for child in tree if decode.local(child) not in ENVELOPE], "", unknown)


def _xml(shape, children, path, unknown):
    """Element names the model does not have."""
    if shape.type_name != "structure":
        if shape.type_name == "list":
            wanted = shape.member.serialization.get("name", "member")
            for child in children:
                if decode.local(child) != wanted:
                    unknown.append(f"{path}/{decode.local(child)} instead of {wanted}")
                _xml(shape.member, child, path, unknown)
        return
    by_name = {}
    for member, inner in shape.members.items():
        name = inner.serialization.get("name", member)
        if inner.type_name == "list" and inner.serialization.get("flattened"):
            name = inner.member.serialization.get("name", name)
            inner = inner.member
        by_name[name] = inner
    for child in children:
        name = decode.local(child)
        if name not in by_name:
            unknown.append(f"{path}/{name}")
        elif by_name[name].type_name in ("structure", "list"):
            _xml(by_name[name], child, f"{path}/{name}", unknown)

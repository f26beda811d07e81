"""From the bytes of a request to the operation and the members it names, by the full model."""

import base64
import io
import json
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree

import botocore.parsers
from botocore.utils import parse_timestamp

from . import models


class Malformed(Exception):
    """The request is not one of this service's protocol."""


class Unknown(list):
    """Places of members the model does not have."""


def bytes_of(body):
    if "text" in body:
        return body["text"].encode()
    return base64.b64decode(body["base64"]) if "base64" in body else None


def request(model, protocol, recorded):
    """(operation model, params, unknown members)."""
    body, headers = bytes_of(recorded["body"]), recorded["headers"]
    if headers.get("content-encoding") == "gzip" and body is not None:
        import gzip
        body = gzip.decompress(body)
    if protocol == "json":
        return _json(model, headers, body)
    if protocol == "smithy-rpc-v2-cbor":
        return _cbor(model, recorded["uri"], body)
    if protocol in ("query", "ec2"):
        return _form(model, protocol, body)
    return _rest(model, protocol, recorded, headers, body)


def _operation(model, name):
    if name not in model.operation_names:
        raise Malformed(f"there is no operation {name}")
    return model.operation_model(name)


def _json(model, headers, body):
    prefix, _, name = headers["x-amz-target"].partition(".")
    if prefix != model.metadata.get("targetPrefix"):
        raise Malformed(f"target prefix {prefix}")
    if not headers.get("content-type", "").startswith("application/x-amz-json-"):
        raise Malformed(f"content type {headers.get('content-type')}")
    operation, unknown = _operation(model, name), Unknown()
    try:
        value = json.loads(body or b"{}")
    except ValueError as error:
        raise Malformed(str(error)) from None
    return operation, from_json(operation.input_shape, value, "", unknown), unknown


def _cbor(model, uri, body):
    parts = urlsplit(uri).path.split("/")
    if len(parts) != 5 or parts[1] != "service" or parts[3] != "operation":
        raise Malformed(f"path {uri}")
    operation, unknown = _operation(model, parts[4]), Unknown()
    value = cbor(body) if body else {}
    return operation, from_json(operation.input_shape, value, "", unknown, native=True), unknown


def cbor(body):
    parser = botocore.parsers.RpcV2CBORParser()
    return parser.parse_data_item(parser.get_peekable_stream_from_bytes(io.BytesIO(body)))


def from_json(shape, value, path, unknown, native=False, names=False):
    """Plain data as botocore takes it; members the model lacks are noted. `names` follows location names."""
    if shape is None or value is None:
        if shape is None and value not in (None, {}):
            unknown.extend(f"{path}/{name}" for name in value)
        return {} if shape is None else None
    if shape.type_name == "structure" and isinstance(value, dict):
        out = {}
        by_name = {
            (inner.serialization.get("name", member) if names else member): (member, inner)
            for member, inner in shape.members.items()
        }
        for name, inner in value.items():
            if name == "__type":
                continue
            if name not in by_name:
                unknown.append(f"{path}/{name}")
            elif inner is not None:
                member, inner_shape = by_name[name]
                out[member] = from_json(inner_shape, inner, f"{path}/{member}", unknown, native, names)
        return out
    if shape.type_name == "list" and isinstance(value, list):
        return [from_json(shape.member, entry, f"{path}/{i}", unknown, native, names) for i, entry in enumerate(value)]
    if shape.type_name == "map" and isinstance(value, dict):
        return {k: from_json(shape.value, v, f"{path}/{k}", unknown, native, names) for k, v in value.items()}
    if native:
        return value
    if shape.type_name == "blob" and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:
            return value
    if shape.type_name == "timestamp" and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return parse_timestamp(value)
        except (ValueError, OverflowError):
            return value
    return value


def _scalar(shape, text):
    kind = shape.type_name
    try:
        if kind in ("integer", "long"):
            return int(text)
        if kind in ("float", "double"):
            return float(text)
        if kind == "boolean":
            return {"true": True, "false": False}[text]
        if kind == "blob":
            return base64.b64decode(text)
        if kind == "timestamp":
            return parse_timestamp(text)
    except (ValueError, KeyError):
        return text
    return text


def _form(model, protocol, body):
    pairs = dict(parse_qsl((body or b"").decode(), keep_blank_values=True))
    if pairs.pop("Version", None) != model.metadata["apiVersion"]:
        raise Malformed("Version")
    operation = _operation(model, pairs.pop("Action", None))
    used = set()
    params = _form_member(operation.input_shape, pairs, "", protocol, used) if operation.input_shape else {}
    return operation, params or {}, Unknown(sorted(set(pairs) - used))


def _form_member(shape, pairs, prefix, protocol, used):
    """The value below a prefix, `None` when there is nothing."""
    dotted = f"{prefix}." if prefix else ""
    if prefix and not any(name == prefix or name.startswith(dotted) for name in pairs):
        return None
    if shape.type_name == "structure":
        out = {}
        for member, inner in shape.members.items():
            name = _form_name(inner, member, protocol)
            value = _form_member(inner, pairs, dotted + name, protocol, used)
            if value is not None:
                out[member] = value
        return out
    if shape.type_name == "list":
        if prefix in pairs:
            used.add(prefix)
            return []
        flat = protocol == "ec2" or shape.serialization.get("flattened")
        middle = "" if flat else f"{shape.member.serialization.get('name', 'member')}."
        if flat and protocol == "query" and shape.member.serialization.get("name"):
            dotted = ".".join([*prefix.split(".")[:-1], shape.member.serialization["name"]]) + "."
        out, index = [], 1
        while (value := _form_member(shape.member, pairs, f"{dotted}{middle}{index}", protocol, used)) is not None:
            out.append(value)
            index += 1
        return out or None
    if shape.type_name == "map":
        middle = "" if shape.serialization.get("flattened") else "entry."
        key, value = (inner.serialization.get("name", name) for inner, name in
                      ((shape.key, "key"), (shape.value, "value")))
        out, index = {}, 1
        while f"{dotted}{middle}{index}.{key}" in pairs:
            used.add(f"{dotted}{middle}{index}.{key}")
            found = _form_member(shape.value, pairs, f"{dotted}{middle}{index}.{value}", protocol, used)
            out[pairs[f"{dotted}{middle}{index}.{key}"]] = found
            index += 1
        return out or None
    if prefix not in pairs:
        return None
    used.add(prefix)
    return _scalar(shape, pairs[prefix])


def _form_name(shape, member, protocol):
    if protocol == "ec2":
        if "queryName" in shape.serialization:
            return shape.serialization["queryName"]
        name = shape.serialization.get("name", member)
        return name[0].upper() + name[1:]
    return shape.serialization.get("name", member)


def _rest(model, protocol, recorded, headers, body):
    parts = urlsplit(recorded["uri"])
    query = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        query.setdefault(name, []).append(value)
    path = parts.path
    if model.service_name == "s3":
        path = _path_style(path, parts.hostname or headers.get("host", "").rsplit(":", 1)[0])
    single = {name: values[0] for name, values in query.items()}
    operation, labels = models.route(model, recorded["method"], path, single, headers)
    if operation is None:
        raise Malformed(f"no operation is {recorded['method']} {recorded['uri']}")
    shape, params, unknown = operation.input_shape, {}, Unknown()
    known = set(operation.http["requestUri"].partition("?")[2].replace("&", "=").split("="))
    known |= {"x-id"}
    inside = {}
    for member, inner in shape.members.items() if shape else ():
        location, name = inner.serialization.get("location"), inner.serialization.get("name", member)
        if location == "uri":
            if name in labels:
                params[member] = _scalar(inner, labels[name])
        elif location == "querystring":
            known.add(name)
            if name in query:
                params[member] = [_scalar(inner.member, v) for v in query[name]] \
                    if inner.type_name == "list" else _scalar(inner, single[name])
        elif location == "header":
            if name.lower() in headers:
                params[member] = _header(inner, headers[name.lower()])
        elif location == "headers":
            found = {k[len(name):]: v for k, v in headers.items() if k.startswith(name.lower())}
            if found:
                params[member] = found
        else:
            inside[member] = inner
    unknown.extend(f"?{name}" for name in query if name not in known and not name.lower().startswith("x-amz-"))
    payload = shape.serialization.get("payload") if shape else None
    if body:
        if payload and shape.members[payload].type_name in ("blob", "string"):
            params[payload] = body
        elif protocol == "rest-json":
            try:
                value = json.loads(body)
            except ValueError as error:
                raise Malformed(str(error)) from None
            if not isinstance(value, dict):
                raise Malformed("the body is no object")
            by_name = {inner.serialization.get("name", m): (m, inner) for m, inner in inside.items()}
            for name, entry in value.items():
                if name not in by_name:
                    unknown.append(f"/{name}")
                elif entry is not None:
                    member, inner = by_name[name]
                    params[member] = from_json(inner, entry, f"/{member}", unknown, names=True)
        elif payload:
            try:
                tree = ElementTree.fromstring(body)
            except ElementTree.ParseError as error:
                raise Malformed(str(error)) from None
            params[payload] = from_xml(shape.members[payload], tree, f"/{payload}", unknown)
    elif payload and recorded["body"].get("length"):
        params[payload] = b""
    return operation, params, unknown


def _path_style(path, host):
    labels = host.split(".")
    anchors = [i for i, label in enumerate(labels) if label == "s3" or label.startswith("s3-") or label == "localhost"]
    bucket = ".".join(labels[:anchors[-1]]) if anchors else ""
    return f"/{bucket}{path}" if bucket else path


def _header(shape, text):
    if shape.type_name == "list":
        return [_scalar(shape.member, entry.strip()) for entry in text.split(",")]
    return _scalar(shape, text)


def local(element):
    return element.tag.rpartition("}")[2]


def from_xml(shape, element, path, unknown):
    """An XML element as plain data, by location names."""
    if shape.type_name == "structure":
        out, flat = {}, {}
        by_name = {}
        for member, inner in shape.members.items():
            name = inner.serialization.get("name", member)
            if inner.type_name == "list" and inner.serialization.get("flattened"):
                name = inner.member.serialization.get("name", name)
                flat[member] = True
            by_name[name] = (member, inner)
        for child in element:
            if local(child) not in by_name:
                unknown.append(f"{path}/{local(child)}")
                continue
            member, inner = by_name[local(child)]
            if member in flat:
                out.setdefault(member, []).append(from_xml(inner.member, child, f"{path}/{member}", unknown))
            else:
                out[member] = from_xml(inner, child, f"{path}/{member}", unknown)
        return out
    if shape.type_name == "list":
        return [from_xml(shape.member, child, f"{path}/{i}", unknown) for i, child in enumerate(element)]
    if shape.type_name == "map":
        out = {}
        for entry in element:
            key, value = list(entry)[:2]
            out[key.text or ""] = from_xml(shape.value, value, f"{path}/{key.text}", unknown)
        return out
    return _scalar(shape, element.text or "")

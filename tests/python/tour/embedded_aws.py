"""A listening embedded AWS, its clients, and the two things a tour says: it answers, it refuses."""

import os
import pathlib
import subprocess
import tempfile
import time

import boto3
import botocore.config
import botocore.exceptions

ROOT = pathlib.Path(__file__).resolve().parents[3]
# An hour a second: builds and boots take moments.
SPEED = "3600"


class EmbeddedAws:
    """The embedded AWS in a process of its own."""

    def __init__(self, binary, speed=SPEED, scenario=None):
        self.folder = tempfile.TemporaryDirectory()
        command = [binary, "serve-aws", str(ROOT / "tests/it/fixtures/crash/bakeline.yaml"), "--listen", "127.0.0.1:0",
                   "--speed", speed, "--out", self.folder.name]
        if scenario:
            file = pathlib.Path(self.folder.name, "scenario.yaml")
            file.write_text(scenario, encoding="utf-8")
            command += ["--scenario", str(file)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.settings = {}
        for line in self.process.stdout:
            if line.startswith("export "):
                name, _, value = line[len("export "):].strip().partition("=")
                self.settings[name] = value
            else:
                self.pipeline_arn, self.execution = line.split()[2], line.split()[4]
                break
        if "AWS_ENDPOINT_URL" not in self.settings:
            raise SystemExit("the embedded AWS did not start")
        self.called = set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.folder.cleanup()

    def client(self, service, key=None, **config):
        """A client as anyone would make it. It sends what it is told to: checking is the server's work."""
        client = boto3.client(
            service,
            endpoint_url=self.settings["AWS_ENDPOINT_URL"],
            aws_access_key_id=key or self.settings["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.settings["AWS_SECRET_ACCESS_KEY"],
            region_name=self.settings["AWS_REGION"],
            config=botocore.config.Config(parameter_validation=False, retries={"total_max_attempts": 1}, **config),
        )
        client.meta.events.register("before-call", self._note)
        return client

    def _note(self, model, **_):
        self.called.add((model.service_model.service_name, model.name))

    def environment(self):
        """The environment the AWS CLI needs."""
        wanted = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
        return {**os.environ, **{name: self.settings[name] for name in wanted}, "AWS_PAGER": "",
                "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


def refused(code, status, call, **params):
    """The call must be refused with exactly this code and HTTP status; the error itself."""
    try:
        answer = call(**params)
    except botocore.exceptions.ClientError as error:
        answered = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        if answered != (code, status):
            raise AssertionError(f"{error.operation_name}({params}) answered {answered} {error}, not {(code, status)}") from None
        return error
    raise AssertionError(f"{call.__name__}({params}) was not refused but answered {answer}")


def until(look, why, seconds=30):
    """Looks until there is something to see; seconds of the wall clock, an hour each."""
    for _ in range(seconds * 20):
        seen = look()
        if seen:
            return seen
        time.sleep(0.05)
    raise AssertionError(f"waited in vain: {why}")


def by_hand(client, operation, size, params):
    """Pages of what boto3 has no paginator for: sizes and tokens go by one of three names."""
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation]).input_shape
    limit = next(name for name in ("MaxResults", "MaxRecords", "maxResults") if name in shape.members)
    token = next(name for name in ("NextToken", "nextToken") if name in shape.members)
    more = {}
    while True:
        page = getattr(client, operation)(**{limit: size}, **more, **params)
        yield page
        if not page.get(token):
            return
        more = {token: page[token]}


def pages(client, operation, key, size, **params):
    """Everything of a list, by pages of `size`; every page but the last must be full, and nothing come twice."""
    found, sizes = [], []
    given = client.get_paginator(operation).paginate(PaginationConfig={"PageSize": size}, **params) \
        if client.can_paginate(operation) else by_hand(client, operation, size, params)
    for page in given:
        sizes.append(len(page.get(key, [])))
        found.extend(page.get(key, []))
    assert all(of == size for of in sizes[:-1]), f"{operation}: pages of {sizes}"
    seen = [repr(entry) for entry in found]
    assert len(seen) == len(set(seen)), f"{operation}: an entry came twice"
    return found

"""Lambda: functions of images and of archives, and the versions that keep what a tag meant."""

import base64
import hashlib
import json

from .ecr import image
from .embedded_aws import pages, refused, until


def tour(aws):
    functions, ecr = aws.client("lambda"), aws.client("ecr")
    uri = ecr.create_repository(repositoryName="tour/fn")["repository"]["repositoryUri"]
    first = ecr.put_image(repositoryName="tour/fn", imageManifest=image("1"), imageTag="v1")["image"]["imageId"]["imageDigest"]
    role = "arn:aws:iam::123456789012:role/run"
    made = functions.create_function(FunctionName="web", Role=role, PackageType="Image", Code={"ImageUri": f"{uri}:v1"},
                                     Tags={"of": "tour"})
    assert (made["State"], made["CodeSha256"]) == ("Pending", first.partition(":")[2]), made
    refused("ResourceConflictException", 409, functions.create_function, FunctionName="web", Role=role, PackageType="Image",
            Code={"ImageUri": f"{uri}:v1"})
    refused("InvalidParameterValueException", 400, functions.create_function, FunctionName="b", Role=role, PackageType="Image",
            Code={"ImageUri": f"{uri}:none"})
    until(lambda: functions.get_function(FunctionName="web")["Configuration"]["State"] == "Active", "a function is active")
    assert functions.publish_version(FunctionName="web")["Version"] == "1"
    second = ecr.put_image(repositoryName="tour/fn", imageManifest=image("2"), imageTag="v1")["image"]["imageId"]["imageDigest"]
    refused("PreconditionFailedException", 412, functions.update_function_code, FunctionName="web", ImageUri=f"{uri}:v1",
            RevisionId="00000000-0000-4000-8000-000000000000")
    functions.update_function_code(FunctionName="web", ImageUri=f"{uri}:v1")
    assert functions.get_function(FunctionName="web")["Code"]["ResolvedImageUri"] == f"{uri}@{second}"
    kept = functions.get_function(FunctionName="web", Qualifier="1")
    assert kept["Code"]["ResolvedImageUri"] == f"{uri}@{first}" and kept["Tags"] == {"of": "tour"}, kept
    assert kept["Code"]["ImageUri"] == f"{uri}:v1"

    code = json.dumps({"not": "really a zip"}).encode()
    zipped = functions.create_function(FunctionName="archive", Role=role, Runtime="python3.13", Handler="app.main",
                                       Code={"ZipFile": code}, Publish=True)
    assert zipped["CodeSha256"] == base64.b64encode(hashlib.sha256(code).digest()).decode() and zipped["Version"] == "1"
    assert functions.get_function(FunctionName="archive")["Code"]["RepositoryType"] == "S3"
    everything = pages(functions, "list_functions", "Functions", 1, FunctionVersion="ALL")
    assert {f"{f['FunctionName']}:{f['Version']}" for f in everything} == {
        "web:$LATEST", "web:1", "archive:$LATEST", "archive:1"}, everything
    functions.delete_function(FunctionName="web", Qualifier="1")
    refused("ResourceNotFoundException", 404, functions.get_function, FunctionName="web", Qualifier="1")
    functions.delete_function(FunctionName="web")
    refused("ResourceNotFoundException", 404, functions.delete_function, FunctionName="web")

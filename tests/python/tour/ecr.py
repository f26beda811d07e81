"""ECR: images by digest, tags that move, indexes, the archive, and deletions that fail inside an answer that succeeds."""

import hashlib
import json

from .embedded_aws import pages, refused, until

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def digest(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def image(content, **more):
    blob = lambda what, kind: {"mediaType": f"application/vnd.oci.image.{kind}", "size": 100, "digest": digest(what + content)}
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": blob("c", "config.v1+json"),
                       "layers": [blob("l", "layer.v1.tar+gzip")], **more})


def tour(aws):
    ecr = aws.client("ecr")
    made = ecr.create_repository(repositoryName="tour/app", tags=[{"Key": "of", "Value": "tour"}])["repository"]
    assert made["repositoryUri"].endswith("/tour/app") and made["imageTagMutability"] == "MUTABLE", made
    assert ecr.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"] == [{"Key": "of", "Value": "tour"}]
    refused("RepositoryAlreadyExistsException", 400, ecr.create_repository, repositoryName="tour/app")
    for name in ("tour/b", "tour/c"):
        ecr.create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
    listed = pages(ecr, "describe_repositories", "repositories", 2)
    assert {r["repositoryName"] for r in listed} >= {"tour/app", "tour/b", "tour/c"}
    refused("RepositoryNotFoundException", 400, ecr.describe_repositories, repositoryNames=["none"])

    def put(text, repository="tour/app", **more):
        return ecr.put_image(repositoryName=repository, imageManifest=text, **more)["image"]["imageId"]

    first, second = put(image("1"), imageTag="v1"), put(image("2"), imageTag="v1")
    assert first["imageDigest"] == digest(image("1"))
    refused("ImageAlreadyExistsException", 400, put, text=image("2"), imageTag="v1")
    refused("ImageDigestDoesNotMatchException", 400, put, text=image("3"), imageDigest=digest("other"))
    refused("InvalidParameterException", 400, put, text="{}")
    put(image("1"), "tour/b", imageTag="v1")
    refused("ImageTagAlreadyExistsException", 400, put, text=image("2"), repository="tour/b", imageTag="v1")
    untagged = pages(ecr, "list_images", "imageIds", 1, repositoryName="tour/app", filter={"tagStatus": "UNTAGGED"})
    assert untagged == [{"imageDigest": first["imageDigest"]}], untagged

    children = [{"mediaType": MANIFEST, "digest": first["imageDigest"], "size": len(image("1"))}]
    multi = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": children})
    index = put(multi, imageTag="multi")
    refused("ReferencedImagesNotFoundException", 400, put, text=multi.replace(first["imageDigest"], digest("none")))
    signature = put(image("s", subject={"mediaType": MANIFEST, "digest": second["imageDigest"], "size": 1},
                          artifactType="application/vnd.example.signature"))
    details = pages(ecr, "describe_images", "imageDetails", 2, repositoryName="tour/app")
    by = {d["imageDigest"]: d for d in details}
    assert by[signature["imageDigest"]]["subjectManifestDigest"] == second["imageDigest"]
    assert by[signature["imageDigest"]]["artifactMediaType"] == "application/vnd.example.signature"
    assert by[index["imageDigest"]]["imageSizeInBytes"] == by[first["imageDigest"]]["imageSizeInBytes"] == 200
    refused("ImageNotFoundException", 400, ecr.describe_images, repositoryName="tour/app", imageIds=[{"imageTag": "none"}])

    pulled = ecr.batch_get_image(repositoryName="tour/app", imageIds=[{"imageTag": "multi"}, {"imageTag": "none"}],
                                 acceptedMediaTypes=[INDEX])
    assert pulled["images"][0]["imageManifest"] == multi and pulled["failures"][0]["failureCode"] == "ImageNotFound"
    assert "lastRecordedPullTime" in described(ecr, index)

    def store(one, where):
        return ecr.update_image_storage_class(repositoryName="tour/app", imageId={"imageDigest": one["imageDigest"]},
                                              targetStorageClass=where)["imageStatus"]

    refused("ImageStorageClassUpdateNotSupportedException", 400, store, one=first, where="ARCHIVE")
    assert store(second, "ARCHIVE") == "ARCHIVED" and "lastArchivedAt" in described(ecr, second)
    shown = ecr.describe_images(repositoryName="tour/app", filter={"imageStatus": "ARCHIVED"})["imageDetails"]
    assert [d["imageDigest"] for d in shown] == [second["imageDigest"]]
    assert ecr.batch_get_image(repositoryName="tour/app", imageIds=[{"imageTag": "v1"}])["failures"]
    assert store(second, "STANDARD") == "ACTIVATING"
    until(lambda: described(ecr, second)["imageStatus"] == "ACTIVE", "an image comes back from the archive")

    def delete(*ids):
        return ecr.batch_delete_image(repositoryName="tour/app", imageIds=list(ids))

    kept = delete({"imageDigest": first["imageDigest"]}, {}, {"imageDigest": "sha256:1"})
    assert [f["failureCode"] for f in kept["failures"]] == [
        "ImageReferencedByManifestList", "MissingDigestAndTag", "InvalidImageDigest"], kept
    gone = delete({"imageDigest": index["imageDigest"]}, {"imageDigest": first["imageDigest"]}, {"imageTag": "v1"})
    assert not gone["failures"] and len(gone["imageIds"]) == 3, gone
    refused("RepositoryNotEmptyException", 400, ecr.delete_repository, repositoryName="tour/app")
    ecr.delete_repository(repositoryName="tour/app", force=True)
    refused("RepositoryNotFoundException", 400, ecr.list_images, repositoryName="tour/app")


def described(ecr, one):
    ids = [{"imageDigest": one["imageDigest"]}]
    return ecr.describe_images(repositoryName="tour/app", imageIds=ids)["imageDetails"][0]

"""S3: objects, conditions, checksums, parts."""

import base64
import hashlib
import urllib.request

import boto3.s3.transfer

from .embedded_aws import ROOT, pages, refused


def tour(aws):
    s3 = aws.client("s3", s3={"addressing_style": "path"}, signature_version="s3v4")
    tour_of(aws, s3, "tour")
    assert {"tour"} <= {b["Name"] for b in s3.list_buckets()["Buckets"]}


def tour_of(aws, s3, bucket):
    where = {"LocationConstraint": aws.settings["AWS_REGION"]}
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
    refused("BucketAlreadyOwnedByYou", 409, s3.create_bucket, Bucket=bucket, CreateBucketConfiguration=where)
    s3.head_bucket(Bucket=bucket)
    refused("404", 404, s3.head_bucket, Bucket="tour-none")
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == where["LocationConstraint"]
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    refused("NoSuchBucketPolicy", 404, s3.get_bucket_policy, Bucket=bucket)
    artifacts = next(b["Name"] for b in s3.list_buckets()["Buckets"] if "-artifacts-" in b["Name"])
    assert "aws:kms" in s3.get_bucket_policy(Bucket=artifacts)["Policy"]
    refused("AccessDenied", 403, s3.put_object, Bucket=artifacts, Key="plain", Body=b"x")
    objects(s3, bucket)
    conditions(s3, bucket)
    parts(s3, bucket)
    refused("BucketNotEmpty", 409, s3.delete_bucket, Bucket=bucket)
    empty = f"{bucket}-empty"
    s3.create_bucket(Bucket=empty, CreateBucketConfiguration=where)
    s3.delete_bucket(Bucket=empty)
    refused("NoSuchBucket", 404, s3.list_objects_v2, Bucket=empty)


def objects(s3, bucket):
    body = b"what is stored" * 100
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    put = s3.put_object(Bucket=bucket, Key="a/plain", Body=body, ChecksumSHA256=digest, ContentType="text/plain",
                        Metadata={"of": "tour"})
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"' and put["ChecksumSHA256"] == digest
    got = s3.get_object(Bucket=bucket, Key="a/plain", ChecksumMode="ENABLED")
    assert got["Body"].read() == body and got["Metadata"] == {"of": "tour"} and got["ContentType"] == "text/plain"
    assert got["ChecksumSHA256"] == digest
    part = s3.get_object(Bucket=bucket, Key="a/plain", Range="bytes=5-8")
    assert part["Body"].read() == body[5:9] and part["ContentRange"] == f"bytes 5-8/{len(body)}"
    refused("InvalidRange", 416, s3.get_object, Bucket=bucket, Key="a/plain", Range=f"bytes={len(body)}-")
    refused("BadDigest", 400, s3.put_object, Bucket=bucket, Key="bad", Body=b"x", ChecksumSHA256=digest)
    assert s3.head_object(Bucket=bucket, Key="a/plain")["ContentLength"] == len(body)
    refused("404", 404, s3.head_object, Bucket=bucket, Key="none")
    refused("NoSuchKey", 404, s3.get_object, Bucket=bucket, Key="none")
    # A signature of the fourth version, as every Region of today asks for.
    link = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a/plain"})
    assert urllib.request.urlopen(link).read() == body
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        s3.put_object(Bucket=bucket, Key=f"sum/{algorithm}", Body=body, ChecksumAlgorithm=algorithm)
        head = s3.head_object(Bucket=bucket, Key=f"sum/{algorithm}", ChecksumMode="ENABLED")
        assert head[f"Checksum{algorithm}"], head
    odd = "b/ö & plus+ space?.txt"
    s3.put_object(Bucket=bucket, Key=odd, Body=b"odd")
    s3.copy_object(Bucket=bucket, Key="c/copy", CopySource={"Bucket": bucket, "Key": odd})
    assert s3.get_object(Bucket=bucket, Key="c/copy")["Body"].read() == b"odd"
    refused("NoSuchKey", 404, s3.copy_object, Bucket=bucket, Key="c/x", CopySource={"Bucket": bucket, "Key": "none"})
    keys = [o["Key"] for o in pages(s3, "list_objects_v2", "Contents", 2, Bucket=bucket)]
    assert keys == sorted(keys) and odd in keys and len(keys) == 6, keys
    folders = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [p["Prefix"] for p in folders["CommonPrefixes"]] == ["a/", "b/", "c/", "sum/"]
    s3.delete_object(Bucket=bucket, Key="c/copy")
    s3.delete_object(Bucket=bucket, Key="c/copy")
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": f"sum/{a}"} for a in ("CRC32", "SHA1")]})
    assert [d["Key"] for d in gone["Deleted"]] == ["sum/CRC32", "sum/SHA1"]
    encrypted = s3.put_object(Bucket=bucket, Key="kms", Body=b"x", ServerSideEncryption="aws:kms")
    assert encrypted["ServerSideEncryption"] == "aws:kms" and encrypted["SSEKMSKeyId"]


def conditions(s3, bucket):
    first = s3.put_object(Bucket=bucket, Key="once", Body=b"1", IfNoneMatch="*")
    refused("PreconditionFailed", 412, s3.put_object, Bucket=bucket, Key="once", Body=b"2", IfNoneMatch="*")
    second = s3.put_object(Bucket=bucket, Key="once", Body=b"2", IfMatch=first["ETag"])
    refused("PreconditionFailed", 412, s3.put_object, Bucket=bucket, Key="once", Body=b"3", IfMatch=first["ETag"])
    refused("NoSuchKey", 404, s3.put_object, Bucket=bucket, Key="never", Body=b"3", IfMatch=first["ETag"])
    refused("PreconditionFailed", 412, s3.get_object, Bucket=bucket, Key="once", IfMatch=first["ETag"])
    refused("304", 304, s3.get_object, Bucket=bucket, Key="once", IfNoneMatch=second["ETag"])
    refused("PreconditionFailed", 412, s3.delete_object, Bucket=bucket, Key="once", IfMatch=first["ETag"])
    s3.delete_object(Bucket=bucket, Key="once", IfMatch=second["ETag"])


def parts(s3, bucket):
    megabyte = b"x" * (1 << 20)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")
    at = {"Bucket": bucket, "Key": "parts", "UploadId": upload["UploadId"]}
    tags = [s3.upload_part(**at, PartNumber=n, Body=body)["ETag"] for n, body in ((1, megabyte * 5), (2, megabyte))]
    listed = [p["PartNumber"] for p in pages(s3, "list_parts", "Parts", 1, **at)]
    assert listed == [1, 2]
    assert upload["UploadId"] in {u["UploadId"] for u in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]}
    whole = {"Parts": [{"PartNumber": n + 1, "ETag": tag} for n, tag in enumerate(tags)]}
    refused("InvalidPart", 400, s3.complete_multipart_upload, **at,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": '"0"'}]})
    refused("InvalidPartOrder", 400, s3.complete_multipart_upload, **at,
            MultipartUpload={"Parts": whole["Parts"][::-1]})
    done = s3.complete_multipart_upload(**at, MultipartUpload=whole, IfNoneMatch="*")
    assert done["ETag"].endswith('-2"')
    assert s3.head_object(Bucket=bucket, Key="parts")["ContentLength"] == 6 << 20
    refused("NoSuchUpload", 404, s3.upload_part, **at, PartNumber=1, Body=b"x")
    other = s3.create_multipart_upload(Bucket=bucket, Key="aborted")
    small = {"Bucket": bucket, "Key": "aborted", "UploadId": other["UploadId"]}
    tags = [s3.upload_part(**small, PartNumber=n, Body=b"x")["ETag"] for n in (1, 2)]
    refused("EntityTooSmall", 400, s3.complete_multipart_upload, **small,
            MultipartUpload={"Parts": [{"PartNumber": n + 1, "ETag": tag} for n, tag in enumerate(tags)]})
    s3.abort_multipart_upload(**small)
    refused("NoSuchUpload", 404, s3.abort_multipart_upload, **small)
    boto3.s3.transfer.S3Transfer(s3, boto3.s3.transfer.TransferConfig(multipart_threshold=1)).upload_file(
        str(ROOT / "Cargo.lock"), bucket, "file")
    assert s3.get_object(Bucket=bucket, Key="file")["Body"].read() == (ROOT / "Cargo.lock").read_bytes()

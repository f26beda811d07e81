"""A straightforward job worker, as AWS's samples are: it polls for as many jobs as it has free threads, and each job is
acknowledged, carried out and answered in a thread. A job that is not due waits in its thread."""

import io
import json
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

THREADS = int(sys.argv[1])
ACTION_TYPE = {"category": "Build", "owner": "Custom", "provider": "BakelineBake", "version": "1"}

threading.stack_size(256 * 1024)
client = boto3.client("codepipeline", config=Config(max_pool_connections=min(THREADS, 64)))
builder = boto3.client("imagebuilder", config=Config(max_pool_connections=min(THREADS, 64)))
free = threading.Semaphore(THREADS)


def artifacts(job):
    """S3 under the job's credentials."""
    given = job["data"]["artifactCredentials"]
    session = boto3.session.Session(
        aws_access_key_id=given["accessKeyId"],
        aws_secret_access_key=given["secretAccessKey"],
        aws_session_token=given["sessionToken"],
    )
    return session.client("s3", config=Config(signature_version="s3v4"))


def build(job, token):
    """A slice of a bake whose image is being built: the release is read, the build looked at."""
    at = job["data"]["inputArtifacts"][0]["location"]["s3Location"]
    body = artifacts(job).get_object(Bucket=at["bucketName"], Key=at["objectKey"])["Body"].read()
    with zipfile.ZipFile(io.BytesIO(body)) as source:
        source.read("bakeline.yaml")
    image = builder.get_image(imageBuildVersionArn=token["state"]["image"])["image"]
    if image["state"]["status"] == "BUILDING":
        token["not_before"] = int(time.time()) + 30
        return json.dumps(token)
    return None


def work(job):
    try:
        if client.acknowledge_job(jobId=job["id"], nonce=job["nonce"])["status"] != "InProgress":
            return
        result = {}
        if "continuationToken" in job["data"]:
            token = json.loads(job["data"]["continuationToken"])
            time.sleep(max(0, min(token["not_before"] - time.time(), 86400)))
            if rest := build(job, token):
                result = {"continuationToken": rest}
        client.put_job_success_result(jobId=job["id"], **result)
    finally:
        free.release()


with ThreadPoolExecutor(THREADS) as pool:
    while True:
        slots = 0
        while slots < THREADS and free.acquire(blocking=slots == 0):
            slots += 1
        jobs = client.poll_for_jobs(actionTypeId=ACTION_TYPE, maxBatchSize=slots)["jobs"]
        for _ in range(slots - len(jobs)):
            free.release()
        for job in jobs:
            pool.submit(work, job)
        if not jobs:
            time.sleep(0.1)

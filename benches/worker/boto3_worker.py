"""A straightforward job worker, as AWS's samples are: it polls for as many jobs as it has free threads, and each job is
acknowledged, carried out and answered in a thread. A job that is not due waits in its thread."""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

THREADS = int(sys.argv[1])
ACTION_TYPE = {"category": "Build", "owner": "Custom", "provider": "Bakeline", "version": "1"}

threading.stack_size(256 * 1024)
client = boto3.client("codepipeline", config=Config(max_pool_connections=min(THREADS, 64)))
free = threading.Semaphore(THREADS)


def work(job):
    try:
        if client.acknowledge_job(jobId=job["id"], nonce=job["nonce"])["status"] != "InProgress":
            return
        token = job["data"].get("continuationToken")
        if token:
            time.sleep(max(0, min(json.loads(token)["not_before"] - time.time(), 86400)))
        client.put_job_success_result(jobId=job["id"])
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

//! A journal in S3, for hosts without durable disks.
//!
//! Each worker has a folder, `PREFIX/v1/workers/WORKER/`, with one object `jobs/ID.json` for each job and one object
//! `lease.json`. A conditional write takes over an expired lease, so that one worker wins; the winner finishes the jobs
//! and deletes the folder. If the former holder was only slow, two workers run the same job, which is harmless: steps
//! are idempotent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::Mutex;

use super::{JournalError, TakenOver};
use crate::aws::{AwsError, ServiceError};
use crate::engine::Timestamp;

/// How long a lease is valid.
pub const LEASE: Duration = Duration::from_secs(90);
/// The longest lease object, in bytes.
const MAX_LEASE: usize = 4096;

/// The journal of one worker in a bucket.
#[derive(Debug)]
pub struct BucketJournal {
    s3: Client,
    bucket: String,
    /// `PREFIX/v1/workers/`.
    prefix: String,
    worker: String,
    /// The `ETag` of the lease that this worker wrote last.
    lease: Mutex<Option<String>>,
    closed: AtomicBool,
}

/// The lease of a worker's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    version: u8,
    /// The worker that finishes the jobs in the folder.
    holder: String,
    #[serde(with = "time::serde::rfc3339")]
    expires: OffsetDateTime,
}

/// The result of a conditional write.
enum Written {
    /// The new `ETag`.
    Done(String),
    /// Another worker wrote first.
    Conflict,
}

impl BucketJournal {
    /// The journal of `worker` below `s3://bucket/prefix`. `s3` must have the worker's own credentials.
    #[must_use]
    pub fn new(s3: Client, bucket: &str, prefix: &str, worker: &str) -> Self {
        let prefix = match prefix.trim_matches('/') {
            "" => "v1/workers/".to_owned(),
            prefix => format!("{prefix}/v1/workers/"),
        };
        Self {
            s3,
            bucket: bucket.to_owned(),
            prefix,
            worker: worker.to_owned(),
            lease: Mutex::new(None),
            closed: AtomicBool::new(false),
        }
    }

    fn lease_key(&self, worker: &str) -> String {
        format!("{}{worker}/lease.json", self.prefix)
    }

    fn jobs_prefix(&self, worker: &str) -> String {
        format!("{}{worker}/jobs/", self.prefix)
    }

    fn job_key(&self, worker: &str, id: &str) -> String {
        format!("{}{id}.json", self.jobs_prefix(worker))
    }

    fn failed<E>(&self, call: &'static str, key: &str) -> impl FnOnce(SdkError<E, HttpResponse>) -> AwsError
    where
        E: ServiceError,
    {
        let thing = format!("s3://{}/{key}", self.bucket);
        move |error| AwsError::new(call, thing, error)
    }

    /// Writes an object if it does not exist (`etag` is `None`) or if it still has this `ETag`.
    async fn write(&self, key: &str, body: Vec<u8>, etag: Option<&str>) -> Result<Written, JournalError> {
        let put = self.s3.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(body));
        let put = match etag {
            None => put.if_none_match("*"),
            Some(etag) => put.if_match(etag),
        };
        match put.send().await.map_err(self.failed("s3:PutObject", key)) {
            Ok(written) => Ok(Written::Done(written.e_tag.unwrap_or_default())),
            Err(error) if is_conflict(&error) => Ok(Written::Conflict),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete(&self, key: &str) -> Result<(), JournalError> {
        self.s3
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .map_err(self.failed("s3:DeleteObject", key))?;
        Ok(())
    }

    pub(super) async fn add(&self, id: &str) -> Result<(), JournalError> {
        let key = self.job_key(&self.worker, id);
        // If the object exists, this worker wrote it: the folder is its own.
        self.write(&key, super::document(id), None).await.map(drop)
    }

    pub(super) async fn remove(&self, id: &str) -> Result<(), JournalError> {
        self.delete(&self.job_key(&self.worker, id)).await
    }

    pub(super) async fn jobs(&self) -> Result<Vec<String>, JournalError> {
        self.jobs_of(&self.worker).await
    }

    async fn jobs_of(&self, worker: &str) -> Result<Vec<String>, JournalError> {
        let prefix = self.jobs_prefix(worker);
        let mut pages =
            self.s3.list_objects_v2().bucket(&self.bucket).prefix(&prefix).into_paginator().send();
        let mut jobs = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(self.failed("s3:ListBucket", &prefix))?;
            let keys = page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key);
            jobs.extend(keys.filter_map(|key| {
                let id = key.strip_prefix(&prefix)?.strip_suffix(".json")?;
                super::check_id(id).is_ok().then(|| id.to_owned())
            }));
        }
        jobs.sort();
        Ok(jobs)
    }

    async fn workers(&self) -> Result<Vec<String>, JournalError> {
        let list = self.s3.list_objects_v2().bucket(&self.bucket).prefix(&self.prefix).delimiter("/");
        let mut pages = list.into_paginator().send();
        let mut workers = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(self.failed("s3:ListBucket", &self.prefix))?;
            let folders =
                page.common_prefixes.unwrap_or_default().into_iter().filter_map(|folder| folder.prefix);
            workers.extend(folders.filter_map(|folder| {
                Some(folder.strip_prefix(&self.prefix)?.trim_end_matches('/').to_owned())
            }));
        }
        Ok(workers)
    }

    /// The lease of a worker and its `ETag`; `None` if there is no lease or its body was cut off.
    async fn lease_of(&self, worker: &str) -> Result<Option<(Lease, String)>, JournalError> {
        let key = self.lease_key(worker);
        let got = self.s3.get_object().bucket(&self.bucket).key(&key).send().await;
        let got = match got.map_err(self.failed("s3:GetObject", &key)) {
            Ok(got) => got,
            Err(error) if error.is("NoSuchKey") => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let etag = got.e_tag.clone().unwrap_or_default();
        let length = usize::try_from(got.content_length.unwrap_or_default()).unwrap_or(usize::MAX);
        // An invalid lease counts as expired.
        let expired = Lease { version: 1, holder: String::new(), expires: OffsetDateTime::UNIX_EPOCH };
        if length > MAX_LEASE {
            return Ok(Some((expired, etag)));
        }
        // The next renewal reads a body that was cut off again; until then the lease is valid.
        let Ok(body) = got.body.collect().await else { return Ok(None) };
        Ok(Some((serde_json::from_slice(&body.into_bytes()).unwrap_or(expired), etag)))
    }

    /// Renews the lease of this worker, then takes over all expired leases.
    pub(super) async fn renew_lease(&self, now: Timestamp) -> Result<TakenOver, JournalError> {
        self.renew(now).await?;
        let mut taken_over = TakenOver::default();
        for worker in self.workers().await? {
            if worker != self.worker && !worker.is_empty() {
                self.take_over(&worker, now, &mut taken_over).await?;
            }
        }
        Ok(taken_over)
    }

    async fn renew(&self, now: Timestamp) -> Result<(), JournalError> {
        if self.closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut etag = self.lease.lock().await;
        let body = self.body(now.plus(LEASE));
        let key = self.lease_key(&self.worker);
        match self.write(&key, body.clone(), etag.as_deref()).await? {
            Written::Done(tag) => *etag = Some(tag),
            // Another worker took the lease over, the lease was deleted, or the response of an earlier write was lost.
            Written::Conflict => {
                let current = self.lease_of(&self.worker).await?.map(|(_, tag)| tag);
                match self.write(&key, body, current.as_deref()).await? {
                    Written::Done(tag) => *etag = Some(tag),
                    Written::Conflict => *etag = None,
                }
            }
        }
        Ok(())
    }

    fn body(&self, expires: Timestamp) -> Vec<u8> {
        let lease = Lease { version: 1, holder: self.worker.clone(), expires: expires.date_time() };
        // A number, a string and a time can always be encoded.
        serde_json::to_vec(&lease).unwrap_or_default()
    }

    async fn take_over(
        &self,
        worker: &str,
        now: Timestamp,
        taken_over: &mut TakenOver,
    ) -> Result<(), JournalError> {
        let Some((lease, etag)) = self.lease_of(worker).await? else { return Ok(()) };
        if lease.expires > now.date_time() {
            return Ok(());
        }
        let key = self.lease_key(worker);
        let Written::Done(etag) = self.write(&key, self.body(now.plus(LEASE)), Some(&etag)).await? else {
            return Ok(());
        };
        taken_over.leases += 1;
        for id in self.jobs_of(worker).await? {
            // Add before delete: at every moment a folder has the job.
            self.add(&id).await?;
            self.delete(&self.job_key(worker, &id)).await?;
            taken_over.jobs.push(id);
        }
        // If the former holder has renewed its lease meanwhile, the lease stays.
        let deleted = self.s3.delete_object().bucket(&self.bucket).key(&key).if_match(etag).send().await;
        match deleted.map_err(self.failed("s3:DeleteObject", &key)) {
            Ok(_) => Ok(()),
            Err(error) if is_conflict(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn close(&self) -> Result<(), JournalError> {
        self.closed.store(true, Ordering::Relaxed);
        let mut etag = self.lease.lock().await;
        let Some(tag) = etag.take() else { return Ok(()) };
        let key = self.lease_key(&self.worker);
        if self.jobs().await?.is_empty() {
            return self.delete(&key).await;
        }
        self.write(&key, self.body(Timestamp::default()), Some(&tag)).await.map(drop)
    }
}

/// Whether the condition of a write failed, or another write was in progress (409).
fn is_conflict(error: &AwsError) -> bool {
    ["PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"].iter().any(|code| error.is(code))
}

//! A journal in S3, for hosts that vanish with their disks.
//!
//! Every worker has a folder, `PREFIX/WORKER/`, with one object a job under `jobs/` and one object `lease`, which says
//! until when the worker is alive. A lease that has run out is taken over by a conditional write, so that one worker
//! wins; the winner finishes the jobs and removes the folder. A worker that was only slow finds its jobs finished
//! twice, which is harmless: a step may run on two workers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{Inherited, JournalError};
use crate::aws::AwsError;
use crate::engine::Timestamp;

/// How long a worker that says nothing is believed to be alive.
pub const LEASE: Duration = Duration::from_secs(90);
/// A lease is an object of a few hundred bytes; more is not one of ours.
const LONGEST_LEASE: usize = 4096;

/// One worker's folder in a bucket.
#[derive(Debug)]
pub struct BucketJournal {
    s3: Client,
    bucket: String,
    /// Ends in `/` unless it is empty.
    prefix: String,
    worker: String,
    /// The entity tag of this worker's lease as it last wrote it.
    lease: Mutex<Option<String>>,
    closed: AtomicBool,
}

/// Until when a worker's folder is its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    /// The worker that finishes the jobs in the folder.
    holder: String,
    expires: Timestamp,
}

/// What became of a conditional write.
enum Written {
    /// With the new entity tag.
    Yes(String),
    /// Someone else wrote first.
    Lost,
}

impl BucketJournal {
    /// The folder of `worker` below `s3://bucket/prefix`. Nothing is written yet. `s3` acts as the worker itself.
    #[must_use]
    pub fn new(s3: Client, bucket: &str, prefix: &str, worker: &str) -> Self {
        let prefix = match prefix.trim_matches('/') {
            "" => String::new(),
            prefix => format!("{prefix}/"),
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
        format!("{}{worker}/lease", self.prefix)
    }

    fn jobs_prefix(&self, worker: &str) -> String {
        format!("{}{worker}/jobs/", self.prefix)
    }

    fn failed<E, R>(
        &self,
        call: &'static str,
        key: &str,
    ) -> impl FnOnce(aws_smithy_runtime_api::client::result::SdkError<E, R>) -> AwsError
    where
        E: aws_smithy_types::error::metadata::ProvideErrorMetadata
            + std::error::Error
            + Send
            + Sync
            + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let thing = format!("s3://{}/{key}", self.bucket);
        move |error| AwsError::new(call, thing, error)
    }

    /// Writes an object if there is none (`etag` is none) or if it is still the one of that entity tag.
    async fn write(&self, key: &str, body: Vec<u8>, etag: Option<&str>) -> Result<Written, JournalError> {
        let put = self.s3.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(body));
        let put = match etag {
            None => put.if_none_match("*"),
            Some(etag) => put.if_match(etag),
        };
        match put.send().await.map_err(self.failed("s3:PutObject", key)) {
            Ok(written) => Ok(Written::Yes(written.e_tag.unwrap_or_default())),
            Err(error) if lost(&error) => Ok(Written::Lost),
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

    pub(super) async fn remember(&self, id: &str) -> Result<(), JournalError> {
        let key = format!("{}{id}", self.jobs_prefix(&self.worker));
        // A job that is there already was written by this very worker: the folder is its own.
        self.write(&key, id.as_bytes().to_vec(), None).await.map(drop)
    }

    pub(super) async fn forget(&self, id: &str) -> Result<(), JournalError> {
        self.delete(&format!("{}{id}", self.jobs_prefix(&self.worker))).await
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
                let id = key.strip_prefix(&prefix)?;
                super::checked(id).is_ok().then(|| id.to_owned())
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

    /// A worker's lease and its entity tag; none if it has none that can be read.
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
        let unreadable = Lease { holder: String::new(), expires: Timestamp::default() };
        if length > LONGEST_LEASE {
            return Ok(Some((unreadable, etag)));
        }
        // A body that breaks off is looked at again by the next call: until then the lease stands.
        let Ok(body) = got.body.collect().await else { return Ok(None) };
        Ok(Some((serde_json::from_slice(&body.into_bytes()).unwrap_or(unreadable), etag)))
    }

    /// Renews this worker's lease, then takes over every lease that has run out.
    pub(super) async fn tend(&self, now: Timestamp) -> Result<Inherited, JournalError> {
        self.renew(now).await?;
        let mut inherited = Inherited::default();
        for worker in self.workers().await? {
            if worker != self.worker && !worker.is_empty() {
                self.take_over(&worker, now, &mut inherited).await?;
            }
        }
        Ok(inherited)
    }

    async fn renew(&self, now: Timestamp) -> Result<(), JournalError> {
        if self.closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut etag = self.lease.lock().await;
        let body = self.body(now.plus(LEASE));
        let key = self.lease_key(&self.worker);
        match self.write(&key, body.clone(), etag.as_deref()).await? {
            Written::Yes(tag) => *etag = Some(tag),
            // Taken over while this worker was held up, removed since, or written by a call whose answer was lost.
            Written::Lost => {
                let there = self.lease_of(&self.worker).await?.map(|(_, tag)| tag);
                match self.write(&key, body, there.as_deref()).await? {
                    Written::Yes(tag) => *etag = Some(tag),
                    Written::Lost => *etag = None,
                }
            }
        }
        Ok(())
    }

    fn body(&self, expires: Timestamp) -> Vec<u8> {
        serde_json::to_vec(&Lease { holder: self.worker.clone(), expires }).unwrap_or_default()
    }

    async fn take_over(
        &self,
        worker: &str,
        now: Timestamp,
        inherited: &mut Inherited,
    ) -> Result<(), JournalError> {
        let Some((lease, etag)) = self.lease_of(worker).await? else { return Ok(()) };
        if lease.expires > now {
            return Ok(());
        }
        let key = self.lease_key(worker);
        let Written::Yes(etag) = self.write(&key, self.body(now.plus(LEASE)), Some(&etag)).await? else {
            return Ok(());
        };
        inherited.leases += 1;
        for id in self.jobs_of(worker).await? {
            // Written down here before it is struck out there: at every moment some folder has it.
            self.remember(&id).await?;
            self.delete(&format!("{}{id}", self.jobs_prefix(worker))).await?;
            inherited.jobs.push(id);
        }
        // The former holder may have come back to its folder in the meantime; then it stays.
        let gone = self.s3.delete_object().bucket(&self.bucket).key(&key).if_match(etag).send().await;
        match gone.map_err(self.failed("s3:DeleteObject", &key)) {
            Ok(_) => Ok(()),
            Err(error) if lost(&error) => Ok(()),
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

/// Whether a condition did not hold, or another write was under way (409).
fn lost(error: &AwsError) -> bool {
    ["PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"].iter().any(|code| error.is(code))
}

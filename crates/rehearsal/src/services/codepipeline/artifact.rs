//! Artifacts: named objects in the pipeline's bucket.

use serde_json::{Value, json};

use super::super::super::ids::Ids;

/// An artifact's location. The object may not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    pub name: String,
    pub bucket: String,
    pub key: String,
    /// The revision, if a source action fetched the artifact.
    pub revision: Option<String>,
}

impl Artifact {
    /// A new location in `bucket`. Pipeline and artifact names are truncated as in `CodePipeline`, so the key cannot
    /// be derived.
    pub(super) fn new(ids: &mut Ids, pipeline: &str, bucket: &str, name: &str) -> Self {
        let pipeline: String = pipeline.chars().take(20).collect();
        let short: String = name.chars().take(10).collect();
        let key = format!("{pipeline}/{short}/{}", random_name(ids));
        Self { name: name.to_owned(), bucket: bucket.to_owned(), key, revision: None }
    }

    /// The artifact in a job document.
    pub(super) fn in_job(&self) -> Value {
        let location =
            json!({ "type": "S3", "s3Location": { "bucketName": self.bucket, "objectKey": self.key } });
        match &self.revision {
            Some(revision) => json!({ "name": self.name, "revision": revision, "location": location }),
            None => json!({ "name": self.name, "location": location }),
        }
    }

    /// The artifact in the action history.
    pub(super) fn in_history(&self) -> Value {
        json!({ "name": self.name, "s3location": { "bucket": self.bucket, "key": self.key } })
    }
}

/// Seven random letters and digits.
fn random_name(ids: &mut Ids) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number = ids.next();
    let mut name = String::with_capacity(7);
    for _ in 0..7 {
        // The remainder of a division by 62 is an index into the alphabet.
        let digit = usize::try_from(number % 62).unwrap_or(0);
        name.extend(ALPHABET.get(digit).map(|byte| char::from(*byte)));
        number /= 62;
    }
    name
}

//! A SHA-256 digest as an in-toto `DigestSet`: `{"sha256": "…"}`.
//!
//! A reader ignores the other algorithms of a set, so a later version may add one.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;

/// A set of digests of the same bytes, of which we write and read SHA-256.
#[derive(Serialize, Deserialize)]
struct DigestSet {
    sha256: Sha256,
}

/// A file by name and digest.
#[derive(Serialize, Deserialize)]
struct File {
    name: String,
    digest: DigestSet,
}

/// For `#[serde(with)]` of an optional digest.
pub(super) mod option {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::{DigestSet, Sha256};

    #[allow(clippy::ref_option, reason = "the signature that serde calls")]
    pub fn serialize<S: Serializer>(digest: &Option<Sha256>, serializer: S) -> Result<S::Ok, S::Error> {
        digest.map(|sha256| DigestSet { sha256 }).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Sha256>, D::Error> {
        Ok(Option::<DigestSet>::deserialize(deserializer)?.map(|set| set.sha256))
    }
}

/// For `#[serde(with)]` of files by name: a list of `name` and `digest`, in the order of the names.
pub(super) mod files {
    use std::collections::BTreeMap;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::{DigestSet, File, Sha256};

    pub fn serialize<S: Serializer>(
        files: &BTreeMap<String, Sha256>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let file = |(name, sha256): (&String, &Sha256)| File {
            name: name.clone(),
            digest: DigestSet { sha256: *sha256 },
        };
        serializer.collect_seq(files.iter().map(file))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, Sha256>, D::Error> {
        let mut files = BTreeMap::new();
        for File { name, digest } in Vec::<File>::deserialize(deserializer)? {
            if files.contains_key(&name) {
                return Err(D::Error::custom(format!("the file {name:?} is listed twice")));
            }
            files.insert(name, digest.sha256);
        }
        Ok(files)
    }
}

//! Checksums of objects: verified, stored, and returned.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::ChecksumType;
use s3s::{S3Error, S3Result, s3_error};

/// Checksums in base64, as in headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    pub crc32: Option<String>,
    pub crc32c: Option<String>,
    pub crc64nvme: Option<String>,
    pub sha1: Option<String>,
    pub sha256: Option<String>,
    /// Whether they are computed from the parts' checksums instead of the whole object.
    pub composite: bool,
}

/// Moves the five checksum members of an s3s structure into [`Checksums`].
macro_rules! given {
    ($input:expr) => {
        $crate::services::s3::checksum::Checksums {
            crc32: $input.checksum_crc32.clone(),
            crc32c: $input.checksum_crc32c.clone(),
            crc64nvme: $input.checksum_crc64nvme.clone(),
            sha1: $input.checksum_sha1.clone(),
            sha256: $input.checksum_sha256.clone(),
            composite: false,
        }
    };
}

/// Sets the five checksum members of an s3s structure.
macro_rules! answer {
    ($output:expr, $checksums:expr) => {{
        let checksums: &$crate::services::s3::checksum::Checksums = $checksums;
        $output.checksum_crc32.clone_from(&checksums.crc32);
        $output.checksum_crc32c.clone_from(&checksums.crc32c);
        $output.checksum_crc64nvme.clone_from(&checksums.crc64nvme);
        $output.checksum_sha1.clone_from(&checksums.sha1);
        $output.checksum_sha256.clone_from(&checksums.sha256);
    }};
}
pub(super) use {answer, given};

impl Checksums {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs().iter().all(|(_, value)| value.is_none())
    }

    fn pairs(&self) -> [(&'static str, &Option<String>); 5] {
        [
            ("CRC32", &self.crc32),
            ("CRC32C", &self.crc32c),
            ("CRC64NVME", &self.crc64nvme),
            ("SHA1", &self.sha1),
            ("SHA256", &self.sha256),
        ]
    }

    /// `FULL_OBJECT` or `COMPOSITE`; `None` without checksums.
    #[must_use]
    pub fn kind(&self) -> Option<ChecksumType> {
        let kind = if self.composite { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT };
        (!self.is_empty()).then(|| ChecksumType::from_static(kind))
    }

    /// Computes the same algorithms' checksums of this body.
    #[must_use]
    pub fn over(&self, body: &[u8]) -> Self {
        let mut hasher = ChecksumHasher {
            crc32: self.crc32.as_ref().map(|_| Crc32::new()),
            crc32c: self.crc32c.as_ref().map(|_| Crc32c::new()),
            crc64nvme: self.crc64nvme.as_ref().map(|_| Crc64Nvme::new()),
            sha1: self.sha1.as_ref().map(|_| Sha1::new()),
            sha256: self.sha256.as_ref().map(|_| Sha256::new()),
        };
        hasher.update(body);
        let sums = hasher.finalize();
        given!(sums)
    }

    /// Returns an error if these checksums do not match the body.
    pub(super) fn verify(&self, body: &[u8]) -> S3Result<()> {
        let found = self.over(body);
        for ((name, given), (_, computed)) in self.pairs().into_iter().zip(found.pairs()) {
            if given != computed {
                return Err(mismatch(name));
            }
        }
        Ok(())
    }

    /// The composite checksum of a multipart object: that of the parts' checksums, with the number of parts.
    #[must_use]
    pub fn composite(parts: &[&Self]) -> Self {
        let joined = |pick: fn(&Self) -> &Option<String>| -> Option<Vec<u8>> {
            parts.iter().try_fold(Vec::new(), |mut all, part| {
                all.extend(STANDARD.decode(pick(part).as_deref()?).ok()?);
                Some(all)
            })
        };
        let of = |all: Option<Vec<u8>>, pick: fn(&mut Self) -> &mut Option<String>| {
            let all = all.filter(|_| !parts.is_empty())?;
            let mut asked = Self::default();
            *pick(&mut asked) = Some(String::new());
            let sum = pick(&mut asked.over(&all)).take()?;
            Some(format!("{sum}-{}", parts.len()))
        };
        Self {
            crc32: of(joined(|p| &p.crc32), |p| &mut p.crc32),
            crc32c: of(joined(|p| &p.crc32c), |p| &mut p.crc32c),
            // CRC64NVME exists for whole objects only.
            crc64nvme: None,
            sha1: of(joined(|p| &p.sha1), |p| &mut p.sha1),
            sha256: of(joined(|p| &p.sha256), |p| &mut p.sha256),
            composite: true,
        }
    }
}

/// Returns an error if `Content-MD5` does not match the body.
pub(super) fn verify_md5(given: Option<&str>, body: &[u8]) -> S3Result<()> {
    match given {
        Some(given) if given != STANDARD.encode(md5(body)) => {
            Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."))
        }
        _ => Ok(()),
    }
}

pub(super) fn md5(body: &[u8]) -> Vec<u8> {
    Md5::checksum(body).as_ref().to_vec()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
        text
    })
}

fn mismatch(algorithm: &str) -> S3Error {
    let message = format!("The {algorithm} you specified did not match the calculated checksum.");
    S3Error::with_message(s3s::S3ErrorCode::BadDigest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_verified_against_its_body() {
        // CRC32 of "123456789" is cbf43926 (the check value of the CRC catalog).
        let crc32 = STANDARD.encode(0xcbf4_3926_u32.to_be_bytes());
        let given = Checksums { crc32: Some(crc32), ..Checksums::default() };
        assert!(given.verify(b"123456789").is_ok());
        assert!(given.verify(b"123456780").is_err());
        assert!(Checksums::default().verify(b"anything").is_ok());
    }

    #[test]
    fn a_composite_checksum_has_the_number_of_parts() {
        let part = |body: &[u8]| Checksums { sha256: Some(String::new()), ..Checksums::default() }.over(body);
        let (one, two) = (part(b"a"), part(b"b"));
        let composite = Checksums::composite(&[&one, &two]);
        assert!(composite.sha256.as_deref().is_some_and(|sum| sum.ends_with("-2")));
        assert_eq!(composite.crc32, None);
        assert!(Checksums::composite(&[]).is_empty());
    }

    #[test]
    fn content_md5_is_verified() {
        assert!(verify_md5(Some("1B2M2Y8AsgTpgAmY7PhCfg=="), b"").is_ok());
        assert!(verify_md5(Some("1B2M2Y8AsgTpgAmY7PhCfg=="), b"x").is_err());
    }
}

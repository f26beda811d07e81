//! References to a signing key: `kms:KEY`, `secretsmanager:ARN` or `file:PATH`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::signer::{SignError, Signer};

/// A reference to a signing key: `kms:KEY`, `secretsmanager:ARN` or `file:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A KMS key: id, ARN, alias or alias ARN. The private key stays in KMS.
    Kms(String),
    /// A secret whose string is a PEM private key.
    SecretsManager(String),
    /// A PEM private key on disk.
    File(PathBuf),
}

/// The text is not a reference to a signing key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not a reference to a signing key: expected `kms:KEY`, `secretsmanager:ARN` or `file:PATH`"
)]
pub struct KeySourceError {
    given: String,
}

impl FromStr for KeySource {
    type Err = KeySourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The text may be the private key itself, so the message repeats nothing but a scheme.
        let refused = || {
            let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
            let shown = scheme.len() <= 20 && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
            KeySourceError { given: if shown { format!("{scheme}:...") } else { "...".to_owned() } }
        };
        let (scheme, rest) = text.split_once(':').ok_or_else(refused)?;
        if rest.is_empty() || rest.chars().any(char::is_control) {
            return Err(refused());
        }
        match scheme {
            "kms" => Ok(Self::Kms(rest.to_owned())),
            "secretsmanager" => Ok(Self::SecretsManager(rest.to_owned())),
            "file" => Ok(Self::File(PathBuf::from(rest))),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kms(key) => write!(f, "kms:{key}"),
            Self::SecretsManager(arn) => write!(f, "secretsmanager:{arn}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl KeySource {
    /// Loads a local key, or the public key of a KMS key.
    ///
    /// # Errors
    /// The key cannot be read, or is not an ECDSA key on P-256.
    pub async fn open(
        &self,
        kms: &aws_sdk_kms::Client,
        secrets: &aws_sdk_secretsmanager::Client,
    ) -> Result<Signer, SignError> {
        match self {
            Self::Kms(key) => Signer::kms(kms, key).await,
            Self::SecretsManager(arn) => Signer::from_secret(secrets, arn).await,
            Self::File(path) => Signer::from_file(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_is_written_as_it_was_read() {
        for (text, source) in [
            ("kms:alias/release", KeySource::Kms("alias/release".into())),
            (
                "secretsmanager:arn:aws:secretsmanager:eu-west-1:111122223333:secret:k-a",
                KeySource::SecretsManager("arn:aws:secretsmanager:eu-west-1:111122223333:secret:k-a".into()),
            ),
            ("file:/etc/bakeline/key.pem", KeySource::File("/etc/bakeline/key.pem".into())),
        ] {
            assert_eq!(text.parse(), Ok(source.clone()));
            assert_eq!(source.to_string(), text);
        }
    }

    #[test]
    fn other_text_is_refused_and_never_quoted() {
        for bad in ["", "kms", "kms:", "vault:x", "file:a\nb", "-----BEGIN PRIVATE KEY-----\nMIGH:AgEA"] {
            let error = bad.parse::<KeySource>().unwrap_err().to_string();
            assert!(error.contains("expected `kms:KEY`"), "{error}");
            assert!(!error.contains("MIGH"), "{error}");
        }
    }
}

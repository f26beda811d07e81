//! References to configuration: `file:PATH` or `ssm:NAME`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::exit::CliError;
use super::read_input;
use crate::aws::{Aws, AwsError, Class};

/// The place of a configuration text, such as the trust root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// A local file: `file:PATH`.
    File(PathBuf),
    /// A parameter of Systems Manager: `ssm:NAME` or `ssm:ARN`.
    Parameter(String),
}

impl FromStr for ConfigSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            Some(("ssm", name)) if !name.is_empty() => Ok(Self::Parameter(name.to_owned())),
            _ => Err(format!("expected file:PATH or ssm:NAME, for example file:{}", suggestion(text))),
        }
    }
}

/// The path to suggest for a text without a scheme.
fn suggestion(text: &str) -> &str {
    if text.is_empty() || text.contains(':') { "trust.yaml" } else { text }
}

impl fmt::Display for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Parameter(name) => write!(f, "ssm:{name}"),
        }
    }
}

impl ConfigSource {
    /// Reads the text: at most `max` bytes, plus one of a longer file. `kind` says what it is, such as "trust root".
    ///
    /// # Errors
    /// The file or the parameter cannot be read, or is not UTF-8.
    pub async fn read(&self, aws: &Aws, max: usize, kind: &str) -> Result<String, CliError> {
        match self {
            Self::File(_) => self.read_file(max, kind),
            Self::Parameter(name) => {
                let call = aws.ssm.get_parameter().name(name).with_decryption(true);
                let answer = call.send().await.map_err(|error| {
                    let error = AwsError::new("ssm:GetParameter", name, error);
                    let message = format!("cannot read the {kind} `{self}`");
                    match error.class {
                        Class::Denied => CliError::denied(message, "allow ssm:GetParameter on the parameter"),
                        Class::Missing => CliError::missing(message, "store it in the parameter"),
                        _ => CliError::unavailable(message, "run the command again"),
                    }
                    .caused_by(&error)
                })?;
                let value = answer.parameter.and_then(|parameter| parameter.value);
                value.ok_or_else(|| {
                    CliError::unavailable(format!("the parameter {name}, the {kind}, has no value"), "")
                })
            }
        }
    }

    /// Reads the text of a local file, without AWS.
    ///
    /// # Errors
    /// It is a parameter; the file cannot be read, or is not UTF-8.
    pub fn read_file(&self, max: usize, kind: &str) -> Result<String, CliError> {
        let Self::File(path) = self else {
            return Err(CliError::bug(format!("{self} was read as a local file")));
        };
        String::from_utf8(read_input(path, max, kind)?).map_err(|error| {
            CliError::data(format!("the {kind} `{}` is not UTF-8", path.display()), "").caused_by(&error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reference_is_written_as_it_was_read() {
        for (text, source) in [
            ("file:trust.yaml", ConfigSource::File("trust.yaml".into())),
            ("file:/etc/a:b", ConfigSource::File("/etc/a:b".into())),
            ("ssm:/bakeline/config/trust", ConfigSource::Parameter("/bakeline/config/trust".into())),
            (
                "ssm:arn:aws:ssm:eu-west-1:111122223333:parameter/trust",
                ConfigSource::Parameter("arn:aws:ssm:eu-west-1:111122223333:parameter/trust".into()),
            ),
        ] {
            assert_eq!(text.parse(), Ok(source.clone()));
            assert_eq!(source.to_string(), text);
        }
    }

    #[test]
    fn a_plain_path_is_refused_with_the_reference_to_write() {
        for (text, suggested) in
            [("trust.yaml", "file:trust.yaml"), ("s3://b/k", "file:trust.yaml"), ("file:", "file:")]
        {
            let error = text.parse::<ConfigSource>().unwrap_err();
            assert!(error.contains(suggested), "{error}");
        }
    }
}

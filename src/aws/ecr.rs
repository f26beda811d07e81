//! Parses URIs of container images in ECR. Pure.

use crate::digest::Sha256;

/// The parts of an image URI in ECR: `ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY:TAG@DIGEST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub account: String,
    pub region: String,
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<Sha256>,
}

impl Reference {
    /// Parses a URI; `None` if it is not a URI of ECR.
    #[must_use]
    pub fn parse(uri: &str) -> Option<Self> {
        let (host, rest) = uri.split_once('/')?;
        let (account, host) = host.split_once(".dkr.ecr.")?;
        let (region, suffix) = host.split_once('.')?;
        if suffix != crate::partitions::dns_suffix(region) {
            return None;
        }
        let (named, digest) = match rest.split_once('@') {
            Some((named, digest)) => (named, Some(digest.strip_prefix("sha256:")?.parse().ok()?)),
            None => (rest, None),
        };
        let (repository, tag) = match named.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag.to_owned())),
            None => (named, None),
        };
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        (is_account && !region.is_empty() && !repository.is_empty()).then(|| Reference {
            account: account.to_owned(),
            region: region.to_owned(),
            repository: repository.to_owned(),
            tag,
            digest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

    #[test]
    fn parse_reads_every_form_of_an_ecr_uri_and_nothing_else() {
        let digest = Sha256::of(b"a");
        let of = |tag: Option<&str>, digest| {
            Some(Reference {
                account: "123456789012".into(),
                region: "eu-west-1".into(),
                repository: "team/web".into(),
                tag: tag.map(str::to_owned),
                digest,
            })
        };
        for (uri, expected) in [
            (format!("{HOST}/team/web:1.0.0-1"), of(Some("1.0.0-1"), None)),
            (format!("{HOST}/team/web"), of(None, None)),
            (format!("{HOST}/team/web@sha256:{digest}"), of(None, Some(digest))),
            (format!("{HOST}/team/web:a@sha256:{digest}"), of(Some("a"), Some(digest))),
            (format!("{HOST}/team/web@sha256:00"), None),
            (format!("{HOST}/team/web@md5:{digest}"), None),
            (HOST.to_owned(), None),
            (format!("{HOST}/"), None),
            ("amazonlinux:2023".to_owned(), None),
            ("public.ecr.aws/docker/library/nginx:1".to_owned(), None),
            ("12.dkr.ecr.eu-west-1.amazonaws.com/web".to_owned(), None),
            ("123456789012.dkr.ecr.eu-west-1.example.com/web".to_owned(), None),
        ] {
            assert_eq!(Reference::parse(&uri), expected, "{uri}");
        }
        let sovereign = Reference::parse("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu/web:1").unwrap();
        assert_eq!(sovereign.region, "eusc-de-east-1");
        let china = Reference::parse("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/web:1").unwrap();
        assert_eq!(china.region, "cn-north-1");
    }
}

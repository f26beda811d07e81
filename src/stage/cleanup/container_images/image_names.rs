//! Finds names of container images in texts: `REGISTRY/REPOSITORY[:TAG][@DIGEST]`, alone or within a document. Pure.

use std::collections::BTreeSet;

/// The registry whose images are searched for.
#[derive(Clone, Copy, Debug)]
pub struct Registry<'a> {
    pub account: &'a str,
    pub region: &'a str,
}

/// A parsed image name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageName {
    pub repository: String,
    /// A name has a digest, or else a tag.
    pub digest: Option<String>,
    pub tag: Option<String>,
}

/// Parses a word. A word without a registry counts as one of ours: an image that is kept by mistake costs cents.
#[must_use]
pub fn parse(word: &str, registry: Registry<'_>) -> Option<ImageName> {
    let path = match word.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) => {
            // `dkr.ecr`, `dkr.ecr-fips`, and `dkr-ecr` of dual-stack addresses.
            let ours = [registry.account, "ecr", registry.region].iter().all(|part| host.contains(part));
            ours.then_some(path)?
        }
        _ => word,
    };
    let (path, digest) = match path.split_once('@') {
        Some((path, digest)) => (path, Some(digest.to_owned())),
        None => (path, None),
    };
    let (repository, tag) = match path.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag.to_owned())),
        _ => (path, None),
    };
    let tag = if digest.is_none() { tag.or_else(|| Some("latest".to_owned())) } else { tag };
    (!repository.is_empty()).then(|| ImageName { repository: repository.to_owned(), digest, tag })
}

/// Every image that a text may name.
#[must_use]
pub fn names_in(text: &str, registry: Registry<'_>) -> BTreeSet<ImageName> {
    let part_of_a_name = |c: char| c.is_ascii_alphanumeric() || "._/:@-".contains(c);
    let words = text.split(|c| !part_of_a_name(c)).filter(|word| !word.is_empty());
    // A sentence ends with a dot, an image name does not.
    words.filter_map(|word| parse(word.trim_end_matches(['.', ':']), registry)).collect()
}

/// The digests in a text, whatever surrounds them.
#[must_use]
pub fn digests(text: &str) -> BTreeSet<String> {
    let found = text.match_indices("sha256:").filter_map(|(at, prefix)| {
        let digits: String = text[at + prefix.len()..].chars().take_while(char::is_ascii_hexdigit).collect();
        (digits.len() == 64).then(|| format!("sha256:{}", digits.to_ascii_lowercase()))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: Registry<'_> = Registry { account: "123456789012", region: "eu-west-1" };

    fn one(repository: &str, tag: Option<&str>, digest: Option<&str>) -> ImageName {
        ImageName {
            repository: repository.into(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        }
    }

    #[test]
    fn every_way_to_name_an_image_is_read() {
        for (word, repository, tag, digest) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1.2", "web", Some("1.2"), None),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/web", "team/web", Some("latest"), None),
            ("123456789012.dkr-ecr.eu-west-1.on.aws/web@sha256:ab", "web", None, Some("sha256:ab")),
            (
                "123456789012.dkr.ecr-fips.eu-west-1.amazonaws.com/web:1@sha256:ab",
                "web",
                Some("1"),
                Some("sha256:ab"),
            ),
            ("web:1.2", "web", Some("1.2"), None),
        ] {
            assert_eq!(parse(word, OURS), Some(one(repository, tag, digest)), "{word}");
        }
        for word in [
            "210987654321.dkr.ecr.eu-west-1.amazonaws.com/web:1.2",
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com/web:1.2",
            "ghcr.io/web:1.2",
            "localhost:5000/web",
        ] {
            assert_eq!(parse(word, OURS), None, "{word}");
        }
    }

    #[test]
    fn images_are_found_in_documents() {
        let text = r#"{"image":"123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1.2","old":"web:1.1"}. See web:1.0."#;
        let found = names_in(text, OURS);
        for tag in ["1.0", "1.1", "1.2"] {
            assert!(found.contains(&one("web", Some(tag), None)), "{tag}: {found:?}");
        }
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(digests(&format!("x{digest}y {digest}0 sha256:abc")), BTreeSet::from([digest]));
    }
}

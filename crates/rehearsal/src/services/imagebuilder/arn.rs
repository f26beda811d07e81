//! Image Builder's ARNs: `arn:aws:imagebuilder:REGION:ACCOUNT:KIND/NAME[/VERSION[/BUILD]]`.

/// A parsed ARN. In a version, `x` stands for any number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arn<'a> {
    pub region: &'a str,
    pub account: &'a str,
    pub kind: &'a str,
    pub name: &'a str,
    pub version: Option<&'a str>,
    pub build: Option<u32>,
}

impl<'a> Arn<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = crate::partition::after(text)?.strip_prefix("imagebuilder:")?.splitn(3, ':');
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let mut path = resource.split('/');
        let (kind, name) = (path.next()?, path.next().filter(|name| !name.is_empty())?);
        let version = path.next();
        let build = match path.next() {
            None => None,
            Some(number) => Some(number.parse().ok()?),
        };
        path.next().is_none().then_some(Self { region, account, kind, name, version, build })
    }

    /// Whether this ARN, which may have wildcards, matches the full ARN `other`.
    pub(super) fn covers(&self, other: &Arn<'_>) -> bool {
        (self.region, self.account, self.kind, self.name)
            == (other.region, other.account, other.kind, other.name)
            && self.version.is_none_or(|wanted| {
                let given: Vec<&str> = other.version.unwrap_or_default().split('.').collect();
                let wanted: Vec<&str> = wanted.split('.').collect();
                wanted.len() == given.len() && wanted.iter().zip(&given).all(|(w, g)| *w == "x" || w == g)
            })
            && self.build.is_none_or(|wanted| Some(wanted) == other.build)
    }

    /// The sort key of versions and builds.
    pub(super) fn order(&self) -> (Vec<u32>, u32) {
        let version = self.version.unwrap_or_default().split('.').map(|n| n.parse().unwrap_or(0)).collect();
        (version, self.build.unwrap_or(0))
    }
}

/// A name as in ARNs: lower case, with `-` for other characters than letters and digits.
pub(super) fn slug(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_with_wildcards_matches_versions_and_builds() {
        let full = "arn:aws:imagebuilder:eu-west-1:1:image/web/1.2.3/4";
        for (pattern, covered) in [
            ("image/web/1.2.3/4", true),
            ("image/web/1.2.3/5", false),
            ("image/web/1.2.3", true),
            ("image/web/1.x.x", true),
            ("image/web/x.x.x", true),
            ("image/web/2.x.x", false),
            ("image/other/x.x.x", false),
            ("component/web/1.2.3/4", false),
        ] {
            let text = format!("arn:aws:imagebuilder:eu-west-1:1:{pattern}");
            let pattern = Arn::parse(&text).unwrap();
            assert_eq!(pattern.covers(&Arn::parse(full).unwrap()), covered, "{text}");
        }
    }

    #[test]
    fn an_invalid_arn_is_rejected() {
        for text in ["", "arn:aws:ec2:r:1:image/x", "arn:aws:imagebuilder:r:1:image/x/1.0.0/one", "web"] {
            assert!(Arn::parse(text).is_none(), "{text}");
        }
    }
}

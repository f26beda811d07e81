//! The `SigV4` credential scope of a request, from its header or a presigned URL.

use http::request::Parts;

use super::text;

/// The credential scope of a signature. The signature is not verified: the embedded AWS has no secrets to protect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub access_key: String,
    pub region: String,
    /// The signing name of the service: `elasticloadbalancing`, `monitoring`, `s3`, …
    pub service: String,
}

impl Scope {
    /// The scope of a request; `None` if it is not signed with `SigV4`.
    #[must_use]
    pub fn of(parts: &Parts) -> Option<Self> {
        let header = parts.headers.get(http::header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        if let Some(header) = header {
            let credential = header
                .strip_prefix("AWS4-HMAC-SHA256")?
                .split(',')
                .find_map(|part| part.trim().strip_prefix("Credential=").map(ToOwned::to_owned))?;
            return Self::parse(&credential);
        }
        let query = text::pairs(parts.uri.query()?);
        let credential = query.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-amz-credential"))?;
        Self::parse(&credential.1)
    }

    /// Parses `KEY/20231114/us-east-1/s3/aws4_request`.
    fn parse(credential: &str) -> Option<Self> {
        let parts: Vec<&str> = credential.rsplitn(5, '/').collect();
        let ["aws4_request", service, region, _date, access_key] = parts[..] else { return None };
        Some(Self { access_key: access_key.into(), region: region.into(), service: service.into() })
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_scope_is_read_from_the_header_or_the_url() {
        let header = "AWS4-HMAC-SHA256 Credential=AKIA1/20231114/eu-west-1/ec2/aws4_request, \
                      SignedHeaders=host;x-amz-date, Signature=00";
        let signed = Request::builder().header("authorization", header).body(()).unwrap().into_parts().0;
        let scope = Scope { access_key: "AKIA1".into(), region: "eu-west-1".into(), service: "ec2".into() };
        assert_eq!(Scope::of(&signed), Some(scope));

        let uri =
            "https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIA2%2F20231114%2Fus-east-1%2Fs3%2Faws4_request";
        let presigned = Request::builder().uri(uri).body(()).unwrap().into_parts().0;
        assert_eq!(Scope::of(&presigned).map(|s| s.service), Some("s3".into()));
    }

    #[test]
    fn an_unsigned_request_has_no_scope() {
        for header in ["Bearer x", "AWS4-HMAC-SHA256 Credential=a/b", "AWS4-HMAC-SHA256"] {
            let parts = Request::builder().header("authorization", header).body(()).unwrap().into_parts().0;
            assert_eq!(Scope::of(&parts), None, "{header}");
        }
        assert_eq!(Scope::of(&Request::new(()).into_parts().0), None);
    }
}

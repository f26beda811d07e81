//! Authentication: whether an access key is known and valid, and how each service refuses one that is not.

use super::super::call::ApiError;
use super::super::services::sts::Principal;
use super::super::time::Time;
use super::super::wire::Protocol;

/// Authenticates an access key, or returns the service's own error. `protocol` is `None` for S3.
pub(super) fn admit(
    principal: Option<Principal>,
    now: Time,
    protocol: Option<Protocol>,
) -> Result<Principal, ApiError> {
    let Some(principal) = principal else {
        let (code, status) = match protocol {
            None => ("InvalidAccessKeyId", 403),
            Some(Protocol::Ec2) => ("AuthFailure", 401),
            Some(Protocol::Query) => ("InvalidClientTokenId", 403),
            Some(Protocol::RestJson) => ("UnrecognizedClientException", 403),
            Some(Protocol::Json | Protocol::Cbor) => ("UnrecognizedClientException", 400),
        };
        let message = "The security token included in the request is invalid.";
        return Err(ApiError::new(code, message).with_status(status));
    };
    if principal.expires.is_some_and(|expires| expires <= now) {
        let (code, status) = match protocol {
            None => ("ExpiredToken", 400),
            Some(Protocol::Ec2) => ("RequestExpired", 400),
            Some(Protocol::Query) => ("ExpiredToken", 403),
            Some(Protocol::RestJson) => ("ExpiredTokenException", 403),
            Some(Protocol::Json | Protocol::Cbor) => ("ExpiredTokenException", 400),
        };
        return Err(
            ApiError::new(code, "The security token included in the request is expired").with_status(status)
        );
    }
    Ok(principal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_rejects_invalid_keys_with_its_own_error() {
        let expired =
            Principal { account: "1".into(), arn: "arn:aws:iam::1:user/u".into(), expires: Some(Time(10)) };
        for (protocol, unknown, late) in [
            (None, "InvalidAccessKeyId", "ExpiredToken"),
            (Some(Protocol::Json), "UnrecognizedClientException", "ExpiredTokenException"),
            (Some(Protocol::Query), "InvalidClientTokenId", "ExpiredToken"),
            (Some(Protocol::Ec2), "AuthFailure", "RequestExpired"),
        ] {
            assert_eq!(admit(None, Time(0), protocol).unwrap_err().code, unknown);
            assert_eq!(admit(Some(expired.clone()), Time(10), protocol).unwrap_err().code, late);
            assert_eq!(admit(Some(expired.clone()), Time(9), protocol).as_ref(), Ok(&expired));
        }
    }
}

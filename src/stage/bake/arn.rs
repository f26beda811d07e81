//! Parts of an Image Builder ARN. Pure.

/// The account and the region in an ARN.
#[must_use]
pub fn account_and_region(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.split(':').skip(3);
    match (parts.next(), parts.next()) {
        (Some(region), Some(account)) if !region.is_empty() && !account.is_empty() => Some((account, region)),
        _ => None,
    }
}

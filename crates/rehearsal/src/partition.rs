//! The partition of a Region: the first part of its ARNs and the end of its hosts. The data are botocore's (`data/`).

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

struct Partition {
    id: String,
    dns_suffix: String,
    regions: Vec<String>,
    form: Option<Regex>,
}

static PARTITIONS: LazyLock<Vec<Partition>> = LazyLock::new(|| {
    let data: Value = serde_json::from_str(include_str!("../../../data/partitions.json")).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = data["partitions"].as_array().into_iter().flatten();
    all.map(|one| Partition {
        id: text(&one["id"]),
        dns_suffix: text(&one["outputs"]["dnsSuffix"]),
        regions: one["regions"]
            .as_object()
            .into_iter()
            .flat_map(serde_json::Map::keys)
            // Not a Region: the name of the partition's global endpoints.
            .filter(|name| !name.ends_with("-global"))
            .cloned()
            .collect(),
        form: Regex::new(&text(&one["regionRegex"])).ok(),
    })
    .collect()
});

fn of(region: &str) -> Option<&'static Partition> {
    PARTITIONS.iter().find(|partition| partition.form.as_ref().is_some_and(|form| form.is_match(region)))
}

/// The partition's name in ARNs, such as `aws-cn`.
#[must_use]
pub fn id(region: &str) -> &'static str {
    of(region).map_or("aws", |partition| &partition.id)
}

/// The end of the names of a Region's hosts, such as `amazonaws.com.cn`.
#[must_use]
pub fn dns_suffix(region: &str) -> &'static str {
    of(region).map_or("amazonaws.com", |partition| &partition.dns_suffix)
}

/// The Regions of a partition.
#[must_use]
pub fn regions(partition: &str) -> Vec<&'static str> {
    let found = PARTITIONS.iter().filter(|known| known.id == partition);
    found.flat_map(|known| known.regions.iter().map(String::as_str)).collect()
}

/// The part after `arn:PARTITION:` of an ARN, whatever its partition.
#[must_use]
pub fn after(arn: &str) -> Option<&str> {
    let (partition, rest) = arn.strip_prefix("arn:")?.split_once(':')?;
    PARTITIONS.iter().any(|known| known.id == partition).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_the_names_of_its_partition() {
        for (region, partition, suffix) in [
            ("eu-west-1", "aws", "amazonaws.com"),
            ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
            ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
            ("eusc-de-east-1", "aws-eusc", "amazonaws.eu"),
        ] {
            assert_eq!((id(region), dns_suffix(region)), (partition, suffix));
            assert_eq!(
                after(&format!("arn:{partition}:kms:{region}:1:key/x")),
                Some(&*format!("kms:{region}:1:key/x"))
            );
        }
        assert_eq!(after("arn:other:kms:x"), None);
    }
}

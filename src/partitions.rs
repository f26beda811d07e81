//! The partitions of AWS: which one a Region is in, and its DNS suffix. The data are botocore's (`data/README.md`).
//!
//! A Region that the data do not list yet is in the partition whose names have its form.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

const DATA: &str = include_str!("../data/partitions.json");

/// The pattern of a Region's name, for a longer pattern: the `regionRegex` of every partition. A test compares it with the
/// data. JSON Schema needs a constant.
macro_rules! region_pattern {
    () => {
        r"((us|eu|ap|sa|ca|me|af|il|mx)-\w+-\d+|cn-\w+-\d+|eusc-(de)-\w+-\d+|us-iso-\w+-\d+|us-isob-\w+-\d+|eu-isoe-\w+-\d+|us-isof-\w+-\d+|us-gov-\w+-\d+)"
    };
}

/// The pattern of a partition's name, for a longer pattern: the names of all partitions. A test compares it with the data.
macro_rules! partition_pattern {
    () => {
        "(aws|aws-cn|aws-eusc|aws-iso|aws-iso-b|aws-iso-e|aws-iso-f|aws-us-gov)"
    };
}

pub(crate) use {partition_pattern, region_pattern};

/// A partition of AWS.
#[derive(Debug)]
pub struct Partition {
    /// Its name in ARNs, such as `aws-cn`.
    pub id: String,
    /// The DNS suffix of its endpoints, such as `amazonaws.com.cn`.
    pub dns_suffix: String,
    regions: BTreeMap<String, serde_json::Value>,
    /// None if its pattern is no regular expression.
    form: Option<Regex>,
}

#[derive(Deserialize)]
struct File {
    partitions: Vec<Wire>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    id: String,
    region_regex: String,
    outputs: Outputs,
    regions: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outputs {
    dns_suffix: String,
}

static PARTITIONS: LazyLock<Vec<Partition>> = LazyLock::new(|| {
    // The data are a constant of the build, and a test reads them.
    let file: File = serde_json::from_str(DATA).unwrap_or(File { partitions: Vec::new() });
    let partition = |wire: Wire| Partition {
        id: wire.id,
        dns_suffix: wire.outputs.dns_suffix,
        regions: wire.regions,
        form: Regex::new(&wire.region_regex).ok(),
    };
    file.partitions.into_iter().map(partition).collect()
});

/// Every partition.
#[must_use]
pub fn all() -> &'static [Partition] {
    &PARTITIONS
}

/// The partition of a Region: the one that lists it, or whose names have its form.
#[must_use]
pub fn of_region(region: &str) -> Option<&'static Partition> {
    let lists = |partition: &&Partition| partition.regions.contains_key(region);
    let has_form = |partition: &&Partition| partition.form.as_ref().is_some_and(|form| form.is_match(region));
    all().iter().find(lists).or_else(|| all().iter().find(has_form))
}

/// The name in ARNs of a Region's partition; `aws` if no partition has such Regions.
#[must_use]
pub fn id(region: &str) -> &'static str {
    of_region(region).map_or("aws", |partition| &partition.id)
}

/// The DNS suffix of a Region's endpoints; that of `aws` if no partition has such Regions.
#[must_use]
pub fn dns_suffix(region: &str) -> &'static str {
    of_region(region).map_or("amazonaws.com", |partition| &partition.dns_suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_and_the_suffix_of_a_region_are_those_of_the_data() {
        for (region, partition, suffix) in [
            ("eu-west-1", "aws", "amazonaws.com"),
            ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
            ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
            ("eusc-de-east-1", "aws-eusc", "amazonaws.eu"),
            ("us-iso-east-1", "aws-iso", "c2s.ic.gov"),
            ("us-isob-east-1", "aws-iso-b", "sc2s.sgov.gov"),
            ("eu-isoe-west-1", "aws-iso-e", "cloud.adc-e.uk"),
            // Regions of the future.
            ("eu-north-99", "aws", "amazonaws.com"),
            ("eusc-de-west-12", "aws-eusc", "amazonaws.eu"),
            ("us-gov-south-7", "aws-us-gov", "amazonaws.com"),
        ] {
            assert_eq!((id(region), dns_suffix(region)), (partition, suffix), "{region}");
        }
        for none in ["", "web", "eu-west", "xx-west-1", "eu-west-1a"] {
            assert!(of_region(none).is_none(), "{none}");
        }
    }

    #[test]
    fn the_constant_patterns_are_those_of_the_data() {
        let file: serde_json::Value = serde_json::from_str(DATA).unwrap();
        let forms: Vec<String> = file["partitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|partition| {
                let form = partition["regionRegex"].as_str().unwrap();
                // `\-` is no escape in a regular expression of JSON Schema.
                form.trim_start_matches('^').trim_end_matches('$').replace(r"\-", "-")
            })
            .collect();
        assert_eq!(region_pattern!(), format!("({})", forms.join("|")));
        let ids: Vec<&str> = all().iter().map(|partition| partition.id.as_str()).collect();
        assert_eq!(partition_pattern!(), format!("({})", ids.join("|")));
        let pattern = Regex::new(concat!("^", region_pattern!(), "$")).unwrap();
        for region in all().iter().flat_map(|partition| partition.regions.keys()) {
            // Not Regions, but the names of a partition's global endpoints.
            assert!(pattern.is_match(region) || region.ends_with("-global"), "{region}");
        }
    }
}

//! Instance types, computed from a list of families and sizes.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, Call};
use super::super::support::{Filter, page, present, refuse};

/// Family, GiB of memory per vCPU, and whether it is burstable.
const FAMILIES: &[(&str, u32, bool)] = &[
    ("c5", 2, false),
    ("c6g", 2, false),
    ("c6i", 2, false),
    ("c7g", 2, false),
    ("c7i", 2, false),
    ("c8g", 2, false),
    ("m5", 4, false),
    ("m6g", 4, false),
    ("m6i", 4, false),
    ("m7g", 4, false),
    ("m7i", 4, false),
    ("m8g", 4, false),
    ("r5", 8, false),
    ("r6g", 8, false),
    ("r6i", 8, false),
    ("r7g", 8, false),
    ("r7i", 8, false),
    ("t2", 4, true),
    ("t3", 4, true),
    ("t3a", 4, true),
    ("t4g", 4, true),
];

/// Size and vCPUs. Sizes below `large` are of burstable families.
const SIZES: &[(&str, u32, bool)] = &[
    ("nano", 2, true),
    ("micro", 2, true),
    ("small", 2, true),
    ("medium", 2, true),
    ("large", 2, false),
    ("xlarge", 4, false),
    ("2xlarge", 8, false),
    ("4xlarge", 16, false),
    ("8xlarge", 32, false),
    ("16xlarge", 64, false),
];

struct InstanceType {
    name: String,
    vcpus: u32,
    memory_mib: u32,
    burstable: bool,
}

fn all() -> impl Iterator<Item = InstanceType> {
    FAMILIES.iter().flat_map(|&(family, ratio, burstable)| {
        SIZES.iter().filter(move |(_, _, small)| burstable || !small).map(move |&(size, vcpus, _)| {
            let memory_mib = match size {
                "nano" => 512,
                "micro" => 1024,
                "small" => 2048,
                "medium" => 4096,
                _ => vcpus * ratio * 1024,
            };
            InstanceType { name: format!("{family}.{size}"), vcpus, memory_mib, burstable }
        })
    })
}

/// Whether the instance type exists. `m1.small` is the default of a launch.
pub(super) fn exists(name: &str) -> bool {
    name == "m1.small"
        || name.split_once('.').is_some_and(|(family, size)| {
            FAMILIES.iter().any(|&(f, _, burstable)| {
                f == family && SIZES.iter().any(|&(s, _, small)| s == size && (burstable || !small))
            })
        })
}

/// The architecture: Graviton families have a `g` after the generation number.
pub(super) fn architecture(name: &str) -> &'static str {
    let family = name.split('.').next().unwrap_or_default();
    if family.ends_with('g') { "arm64" } else { "x86_64" }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    instance_types: Vec<String>,
    filters: Vec<Filter>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

pub(super) fn describe(call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    if let Some(unknown) = input.instance_types.iter().find(|t| !exists(t)) {
        return Err(refuse(
            "InvalidInstanceType",
            format!("The following supplied instance types do not exist: [{unknown}]"),
        ));
    }
    let mut found = Vec::new();
    for kind in all().filter(|t| input.instance_types.is_empty() || input.instance_types.contains(&t.name)) {
        let mut fits = true;
        for filter in &input.filters {
            fits &= match filter.name.as_str() {
                "instance-type" => filter.fits(&kind.name),
                "processor-info.supported-architecture" => filter.fits(architecture(&kind.name)),
                "current-generation" => filter.fits("true"),
                "vcpu-info.default-vcpus" => filter.fits(&kind.vcpus.to_string()),
                other => {
                    return Err(refuse("InvalidParameterValue", format!("The filter '{other}' is invalid")));
                }
            };
        }
        if fits {
            found.push(kind);
        }
    }
    let size = input.max_results.unwrap_or(100);
    let (found, next) = page(found, input.next_token.as_deref(), size, "InvalidParameterValue")?;
    let views: Vec<Value> = found
        .iter()
        .map(|kind| {
            json!({
                "InstanceType": kind.name,
                "CurrentGeneration": true,
                "FreeTierEligible": kind.name == "t3.micro",
                "SupportedUsageClasses": ["on-demand", "spot"],
                "SupportedRootDeviceTypes": ["ebs"],
                "SupportedVirtualizationTypes": ["hvm"],
                "BareMetal": false,
                "Hypervisor": "nitro",
                "ProcessorInfo": { "SupportedArchitectures": [architecture(&kind.name)] },
                "VCpuInfo": { "DefaultVCpus": kind.vcpus, "DefaultCores": kind.vcpus / 2, "DefaultThreadsPerCore": 2 },
                "MemoryInfo": { "SizeInMiB": kind.memory_mib },
                "InstanceStorageSupported": false,
                "BurstablePerformanceSupported": kind.burstable,
                "SupportedBootModes": ["legacy-bios", "uefi"],
            })
        })
        .collect();
    Ok(present(json!({ "InstanceTypes": views, "NextToken": next })))
}

//! A release outside of the partition `aws`: ARNs, registries and Regions of China, `GovCloud` and the European Sovereign Cloud.

use std::fs;

use bakeline::cli::rehearse::Plan;
use bakeline::evidence::Stage;

use crate::support::{Moment, plan, repository};

/// The example in another Region, with copies in a second one.
fn elsewhere(region: &str, second: &str, partition: &str) -> Plan {
    let folder = tempfile::tempdir().unwrap();
    let example = repository("examples/web");
    for below in ["checks", "imagebuilder"] {
        fs::create_dir(folder.path().join(below)).unwrap();
        for file in fs::read_dir(example.join(below)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), folder.path().join(below).join(file.file_name())).unwrap();
        }
    }
    let text = fs::read_to_string(example.join("bakeline.yaml")).unwrap();
    let text = text.replace("arn:aws:", &format!("arn:{partition}:")).replace("eu-west-1", region);
    let text = text.replace("eu-central-1", second);
    assert!(text.contains(region));
    let spec = folder.path().join("bakeline.yaml");
    fs::write(&spec, text).unwrap();
    plan(spec.to_str().unwrap(), "build: {duration: 4m}")
}

#[test]
fn a_release_runs_in_every_partition() {
    for (region, second, partition) in [
        ("cn-north-1", "cn-northwest-1", "aws-cn"),
        ("us-gov-west-1", "us-gov-east-1", "aws-us-gov"),
        // The data do not list the second one: its name has the form of the partition's Regions.
        ("eusc-de-east-1", "eusc-de-west-7", "aws-eusc"),
    ] {
        let plan = elsewhere(region, second, partition);
        assert_eq!(plan.setup.region, region);
        let mut moment = Moment::start(&plan);
        for stage in Stage::ALL {
            moment = moment.after(stage);
        }
        let text = format!("{:?}", moment.provisioned);
        assert!(text.contains(&format!("arn:{partition}:codepipeline:{region}")), "{text}");
        assert!(!text.contains("arn:aws:"), "{text}");
    }
}

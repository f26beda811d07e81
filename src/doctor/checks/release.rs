//! Checks of the resources that a release spec names.

use super::unread;
use crate::doctor::observed::{Network, Observed, Parameter};
use crate::doctor::{Finding, Status};
use crate::stage::promote::check::Check;

/// Checks the Image Builder pipeline. `observed` is its status.
#[must_use]
pub fn image_pipeline(arn: &str, observed: &Observed<Option<String>>, region: &str) -> Finding {
    const CHECK: &str = "image_pipeline_exists";
    let home = arn.split(':').nth(3).unwrap_or_default();
    if home != region {
        return Finding::failed(CHECK, arn, format!("it is in {home}, but the bake stage runs in {region}"))
            .hint("bake in the worker's region, or set bake.environment to an environment in that region");
    }
    match observed {
        // Only the schedule of a disabled pipeline is off; the bake stage can start it.
        Ok(Some(status)) if status == "DISABLED" => Finding::ok(CHECK, arn, "its schedule is off"),
        Ok(Some(_)) => Finding::warning(CHECK, arn, "it also runs on its own schedule")
            .hint("images of scheduled runs belong to no release: disable the schedule"),
        Ok(None) => Finding::failed(CHECK, arn, "it does not exist").hint("correct bake.image_pipeline.arn"),
        Err(error) => unread(CHECK, arn, error),
    }
}

/// Checks that the ECR repository exists to which container images are pushed.
#[must_use]
pub fn repository(name: &str, observed: &Observed<bool>) -> Finding {
    const CHECK: &str = "repository_exists";
    match observed {
        Ok(true) => Finding::ok(CHECK, name, "it exists"),
        Ok(false) => Finding::failed(CHECK, name, "it does not exist in this region").hint(
            "create it in this region and in every region of the distribution, or correct \
             bake.container_recipe.repository",
        ),
        Err(error) => unread(CHECK, name, error),
    }
}

/// Checks that the ECS cluster is active in which container images are tested. `observed` is its status.
#[must_use]
pub fn cluster(name: &str, observed: &Observed<Option<String>>) -> Finding {
    const CHECK: &str = "cluster_is_active";
    match observed {
        Ok(Some(status)) if status == "ACTIVE" => Finding::ok(CHECK, name, "its status is ACTIVE"),
        Ok(Some(status)) => {
            Finding::failed(CHECK, name, format!("its status is {status}")).hint("correct test.task.cluster")
        }
        Ok(None) => Finding::failed(CHECK, name, "it does not exist").hint("correct test.task.cluster"),
        Err(error) => unread(CHECK, name, error),
    }
}

/// Checks the data type of the parameter to which the bake stage publishes the image. `needed` is the data type that
/// the image id or URI needs.
#[must_use]
pub fn parameter(name: &str, observed: &Observed<Option<Parameter>>, needed: &str) -> Finding {
    const CHECK: &str = "parameter_data_type_matches";
    match observed {
        Ok(None) => Finding::ok(CHECK, name, "it does not exist; the bake stage creates it"),
        Ok(Some(found)) if found.data_type == needed => {
            Finding::ok(CHECK, name, format!("its value is {}", found.value))
        }
        // Parameter Store refuses to change a parameter's data type.
        Ok(Some(found)) => {
            let observed = format!("its data type is {}, not {needed}", found.data_type);
            Finding::failed(CHECK, name, observed).hint(
                "a parameter's data type cannot be changed: delete it, or name another in \
                 bake.publish.parameter",
            )
        }
        Err(error) => unread(CHECK, name, error),
    }
}

/// Checks that a test's subnet and security groups exist in one VPC.
#[must_use]
pub fn network(subnet: &str, groups: &[String], observed: &Observed<Network>) -> Finding {
    const CHECK: &str = "test_network_exists";
    let network = match observed {
        Ok(network) => network,
        Err(error) => return unread(CHECK, subnet, error),
    };
    let Some(vpc) = &network.subnet else {
        return Finding::failed(CHECK, subnet, "the subnet does not exist")
            .hint("correct the test's subnets");
    };
    for group in groups {
        match network.groups.get(group) {
            None => {
                return Finding::failed(CHECK, group, "the security group does not exist")
                    .hint("correct the test's security_groups");
            }
            Some(other) if other != vpc => {
                let observed = format!("the security group is in {other}, but the subnet is in {vpc}");
                return Finding::failed(CHECK, group, observed)
                    .hint("use a subnet and security groups of one VPC");
            }
            Some(_) => {}
        }
    }
    Finding::ok(CHECK, subnet, format!("in {vpc}, with {} security groups", groups.len()))
}

/// Checks that the region offers an instance type.
#[must_use]
pub fn instance_type(name: &str, observed: &Observed<bool>) -> Finding {
    const CHECK: &str = "instance_type_is_offered";
    match observed {
        Ok(true) => Finding::ok(CHECK, name, "offered in this region"),
        Ok(false) => Finding::failed(CHECK, name, "not offered in this region")
            .hint("correct test.instance.instance_type"),
        Err(error) => unread(CHECK, name, error),
    }
}

/// The promote stage's own preflight checks, apart from those of the new image.
#[must_use]
pub fn promotion(target: &str, observed: &Observed<Vec<Check>>) -> Vec<Finding> {
    match observed {
        Ok(checks) => checks
            .iter()
            .map(|check| {
                let status = if check.holds { Status::Ok } else { Status::Failed };
                let hint = if check.holds { "" } else { check.hint };
                Finding::new(check.check, target, status, &check.observed).hint(hint)
            })
            .collect(),
        Err(error) => vec![unread("promotion_target_can_be_read", target, error)],
    }
}

/// Checks that a metric had enough datapoints in the last hold.
#[must_use]
pub fn metric(name: &str, observed: &Observed<u32>, needed: u32) -> Finding {
    const CHECK: &str = "metric_has_data";
    match observed {
        Ok(datapoints) if *datapoints >= needed => {
            Finding::ok(CHECK, name, format!("{datapoints} datapoints in the last hold"))
        }
        Ok(datapoints) => {
            let observed = format!("{datapoints} datapoints in the last hold, but {needed} are needed");
            Finding::warning(CHECK, name, observed).hint(
                "a hold without enough data is rolled back: check the dimensions, or lower min_datapoints",
            )
        }
        Err(error) => unread(CHECK, name, error),
    }
}

/// Checks that the cleanup stage can list the service's images. `observed` is their number.
#[must_use]
pub fn images(service: &str, observed: &Observed<usize>) -> Finding {
    const CHECK: &str = "images_can_be_listed";
    match observed {
        Ok(count) => {
            Finding::ok(CHECK, service, format!("{count} images with the tag bakeline:service={service}"))
        }
        Err(error) => unread(CHECK, service, error),
    }
}

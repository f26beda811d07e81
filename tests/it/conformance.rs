//! One conformance suite for every deployment target: what the contract in `stage::promote::target` promises is tried
//! on each of them. A new target adds a line to `targets` and an entry to the match of [`Case`].

mod fake;
mod suite;

use bakeline::evidence::Stage;
use bakeline::stage::promote::target::Deployment;
use bakeline_rehearsal::world::World;
use serde_json::json;

use self::fake::Parameter;
use self::suite::{Target, Versions};
use crate::crash::SHORT;
use crate::promote::{blue_green, fleet_of, waves};
use crate::support::{Moment, plan};
use crate::trail::ask;

const GROUP: &str = "web-production";

fn before(spec: &str, scenario: &str) -> Moment {
    Moment::before(&plan(spec, &format!("{SHORT}{scenario}")), Stage::Promote)
}

fn group_versions(moment: &Moment, world: &mut World) -> Versions {
    let fleet = fleet_of(GROUP, moment, world);
    let of = |image: &str| fleet.get(image).copied().unwrap_or(0);
    Versions { old: of("old"), new: of("new") }
}

fn group(name: &'static str, spec: &str, interfere: fn(&Moment, &mut World)) -> Target {
    Target {
        name,
        before: before(spec, ""),
        is_under_way: |moment, world| group_versions(moment, world).new > 0,
        interfere,
        versions: group_versions,
        cases: 12,
    }
}

fn cancel_refresh(moment: &Moment, world: &mut World) {
    ask(moment, world, "autoscaling", "CancelInstanceRefresh", json!({"AutoScalingGroupName": GROUP}));
}

/// An instance refresh.
fn rolling() -> Target {
    group("rolling", "tests/it/fixtures/crash/bakeline.yaml", cancel_refresh)
}

/// An instance refresh after a canary analysis on groups of its own.
fn canary() -> Target {
    group("canary", "tests/it/fixtures/trial/bakeline.yaml", cancel_refresh)
}

/// Two groups behind one load balancer. Only a group with a share of the traffic counts.
fn blue_and_green() -> Target {
    Target {
        name: "blue/green",
        before: before(blue_green::SPEC, ""),
        is_under_way: |moment, world| traffic_versions(moment, world).new > 0,
        interfere: |moment, world| blue_green::weigh(60, moment, world),
        versions: traffic_versions,
        cases: 12,
    }
}

fn traffic_versions(moment: &Moment, world: &mut World) -> Versions {
    let with_traffic = blue_green::standing(moment, world).into_iter().filter(|(weight, ..)| *weight > 0);
    with_traffic.fold(Versions { old: 0, new: 0 }, |sum, (_, old, new)| Versions {
        old: sum.old + old,
        new: sum.new + new,
    })
}

/// Groups that follow the first in waves, one of them in another Region.
fn in_waves() -> Target {
    Target {
        name: "waves",
        before: before(waves::SPEC, ""),
        is_under_way: |moment, world| waves::moves("web-d", moment, world),
        interfere: |moment, world| {
            let input = json!({"AutoScalingGroupName": "web-d"});
            ask(moment, world, "autoscaling", "CancelInstanceRefresh", input);
        },
        versions: |moment, world| {
            let groups = waves::line(moment, world);
            groups.into_iter().fold(Versions { old: 0, new: 0 }, |sum, (old, new)| Versions {
                old: sum.old + old,
                new: sum.new + new,
            })
        },
        cases: 6,
    }
}

/// The parameter of the fake target has the image that production runs.
fn parameter() -> Target {
    let mut before = before("tests/it/fixtures/crash/bakeline.yaml", "");
    let moment = before.clone();
    let old = moment.provisioned.current_image.clone().unwrap();
    let input = json!({"Name": fake::NAME, "Value": old, "Type": "String"});
    ask(&moment, &mut before.world, "ssm", "PutParameter", input);
    Target {
        name: "fake",
        before,
        is_under_way: |moment, world| parameter_versions(moment, world).new > 0,
        interfere: |moment, world| {
            let input = json!({"Name": fake::NAME, "Value": "ami-0someoneelse", "Overwrite": true});
            ask(moment, world, "ssm", "PutParameter", input);
        },
        versions: parameter_versions,
        cases: 120,
    }
}

fn parameter_versions(moment: &Moment, world: &mut World) -> Versions {
    let found = ask(moment, world, "ssm", "GetParameter", json!({"Name": fake::NAME}));
    let live = found["Parameter"]["Value"].as_str().unwrap_or_default();
    let old = moment.provisioned.current_image.as_deref() == Some(live);
    Versions { old: usize::from(old), new: usize::from(!old) }
}

/// Defines the five tests of a target.
macro_rules! conforms {
    ($name:ident, $target:ty, $of:path) => {
        mod $name {
            use super::suite;

            #[test]
            fn every_step_twice() {
                suite::every_step_twice::<$target>(&$of());
            }

            #[test]
            fn crash_at_every_call() {
                suite::crash_at_every_call::<$target>(&$of());
            }

            #[test]
            fn no_worker_for_two_days() {
                suite::no_worker_for_two_days::<$target>(&$of());
            }

            #[test]
            fn someone_else_interferes() {
                suite::someone_else_interferes::<$target>(&$of());
            }

            #[test]
            fn rollback_from_every_state() {
                suite::rollback_from_every_state::<$target>(&$of());
            }
        }
    };
}

conforms!(fake_target, super::Parameter, super::parameter);
conforms!(asg_rolling, super::Deployment, super::rolling);
conforms!(asg_canary, super::Deployment, super::canary);
conforms!(asg_blue_green, super::Deployment, super::blue_and_green);
conforms!(asg_waves, super::Deployment, super::in_waves);

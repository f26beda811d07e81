//! What is held about what was seen. Pure.

use std::collections::BTreeSet;

use super::observed::{Action, ActionType, Caller, Key, Look, Network, Parameter, Pipeline, Trouble};
use super::{Finding, Verdict};
use crate::engine::Timestamp;
use crate::evidence::{PublicKey, Stage, TrustRoot};
use crate::stage::handover::SPEC_PROPERTY;
use crate::stage::promote::check::Check;
use crate::worker::action::{PROVIDER, VERSION, category};

/// A finding about something that could not be seen.
#[must_use]
pub fn unseen(check: &'static str, thing: &str, trouble: &Trouble) -> Finding {
    match trouble {
        Trouble::Denied(said) => Finding::new(check, thing, Verdict::Denied, said)
            .hint("ask as a role that may look, or compare the worker's role with pipeline/roles.yaml"),
        Trouble::Unanswered(said) => Finding::new(check, thing, Verdict::Unanswered, said).hint("ask again"),
        Trouble::Refused(said) => Finding::new(check, thing, Verdict::Unfit, said),
    }
}

/// Who asks, and whether the pipeline is in the same account.
#[must_use]
pub fn caller(look: &Look<Caller>, pipeline: Option<&str>) -> Finding {
    const CHECK: &str = "caller_is_known";
    let caller = match look {
        Ok(caller) => caller,
        Err(trouble) => return unseen(CHECK, "the credentials in use", trouble),
    };
    let home = pipeline.and_then(|arn| arn.split(':').nth(4)).unwrap_or(&caller.account);
    if home == caller.account {
        return Finding::fit(CHECK, &caller.arn, format!("account {}", caller.account));
    }
    Finding::unfit(CHECK, &caller.arn, format!("account {}, and the pipeline is in {home}", caller.account))
        .hint("a worker polls in the account and region of the pipeline")
}

/// Whether the role of a target can be assumed, by who one is then.
#[must_use]
pub fn target(alias: &str, look: &Look<Caller>) -> Finding {
    const CHECK: &str = "target_can_be_acted_in";
    match look {
        Ok(caller) => Finding::fit(CHECK, alias, format!("as {}", caller.arn)),
        Err(trouble) => unseen(CHECK, alias, trouble),
    }
}

/// The action type of a stage.
#[must_use]
pub fn action_type(stage: Stage, look: &Look<Vec<ActionType>>) -> Finding {
    const CHECK: &str = "action_type_exists";
    let thing = format!("Custom/{}/{PROVIDER}/{VERSION}", category(stage));
    let types = match look {
        Ok(types) => types,
        Err(trouble) => return unseen(CHECK, &thing, trouble),
    };
    let mut of_stage = types.iter().filter(|found| found.category == category(stage));
    let Some(found) = of_stage.clone().find(|found| found.version == VERSION) else {
        let others: Vec<&str> = of_stage.by_ref().map(|found| found.version.as_str()).collect();
        let observed = match others.as_slice() {
            [] => "it does not exist in this account and region".to_owned(),
            others => format!("only version {} exists", others.join(", ")),
        };
        return Finding::unfit(CHECK, thing, observed).hint("deploy pipeline/action-types.yaml");
    };
    let takes_one = |(fewest, most): (i32, i32)| fewest <= 1 && most >= 1;
    if !takes_one(found.inputs) || !takes_one(found.outputs) {
        let observed = format!(
            "it takes {} to {} inputs and leaves {} to {} outputs",
            found.inputs.0, found.inputs.1, found.outputs.0, found.outputs.1
        );
        return Finding::unfit(CHECK, thing, observed).hint(
            "each stage takes one artifact and leaves one: compare it with pipeline/action-types.yaml",
        );
    }
    if let Some(property) = found.properties.iter().find(|property| property.queryable) {
        let observed = format!("its property {} is queryable", property.name);
        return Finding::unfit(CHECK, thing, observed)
            .hint("a type with a queryable property is polled with a query, and the worker sends none");
    }
    let foreign: Vec<&str> = found
        .properties
        .iter()
        .filter(|property| property.name != SPEC_PROPERTY)
        .map(|property| property.name.as_str())
        .collect();
    if !foreign.is_empty() {
        let observed = format!("it has properties that no stage reads: {}", foreign.join(", "));
        return Finding::doubtful(CHECK, thing, observed).hint("compare it with pipeline/action-types.yaml");
    }
    Finding::fit(CHECK, thing, "one artifact in, one out")
}

/// The stage an action runs; none if it is not one of ours.
#[must_use]
pub fn stage_of(action: &Action) -> Option<Stage> {
    let ours = action.owner == "Custom" && action.provider == PROVIDER;
    Stage::ALL.into_iter().find(|stage| ours && category(*stage) == action.category)
}

/// The stages a pipeline has actions for.
#[must_use]
pub fn stages(pipeline: &Pipeline) -> BTreeSet<Stage> {
    pipeline.actions.iter().filter_map(stage_of).collect()
}

/// The pipeline's structure: its actions are of the version the worker polls for, and each is handed what the stage
/// before it leaves.
#[must_use]
pub fn pipeline(name: &str, look: &Look<Option<Pipeline>>, region: &str) -> Vec<Finding> {
    const CHECK: &str = "pipeline_exists";
    let pipeline = match look {
        Ok(Some(pipeline)) => pipeline,
        Ok(None) => {
            return vec![
                Finding::unfit(CHECK, name, format!("there is none in this account in {region}"))
                    .hint("correct --pipeline, or AWS_REGION"),
            ];
        }
        Err(trouble) => return vec![unseen(CHECK, name, trouble)],
    };
    let ours: Vec<(Stage, &Action)> =
        pipeline.actions.iter().filter_map(|action| Some((stage_of(action)?, action))).collect();
    if ours.is_empty() {
        let observed = format!("none of its {} actions is of provider {PROVIDER}", pipeline.actions.len());
        return vec![
            Finding::unfit(CHECK, name, observed)
                .hint("pipeline/example-pipeline.yaml shows the four actions"),
        ];
    }
    let observed = format!("{} of its {} actions are bakeline's", ours.len(), pipeline.actions.len());
    let mut findings = vec![Finding::fit(CHECK, name, observed)];
    findings.extend(ours.iter().map(|(_, action)| version(action, region)));
    findings.extend(ours.iter().map(|(stage, action)| handed(*stage, action, &ours)));
    findings
}

fn version(action: &Action, region: &str) -> Finding {
    const CHECK: &str = "action_is_polled_for";
    if action.version != VERSION {
        let observed = format!("it is of version {}", action.version);
        return Finding::unfit(CHECK, &action.name, observed)
            .hint(format!("the worker polls for version {VERSION}: set it in the pipeline"));
    }
    match &action.region {
        Some(elsewhere) if elsewhere != region => {
            Finding::doubtful(CHECK, &action.name, format!("it runs in {elsewhere}"))
                .hint(format!("a worker must poll in {elsewhere} too; this is {region}"))
        }
        _ => Finding::fit(CHECK, &action.name, format!("version {VERSION}, in {region}")),
    }
}

fn handed(stage: Stage, action: &Action, ours: &[(Stage, &Action)]) -> Finding {
    const CHECK: &str = "hand_over_is_wired";
    let ([input], [output]) = (action.inputs.as_slice(), action.outputs.as_slice()) else {
        let observed = format!("{} input and {} output artifacts", action.inputs.len(), action.outputs.len());
        return Finding::unfit(CHECK, &action.name, observed).hint("give it one of each");
    };
    // A pipeline may do without a promotion, and without nothing else in between.
    let is_there =
        |earlier: Stage| earlier != Stage::Promote || ours.iter().any(|(of, _)| *of == Stage::Promote);
    let Some(before) = Stage::ALL.into_iter().rfind(|earlier| *earlier < stage && is_there(*earlier)) else {
        return Finding::fit(CHECK, &action.name, format!("the source is {input}, the hand-over {output}"));
    };
    let from = ours.iter().find(|(_, other)| other.outputs.iter().any(|made| made == input));
    match from {
        Some((of, other)) if *of == before && other.turn < action.turn => {
            Finding::fit(CHECK, &action.name, format!("takes {input} from {}", other.name))
        }
        Some((of, other)) if *of == before => {
            let observed = format!("takes {input} from {}, which does not run before it", other.name);
            Finding::unfit(CHECK, &action.name, observed).hint("give it a later stage or run order")
        }
        Some((of, other)) => {
            let observed = format!("takes {input} from {}, a {of} action", other.name);
            Finding::unfit(CHECK, &action.name, observed)
                .hint(format!("{stage} goes on from what {before} leaves"))
        }
        None => Finding::unfit(CHECK, &action.name, format!("no bakeline action leaves {input}"))
            .hint(format!("{stage} goes on from what {before} leaves")),
    }
}

/// Whether the first action reads the spec that was looked at. `file` is its path as the action would name it.
#[must_use]
pub fn spec_path(pipeline: &Pipeline, file: &str, default: &str) -> Option<Finding> {
    let bake = pipeline.actions.iter().find(|action| stage_of(action) == Some(Stage::Bake))?;
    let named = bake.configuration.get(SPEC_PROPERTY).map_or(default, String::as_str);
    let same = file == named || file.ends_with(&format!("/{named}"));
    Some(if same {
        Finding::fit("spec_is_the_actions", &bake.name, format!("reads {named}"))
    } else {
        Finding::doubtful(
            "spec_is_the_actions",
            &bake.name,
            format!("reads {named}, and {file} was looked at"),
        )
        .hint("look at the file that the action names, or correct the action's property Spec")
    })
}

/// A bucket, by the region it is in; none if there is none of this name.
#[must_use]
pub fn bucket(check: &'static str, name: &str, look: &Look<Option<String>>, region: &str) -> Finding {
    match look {
        Ok(Some(found)) if found == region => Finding::fit(check, name, format!("in {found}")),
        Ok(Some(found)) => Finding::unfit(check, name, format!("it is in {found}, not in {region}"))
            .hint("use a bucket of the region"),
        Ok(None) => Finding::unfit(check, name, "it does not exist").hint("make it, or correct its name"),
        Err(trouble) => unseen(check, name, trouble),
    }
}

/// A KMS key that is to be used for `usage`.
#[must_use]
pub fn key(check: &'static str, name: &str, look: &Look<Option<Key>>, usage: &str) -> Finding {
    let key = match look {
        Ok(Some(key)) => key,
        Ok(None) => return Finding::unfit(check, name, "it does not exist").hint("correct the key's name"),
        Err(trouble) => return unseen(check, name, trouble),
    };
    if key.state != "Enabled" {
        return Finding::unfit(check, name, format!("it is {}", key.state)).hint("enable the key");
    }
    if key.usage != usage {
        return Finding::unfit(check, name, format!("it is for {}", key.usage))
            .hint(format!("give a key for {usage}"));
    }
    Finding::fit(check, name, format!("{} for {usage}", key.arn))
}

/// That the signing key is believed for every stage that is to sign with it, now.
#[must_use]
pub fn believed(
    name: &str,
    signer: &PublicKey,
    trust: &TrustRoot,
    stages: &BTreeSet<Stage>,
    now: Timestamp,
) -> Finding {
    const CHECK: &str = "signing_key_is_believed";
    let Some(trusted) = trust.keys().iter().find(|trusted| trusted.public_key == *signer) else {
        let observed = format!("its public key {} is not in the trust root", signer.id());
        return Finding::unfit(CHECK, name, observed)
            .hint("add the public key to the trust root: later stages refuse what this key signs");
    };
    let not: Vec<&str> =
        stages.iter().filter(|stage| !trusted.may_sign(**stage)).map(|stage| stage.name()).collect();
    if !not.is_empty() {
        let observed = format!("as `{}` it may not sign for {}", trusted.name, not.join(", "));
        return Finding::unfit(CHECK, name, observed).hint("add the stages to the key in the trust root");
    }
    if !trusted.valid_at(now.date_time()) {
        let observed = format!("as `{}` it is not valid at {now}", trusted.name);
        return Finding::unfit(CHECK, name, observed)
            .hint("sign with a key that is valid, or correct not_before and not_after");
    }
    Finding::fit(CHECK, name, format!("as `{}`", trusted.name))
}

/// The Image Builder pipeline, by its status; none if there is none.
#[must_use]
pub fn image_pipeline(arn: &str, look: &Look<Option<String>>, region: &str) -> Finding {
    const CHECK: &str = "image_pipeline_exists";
    let home = arn.split(':').nth(3).unwrap_or_default();
    if home != region {
        return Finding::unfit(CHECK, arn, format!("it is in {home}, and the worker works in {region}"))
            .hint("bake in the worker's region, or give the bake stage a target there");
    }
    match look {
        // A disabled pipeline only has no schedule; one that is started by hand runs.
        Ok(Some(status)) if status == "DISABLED" => Finding::fit(CHECK, arn, "no schedule of its own"),
        Ok(Some(_)) => Finding::doubtful(CHECK, arn, "it also runs on its own schedule")
            .hint("images of runs that no release started carry no tags of one"),
        Ok(None) => Finding::unfit(CHECK, arn, "it does not exist").hint("correct bake.image_pipeline"),
        Err(trouble) => unseen(CHECK, arn, trouble),
    }
}

/// The repository in ECR that a container image is pushed to.
#[must_use]
pub fn repository(name: &str, look: &Look<bool>) -> Finding {
    const CHECK: &str = "repository_exists";
    match look {
        Ok(true) => Finding::fit(CHECK, name, "it is there"),
        Ok(false) => Finding::unfit(CHECK, name, "it does not exist here").hint(
            "create it, here and in every region of the distribution, or correct bake.container.repository",
        ),
        Err(trouble) => unseen(CHECK, name, trouble),
    }
}

/// The cluster that a container image is tested in, by its status; none if there is none.
#[must_use]
pub fn cluster(name: &str, look: &Look<Option<String>>) -> Finding {
    const CHECK: &str = "cluster_is_active";
    match look {
        Ok(Some(status)) if status == "ACTIVE" => Finding::fit(CHECK, name, "active"),
        Ok(Some(status)) => {
            Finding::unfit(CHECK, name, format!("it is {status}")).hint("correct test.task.cluster")
        }
        Ok(None) => Finding::unfit(CHECK, name, "it does not exist").hint("correct test.task.cluster"),
        Err(trouble) => unseen(CHECK, name, trouble),
    }
}

/// The parameter that is to hold the candidate. `needed` is the data type of what it is to hold.
#[must_use]
pub fn parameter(name: &str, look: &Look<Option<Parameter>>, needed: &str) -> Finding {
    const CHECK: &str = "parameter_can_hold_an_image";
    match look {
        Ok(None) => Finding::fit(CHECK, name, "it does not exist and will be made"),
        Ok(Some(found)) if found.data_type == needed => {
            Finding::fit(CHECK, name, format!("it holds {}", found.value))
        }
        // Parameter Store: the data type of a parameter cannot be changed.
        Ok(Some(found)) => Finding::unfit(CHECK, name, format!("its data type is {}", found.data_type))
            .hint("a parameter's data type cannot be changed: delete it, or name another in bake.parameter"),
        Err(trouble) => unseen(CHECK, name, trouble),
    }
}

/// Subnet and security groups of the test: they exist, in one VPC.
#[must_use]
pub fn network(subnet: &str, groups: &[String], look: &Look<Network>) -> Finding {
    const CHECK: &str = "staging_network_exists";
    let network = match look {
        Ok(network) => network,
        Err(trouble) => return unseen(CHECK, subnet, trouble),
    };
    let Some(vpc) = &network.subnet else {
        return Finding::unfit(CHECK, subnet, "the subnet does not exist").hint("correct test.subnet");
    };
    for group in groups {
        match network.groups.get(group) {
            None => {
                return Finding::unfit(CHECK, group, "the security group does not exist")
                    .hint("correct test.security_groups");
            }
            Some(other) if other != vpc => {
                let observed = format!("the security group is in {other}, the subnet in {vpc}");
                return Finding::unfit(CHECK, group, observed).hint("subnet and groups must share a VPC");
            }
            Some(_) => {}
        }
    }
    Finding::fit(CHECK, subnet, format!("{} security groups, in {vpc}", groups.len()))
}

/// Whether an instance type is offered in the region.
#[must_use]
pub fn instance_type(name: &str, look: &Look<bool>) -> Finding {
    const CHECK: &str = "instance_type_is_offered";
    match look {
        Ok(true) => Finding::fit(CHECK, name, "offered here"),
        Ok(false) => {
            Finding::unfit(CHECK, name, "not offered in this region").hint("correct test.instance_type")
        }
        Err(trouble) => unseen(CHECK, name, trouble),
    }
}

/// What the preflight of a promotion would find now, the new image apart.
#[must_use]
pub fn fleet(group: &str, look: &Look<Vec<Check>>) -> Vec<Finding> {
    match look {
        Ok(checks) => checks
            .iter()
            .map(|check| {
                let verdict = if check.holds { Verdict::Fit } else { Verdict::Unfit };
                Finding::new(check.check, group, verdict, &check.observed).hint(if check.holds {
                    ""
                } else {
                    check.hint
                })
            })
            .collect(),
        Err(trouble) => vec![unseen("group_can_be_promoted_to", group, trouble)],
    }
}

/// Whether a metric has enough datapoints in a hold of `hold` seconds; `samples` is how many the last one had.
#[must_use]
pub fn metric(name: &str, look: &Look<u32>, needed: u32) -> Finding {
    const CHECK: &str = "metric_has_data";
    match look {
        Ok(samples) if *samples >= needed => {
            Finding::fit(CHECK, name, format!("{samples} datapoints in a hold"))
        }
        Ok(samples) => Finding::doubtful(
            CHECK,
            name,
            format!("{samples} datapoints in a hold, {needed} are needed"),
        )
        .hint("a hold without enough data is rolled back: check the dimensions, or lower min_datapoints"),
        Err(trouble) => unseen(CHECK, name, trouble),
    }
}

/// The images that cleanup would look at.
#[must_use]
pub fn images(service: &str, look: &Look<usize>) -> Finding {
    const CHECK: &str = "images_can_be_listed";
    match look {
        Ok(count) => Finding::fit(CHECK, service, format!("{count} images carry the service's tag")),
        Err(trouble) => unseen(CHECK, service, trouble),
    }
}

//! Checks of a pipeline's structure: versions, regions, artifacts from stage to stage, the path of the release spec.

use std::collections::BTreeSet;

use super::unread;
use crate::doctor::Finding;
use crate::doctor::observed::{Action, Observed, Pipeline};
use crate::evidence::Stage;
use crate::stage::handover::SPEC_PROPERTY;
use crate::worker::action::{VERSION, stage_of_provider};

/// The stage that an action runs; none if its action type is not one of bakeline's.
fn stage_of(action: &Action) -> Option<Stage> {
    stage_of_provider(&action.provider).filter(|_| action.owner == "Custom")
}

/// The stages that a pipeline has actions for.
#[must_use]
pub fn stages(pipeline: &Pipeline) -> BTreeSet<Stage> {
    pipeline.actions.iter().filter_map(stage_of).collect()
}

/// Checks that the pipeline exists, that its actions have the version the worker polls for, and that each takes the
/// output artifact of the stage before it.
#[must_use]
pub fn pipeline(name: &str, observed: &Observed<Option<Pipeline>>, region: &str) -> Vec<Finding> {
    const CHECK: &str = "pipeline_exists";
    let pipeline = match observed {
        Ok(Some(pipeline)) => pipeline,
        Ok(None) => {
            return vec![
                Finding::failed(CHECK, name, format!("it does not exist in this account in {region}"))
                    .hint("correct --pipeline or AWS_REGION"),
            ];
        }
        Err(error) => return vec![unread(CHECK, name, error)],
    };
    let ours: Vec<(Stage, &Action)> =
        pipeline.actions.iter().filter_map(|action| Some((stage_of(action)?, action))).collect();
    if ours.is_empty() {
        let observed = format!("none of its {} actions has a provider of bakeline", pipeline.actions.len());
        return vec![
            Finding::failed(CHECK, name, observed)
                .hint("pipeline/example-pipeline.yaml shows the four actions"),
        ];
    }
    let observed = format!("{} of its {} actions are bakeline's", ours.len(), pipeline.actions.len());
    let mut findings = vec![Finding::ok(CHECK, name, observed)];
    findings.extend(ours.iter().map(|(_, action)| version(action, region)));
    findings.extend(ours.iter().map(|(stage, action)| artifacts(*stage, action, &ours)));
    findings
}

/// Checks that a worker in `region` polls for the action.
fn version(action: &Action, region: &str) -> Finding {
    const CHECK: &str = "action_is_polled_for";
    if action.version != VERSION {
        return Finding::failed(CHECK, &action.name, format!("its version is {}", action.version))
            .hint(format!("the worker polls for version {VERSION}: set it in the pipeline"));
    }
    match &action.region {
        Some(elsewhere) if elsewhere != region => {
            Finding::warning(CHECK, &action.name, format!("it runs in {elsewhere}"))
                .hint(format!("run a worker in {elsewhere} too; this is {region}"))
        }
        _ => Finding::ok(CHECK, &action.name, format!("version {VERSION}, in {region}")),
    }
}

/// Checks that the action takes what the stage before it outputs.
fn artifacts(stage: Stage, action: &Action, ours: &[(Stage, &Action)]) -> Finding {
    const CHECK: &str = "artifacts_are_connected";
    let ([input], [_]) = (action.inputs.as_slice(), action.outputs.as_slice()) else {
        let observed = format!("{} input and {} output artifacts", action.inputs.len(), action.outputs.len());
        return Finding::failed(CHECK, &action.name, observed).hint("give it one of each");
    };
    // Of the stages in between, only promote may be absent from a pipeline.
    let is_present =
        |earlier: Stage| earlier != Stage::Promote || ours.iter().any(|(of, _)| *of == Stage::Promote);
    let Some(before) = Stage::ALL.into_iter().rfind(|earlier| *earlier < stage && is_present(*earlier))
    else {
        return Finding::ok(CHECK, &action.name, format!("takes the source artifact {input}"));
    };
    let expected = || format!("the {stage} action takes the output artifact of the {before} action");
    let from = ours.iter().find(|(_, other)| other.outputs.iter().any(|output| output == input));
    match from {
        Some((of, other)) if *of == before && other.order < action.order => {
            Finding::ok(CHECK, &action.name, format!("takes {input} from {}", other.name))
        }
        Some((of, other)) if *of == before => {
            let observed = format!("takes {input} from {}, which does not run before it", other.name);
            Finding::failed(CHECK, &action.name, observed).hint("move it to a later stage or run order")
        }
        Some((of, other)) => {
            let observed = format!("takes {input} from {}, a {of} action", other.name);
            Finding::failed(CHECK, &action.name, observed).hint(expected())
        }
        None => {
            let observed = format!("no bakeline action outputs {input}");
            Finding::failed(CHECK, &action.name, observed).hint(expected())
        }
    }
}

/// Checks that the bake action reads the spec file that doctor read. `file` is its path with `/` between folders.
#[must_use]
pub fn spec_path(pipeline: &Pipeline, file: &str, default: &str) -> Option<Finding> {
    const CHECK: &str = "spec_path_matches";
    let bake = pipeline.actions.iter().find(|action| stage_of(action) == Some(Stage::Bake))?;
    let path = bake.configuration.get(SPEC_PROPERTY).map_or(default, String::as_str);
    if file == path || file.ends_with(&format!("/{path}")) {
        return Some(Finding::ok(CHECK, &bake.name, format!("reads {path}")));
    }
    let observed = format!("the action reads {path}, but doctor checked {file}");
    Some(
        Finding::warning(CHECK, &bake.name, observed)
            .hint("check the file that the action reads, or correct its property Spec"),
    )
}

//! The way forward, from a build that was started to the hand-over.

use std::collections::BTreeMap;

use aws_sdk_imagebuilder::types as wire;

use super::gate::{Finding, ScanStand};
use super::judge::{Copies, Look};
use super::provenance::{Recipe, Run, SourceArtifact};
use super::{
    BUILD_EVERY, Bake, Inputs, LOOK_EVERY, Product, Stand, Watch, available, build, content as contents,
    copies, gate, inspect, judge, log, parameter, provenance, registry, release, reread, sarif,
};
use crate::engine::key::tag;
use crate::engine::{Outcome, Progress, StageError, Step, Timestamp};
use crate::evidence::{ContainerIdentity, ResourceDescriptor, Sha256, Stage};
use crate::spec::{ContentDigest, Scan};
use crate::stage::Cx;
use crate::stage::handover::{ReleaseFiles, hand_over_about};
use crate::stage::store::{Files, input};

pub async fn building(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    watch: Option<Watch>,
    retries: u8,
) -> Result<Step<Bake>, StageError> {
    let found = build::get(cx, &image).await?;
    let build = build::read(&found, &inputs.account);
    match judge::stand(&build.status) {
        Stand::Going => going(inputs, cx, image, &found, &build.status, watch, retries).await,
        Stand::Available => {
            release(inputs, cx, &build, &image)?;
            // The images of a build that is older than this action have settled: one look at them is enough.
            let old = is_older(inputs, found.date_created.as_deref());
            Ok(Step::Next(Bake::Confirming { image, seen: if old { judge::LOOKS - 1 } else { 0 } }))
        }
        Stand::Ended => {
            // A build that was run on may be seen as it was before: one look more tells.
            if retries > 0 {
                let now = build::read(&build::get(cx, &image).await?, &inputs.account);
                if judge::stand(&now.status) != Stand::Ended {
                    let why = format!("image build {image} was run on and is {}", now.status);
                    return Err(StageError::NotYet(why));
                }
            }
            ended(inputs, cx, image, &found, &build, watch, retries)
        }
    }
}

/// Whether a build is older than this action. One that no other release may share never is, whatever the clocks say.
fn is_older(inputs: &Inputs, created: Option<&str>) -> bool {
    inputs.of.is_shared() && provenance::is_before(created, inputs.began.date_time())
}

async fn going(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    found: &aws_sdk_imagebuilder::types::Image,
    status: &str,
    watch: Option<Watch>,
    retries: u8,
) -> Result<Step<Bake>, StageError> {
    let (mut progress, mark) = build::progress(cx, &image, status).await;
    let watch = watch.filter(|watch| watch.mark == mark).unwrap_or(Watch { mark, since: cx.now() });
    let still = cx.now().since(watch.since);
    if let Some(limit) = inputs.bake.progress_timeout.filter(|limit| still > limit.as_duration()) {
        return Err(StageError::Rejected(format!(
            "image build {image} shows no progress for {} s ({}); bake.progress_timeout is {limit}",
            still.as_secs(),
            progress.summary
        )));
    }
    if let Some(address) = log::address(&image, found.name.as_deref()) {
        progress.summary = format!("{}\nlog: {address}", progress.summary);
    }
    Ok(Step::Wait {
        state: Bake::Building { image, watch: Some(watch), retries },
        again_in: BUILD_EVERY,
        progress,
    })
}

fn ended(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    found: &aws_sdk_imagebuilder::types::Image,
    build: &judge::Build,
    watch: Option<Watch>,
    retries: u8,
) -> Result<Step<Bake>, StageError> {
    if judge::failed_in_distribution(build) {
        let just_retried = retries > 0
            && watch.is_some_and(|watch| watch.mark == 0 && cx.now().since(watch.since) < judge::RETRY_SEEN);
        if just_retried {
            return Err(StageError::NotYet(format!(
                "image build {image} was run on and is still seen as failed"
            )));
        }
        if retries < judge::RETRIES {
            return Ok(Step::Next(Bake::Retrying { image, retries }));
        }
    }
    // Another release that shared the build gave up; this one has not.
    if inputs.of.is_shared() && build.status == "CANCELLED" {
        // A container recipe does not tell what its parent image meant.
        if found.container_recipe.is_some() {
            return Ok(Step::Next(Bake::Resolving));
        }
        let parent = found.image_recipe.as_ref().and_then(|recipe| recipe.parent_image.clone());
        if let Some(parent) = parent {
            return Ok(Step::Next(Bake::Starting { parent }));
        }
    }
    let log = log::address(&image, found.name.as_deref());
    let log = log.map(|address| format!("; log: {address}")).unwrap_or_default();
    Err(StageError::Rejected(format!("{}{log}", judge::failure_summary(&image, build))))
}

/// The call's token is its own for every try, so a repeated one runs the build on once.
pub async fn retrying(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    retries: u8,
) -> Result<Step<Bake>, StageError> {
    let build = build::read(&build::get(cx, &image).await?, &inputs.account);
    // No mark of a build is zero but by chance: it says that what is seen now may be what was.
    let watch = Some(Watch { mark: 0, since: cx.now() });
    if judge::stand(&build.status) != Stand::Ended {
        // The look that showed a failure was an old one, or the answer to the call was lost.
        return Ok(Step::Next(Bake::Building { image, watch, retries: retries.max(1) }));
    }
    let tries = retries.saturating_add(1);
    build::retry(cx, &image, tries).await?;
    Ok(Step::Next(Bake::Building { image, watch, retries: tries }))
}

/// Holds the images against the gates.
pub async fn inspecting(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    since: Timestamp,
) -> Result<Step<Bake>, StageError> {
    let found = build::get(cx, &image).await?;
    let gates = &inputs.bake.gates;
    match available(inputs, cx, &build::read(&found, &inputs.account), &image)? {
        Product::Machine(copies) => {
            let shapes = inspect::shapes(cx, &copies).await?;
            for (copy, shape) in &shapes {
                gate::facts(gates.image.as_ref(), copy, shape).map_err(StageError::Rejected)?;
            }
            gate::alike(&shapes).map_err(StageError::Rejected)?;
        }
        Product::Container { .. } if gates.image.is_some() || inputs.bake.content_digest != ContentDigest::None => {
            return Err(StageError::Rejected(format!(
                "image build {image} came to a container image, and bake.gates.image or bake.content_digest asks for what only \
                 a machine image has"
            )));
        }
        Product::Container { .. } => {}
    }
    let Some(scan) = &gates.scan else { return Ok(Step::Next(reading(image))) };
    match gate::scan_stand(inspect::scan_status(&found)) {
        ScanStand::Completed => {
            if scan.reports_to_security_hub() {
                return Ok(Step::Next(Bake::ReportingFindings { image, since, done: 0 }));
            }
            let findings = inspect::findings(cx, &image).await?;
            counted(scan, &findings, cx, image)
        }
        ScanStand::Never(why) => Err(StageError::Rejected(format!(
            "image build {image} has no completed vulnerability scan: {why}; an image that was not scanned is not \
             one without findings"
        ))),
        ScanStand::Going(status) if cx.now().since(since) > scan.timeout.as_duration() => {
            Err(StageError::Rejected(format!(
                "the vulnerability scan of image build {image} is {status} {} after the image was available",
                scan.timeout
            )))
        }
        ScanStand::Going(status) => {
            let progress = Progress {
                percent: 97,
                summary: format!("vulnerability scan: {status}"),
                external_id: Some(image.clone()),
            };
            Ok(Step::Wait { state: Bake::Inspecting { image, since }, again_in: BUILD_EVERY, progress })
        }
    }
}

/// Holds the findings of a completed scan against the gate.
pub fn counted(scan: &Scan, findings: &[Finding], cx: &Cx, image: String) -> Result<Step<Bake>, StageError> {
    gate::findings(scan, findings, cx.now().date_time().date())
        .map_err(|why| StageError::Rejected(format!("the scan of image build {image} found {why}")))?;
    Ok(Step::Next(reading(image)))
}

/// The rest after the gates.
pub fn reading(image: String) -> Bake {
    Bake::Reading { image, copy: 0, position: None, content: None }
}

pub async fn confirming(inputs: &Inputs, cx: &Cx, image: String, seen: u8) -> Result<Step<Bake>, StageError> {
    let product = reread(inputs, cx, &image).await?;
    let (seen, summary) = match product.look(cx).await? {
        Look::Available if seen + 1 >= judge::LOOKS => {
            return Ok(Step::Next(Bake::Inspecting { image, since: cx.now() }));
        }
        Look::Available => (seen + 1, format!("images available, look {} of {}", seen + 1, judge::LOOKS)),
        Look::NotYet(why) => (0, why),
        Look::Broken(why) => return Err(StageError::Rejected(why)),
    };
    let progress = Progress { percent: 97, summary, external_id: Some(image.clone()) };
    Ok(Step::Wait { state: Bake::Confirming { image, seen }, again_in: LOOK_EVERY, progress })
}

pub async fn tagging(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    done: u16,
    content: Option<Sha256>,
) -> Result<Step<Bake>, StageError> {
    // What is in a registry has no tags of that kind: it is found by the digest in its statement.
    let own = match reread(inputs, cx, &image).await? {
        Product::Machine(copies) => copies.own,
        Product::Container { .. } => Vec::new(),
    };
    let Some(copy) = own.get(usize::from(done)) else {
        return Ok(Step::Next(Bake::Publishing { image, content }));
    };
    copies::tag(cx, copy, &inputs.source.spec.service, inputs.of.is_shared()).await?;
    Ok(Step::Next(Bake::Tagging { image, done: done.saturating_add(1), content }))
}

pub async fn publishing(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    content: Option<Sha256>,
) -> Result<Step<Bake>, StageError> {
    let Some(name) = inputs.bake.parameter() else {
        return Ok(Step::Next(Bake::Sealing { image, content }));
    };
    let here = reread(inputs, cx, &image).await?.candidate(cx, name).await?;
    if parameter::value(cx, name).await?.as_ref() == Some(&here.value) {
        return Ok(Step::Next(Bake::Sealing { image, content }));
    }
    parameter::put(cx, name, &here).await?;
    Ok(Step::Next(Bake::Validating { image, since: cx.now(), content }))
}

pub async fn validating(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    since: Timestamp,
    content: Option<Sha256>,
) -> Result<Step<Bake>, StageError> {
    let Some(name) = inputs.bake.parameter() else {
        return Ok(Step::Next(Bake::Sealing { image, content }));
    };
    let here = reread(inputs, cx, &image).await?.candidate(cx, name).await?;
    let value = parameter::value(cx, name).await?;
    if value.as_ref() == Some(&here.value) {
        return Ok(Step::Next(Bake::Sealing { image, content }));
    }
    if cx.now().since(since) > judge::VALIDATION {
        return Err(StageError::Rejected(format!(
            "SSM parameter {name} was not set to {} within {} s; it holds {}: SSM refuses an image that the caller \
             may not describe, and says so in an event only",
            here.value,
            judge::VALIDATION.as_secs(),
            value.as_deref().unwrap_or("nothing")
        )));
    }
    let progress =
        Progress { percent: 98, summary: format!("SSM validates {name}"), external_id: Some(image.clone()) };
    Ok(Step::Wait { state: Bake::Validating { image, since, content }, again_in: LOOK_EVERY, progress })
}

pub async fn sealing(
    inputs: &Inputs,
    cx: &Cx,
    image: &str,
    content: Option<Sha256>,
) -> Result<Step<Bake>, StageError> {
    let built = build::get(cx, image).await?;
    let product = available(inputs, cx, &build::read(&built, &inputs.account), image)?;
    let said = said(inputs, cx, &product, image, content).await?;
    let digest = Sha256::from_bytes(*inputs.source.archive.digest().await?.as_bytes());
    let artifact = input(&cx.job.inputs)?;
    let source = SourceArtifact { name: artifact.name.clone(), uri: artifact.location.to_string(), digest };
    let mut files = inputs.source.files.clone();
    if let Some(scan) = &inputs.bake.gates.scan {
        let found = inspect::findings(cx, image).await?;
        files.insert(sarif::PATH.to_owned(), sarif::report(scan, &found, image, cx.now().date_time().date()));
    }
    let run = run(inputs, image, built);
    let reused = run.reused;
    let statement = provenance::provenance(&run, &source, product.foreign());
    let service = inputs.source.spec.service.clone();
    let artifact = ReleaseFiles { service, files, statements: Files::new(), source: Some(digest) };
    let valid_for = inputs.source.spec.evidence.valid_for.as_duration();
    let sealed = hand_over_about(cx, Stage::Bake, said.subjects, &statement, artifact, valid_for).await?;
    let mut variables = said.variables;
    variables.insert("StatementDigest".into(), sealed.to_string());
    Ok(Step::Done(Outcome::Succeeded {
        summary: format!("{} {}", if reused { "reused" } else { "baked" }, product.names()),
        external_id: Some(image.to_owned()),
        variables,
    }))
}

/// What Image Builder says went into the build.
fn run(inputs: &Inputs, build: &str, image: aws_sdk_imagebuilder::types::Image) -> Run {
    let recipe = recipe_of(image.image_recipe, image.container_recipe);
    let created = image.date_created;
    Run {
        build: build.to_owned(),
        of: inputs.of.clone(),
        service: inputs.source.spec.service.clone(),
        recipe,
        infrastructure: image.infrastructure_configuration.and_then(|configuration| configuration.arn),
        distribution: image.distribution_configuration.and_then(|configuration| configuration.arn),
        reused: is_older(inputs, created.as_deref()),
        created,
    }
}

fn recipe_of(machine: Option<wire::ImageRecipe>, container: Option<wire::ContainerRecipe>) -> Recipe {
    let arns = |all: Option<Vec<wire::ComponentConfiguration>>| {
        all.unwrap_or_default().into_iter().map(|component| component.component_arn).collect()
    };
    if let Some(recipe) = machine {
        return Recipe {
            arn: recipe.arn,
            parent_image: recipe.parent_image,
            parent_digest: None,
            components: arns(recipe.components),
        };
    }
    container.map_or_else(Recipe::default, |recipe| Recipe {
        arn: recipe.arn,
        parent_image: recipe.parent_image,
        parent_digest: recipe.tags.and_then(|mut tags| tags.remove(tag::PARENT_DIGEST)),
        components: arns(recipe.components),
    })
}

/// What is said of what came out: the subjects of the statement, and the action's output variables.
struct Said {
    subjects: Vec<ResourceDescriptor>,
    variables: BTreeMap<String, String>,
}

async fn said(
    inputs: &Inputs,
    cx: &Cx,
    product: &Product,
    build: &str,
    content: Option<Sha256>,
) -> Result<Said, StageError> {
    let here = cx.aws.region();
    match product {
        Product::Machine(copies) => {
            let identities = copies::identities(cx, copies).await?;
            let bound = contents::bound(inputs.bake.content_digest, copies, here, content);
            let subjects =
                identities.iter().zip(bound).map(|(identity, bound)| identity.subject_binding(bound));
            Ok(Said { subjects: subjects.collect(), variables: variables(copies, here, build) })
        }
        Product::Container { places, own_tag } => {
            let identities = registry::identities(cx, places, own_tag).await?;
            let subjects = ContainerIdentity::subjects(&identities);
            Ok(Said { subjects, variables: container_variables(&identities, here, build) })
        }
    }
}

/// The action's output variables about a machine image.
pub fn variables(copies: &Copies, region: &str, build: &str) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> =
        copies.own.iter().map(|copy| (format!("ImageId-{}", copy.region), copy.id.clone())).collect();
    if let Some(here) = copies.in_region(region) {
        variables.insert("ImageId".into(), here.id.clone());
        variables.insert("ImageRegion".into(), here.region.clone());
    }
    variables.insert("ImageBuildArn".into(), build.to_owned());
    variables
}

/// The action's output variables about a container image: what it is pulled by.
pub fn container_variables(
    containers: &[ContainerIdentity],
    region: &str,
    build: &str,
) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> =
        containers.iter().map(|one| (format!("ImageUri-{}", one.region), one.reference())).collect();
    if let Some(here) = containers.iter().find(|one| one.region == region) {
        variables.insert("ImageUri".into(), here.reference());
        variables.insert("ImageDigest".into(), format!("sha256:{}", here.digest));
        variables.insert("ImageRegion".into(), here.region.clone());
    }
    variables.insert("ImageBuildArn".into(), build.to_owned());
    variables
}

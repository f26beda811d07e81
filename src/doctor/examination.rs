//! One run of doctor: reads every resource and checks it, in the order of the report.

use std::collections::BTreeSet;

use super::observed::{Pipeline, ReadError};
use super::{Finding, Status, checks, read};
use crate::aws::{Aws, EnvironmentError, Environments};
use crate::engine::error::with_causes;
use crate::engine::{FailureKind, StageError, Timestamp};
use crate::evidence::{KeySource, SignError, Stage, TrustRoot};
use crate::spec::{Bake, Promote, ReleaseSpec, Test};
use crate::stage::aws_view::metric_data;
use crate::stage::cleanup;
use crate::stage::handover::SPEC_FILE;
use crate::stage::promote::settings::Settings;
use crate::stage::promote::target::auto_scaling_group::preflight;

/// Input of a run of doctor. What is none is not checked; for the key and the trust root a finding says so.
#[derive(Debug)]
pub struct Examination {
    pub aws: Aws,
    pub now: Timestamp,
    /// The pipeline's name.
    pub pipeline: String,
    /// The release spec, and its path with `/` between folders.
    pub spec: Option<(ReleaseSpec, String)>,
    pub signing_key: Option<KeySource>,
    pub trust: Option<TrustRoot>,
    /// The environments that releases may name.
    pub environments: Environments,
    /// The bucket of the worker's journal.
    pub journal: Option<String>,
}

impl Examination {
    /// Reads and checks everything.
    pub async fn run(&self) -> Vec<Finding> {
        let aws = &self.aws;
        let caller = read::caller(aws).await;
        let observed = read::pipeline(aws, &self.pipeline).await;
        let pipeline = observed.as_ref().ok().and_then(Option::as_ref);
        let arn = pipeline.and_then(|pipeline| pipeline.arn.as_deref());
        let mut findings = vec![checks::caller(&caller, arn)];
        findings.extend(checks::pipeline(&self.pipeline, &observed, aws.region()));
        let stages = match pipeline.map(checks::stages) {
            Some(stages) if !stages.is_empty() => stages,
            // A pipeline that cannot be read may have all stages.
            _ => BTreeSet::from(Stage::ALL),
        };
        let types = read::action_types(aws).await;
        findings.extend(stages.iter().map(|stage| checks::action_type(*stage, &types)));
        if let Some(pipeline) = pipeline {
            self.stores(pipeline, &mut findings).await;
        }
        self.signing(&stages, &mut findings).await;
        if let Some(bucket) = &self.journal {
            let found = read::bucket(aws, bucket).await;
            findings.push(checks::bucket("journal_bucket_exists", bucket, &found, aws.region()));
        }
        if let Some((spec, file)) = &self.spec {
            findings.extend(pipeline.and_then(|pipeline| checks::spec_path(pipeline, file, SPEC_FILE)));
            self.release(spec, &mut findings).await;
        }
        findings
    }

    async fn stores(&self, pipeline: &Pipeline, findings: &mut Vec<Finding>) {
        let here = self.aws.region();
        for store in &pipeline.stores {
            let region = store.region.as_deref().unwrap_or(here);
            let found = read::bucket(&self.aws, &store.bucket).await;
            findings.push(checks::bucket("artifact_bucket_exists", &store.bucket, &found, region));
            // The clients are of one region.
            if let Some(key) = store.key.as_deref().filter(|_| region == here) {
                let found = read::key(&self.aws, key).await;
                findings.push(checks::key("artifact_key_can_be_used", key, &found, "ENCRYPT_DECRYPT"));
            }
        }
    }

    async fn signing(&self, stages: &BTreeSet<Stage>, findings: &mut Vec<Finding>) {
        const CHECK: &str = "signing_key_can_be_used";
        let Some(source) = &self.signing_key else {
            findings.push(not_given(CHECK, "--signing-key"));
            return;
        };
        if let KeySource::Kms(key) = source {
            let finding = checks::key(CHECK, key, &read::key(&self.aws, key).await, "SIGN_VERIFY");
            let usable = finding.status == Status::Ok;
            findings.push(finding);
            if !usable {
                return;
            }
        }
        let name = source.to_string();
        findings.push(match source.open(&self.aws.kms, &self.aws.secretsmanager).await {
            Ok(signer) => match &self.trust {
                Some(trust) => checks::key_is_trusted(&name, signer.public_key(), trust, stages, self.now),
                None => not_given("signing_key_is_trusted", "--trust"),
            },
            Err(error) => checks::unread(CHECK, &name, &signer_error(error)),
        });
    }

    async fn release(&self, spec: &ReleaseSpec, findings: &mut Vec<Finding>) {
        if let Some(bake) = &spec.bake {
            self.bake(bake, findings).await;
        }
        if let Some(test) = &spec.test {
            self.test(test, findings).await;
        }
        if let Some(promote) = &spec.promote {
            self.promote(promote, findings).await;
        }
        if let Some(cleanup) = &spec.cleanup
            && let Some(aws) = &self.acting(Stage::Cleanup, cleanup.environment.as_deref(), findings).await
        {
            let images = cleanup::images(aws, &spec.service).await;
            let images = images.map(|images| images.len()).map_err(ReadError::from);
            findings.push(checks::images(&spec.service, &images));
        }
    }

    async fn bake(&self, bake: &Bake, findings: &mut Vec<Finding>) {
        let acting = self.acting(Stage::Bake, bake.environment.as_deref(), findings).await;
        let Some(aws) = &acting else { return };
        if let Some(arn) = bake.image_pipeline() {
            let observed = read::image_pipeline(aws, arn).await;
            findings.push(checks::image_pipeline(arn, &observed, aws.region()));
        }
        if let Some(name) = bake.parameter() {
            let needed = if bake.container_recipe.is_some() { "text" } else { "aws:ec2:image" };
            findings.push(checks::parameter(name, &read::parameter(aws, name).await, needed));
        }
        if let Some(container) = &bake.container_recipe {
            let name = &container.repository;
            findings.push(checks::repository(name, &read::repository(aws, name).await));
        }
    }

    async fn test(&self, test: &Test, findings: &mut Vec<Finding>) {
        let acting = self.acting(Stage::Test, test.environment.as_deref(), findings).await;
        let Some(aws) = &acting else { return };
        if let Some(instance) = &test.instance {
            for subnet in &instance.subnets {
                let network = read::network(aws, subnet, &instance.security_groups).await;
                findings.push(checks::network(subnet, &instance.security_groups, &network));
            }
            let name = &instance.instance_type;
            findings.push(checks::instance_type(name, &read::instance_type(aws, name).await));
        }
        if let Some(task) = &test.task {
            findings.push(checks::cluster(&task.cluster, &read::cluster(aws, &task.cluster).await));
            for subnet in &task.subnets {
                let network = read::network(aws, subnet, &task.security_groups).await;
                findings.push(checks::network(subnet, &task.security_groups, &network));
            }
        }
    }

    async fn promote(&self, promote: &Promote, findings: &mut Vec<Finding>) {
        // A kind of target that is not supported yet is refused with the spec.
        let Ok(settings) = Settings::of(promote) else { return };
        let acting = self.acting(Stage::Promote, promote.environment.as_deref(), findings).await;
        // The groups of a wave in another environment are checked when the promotion acts there.
        for wave in promote.waves.iter().filter(|wave| wave.environment.is_some()) {
            self.acting(Stage::Promote, wave.environment.as_deref(), findings).await;
        }
        let Some(aws) = &acting else { return };
        let checks = preflight::examine(aws, &settings, self.now).await.map_err(ReadError::from);
        findings.extend(checks::promotion(&settings.group, &checks));
        let since = Timestamp(self.now.0.saturating_sub(i64::from(settings.hold)));
        for metric in &settings.limits {
            let samples = metric_data::read(aws, metric, since, self.now).await.map(|read| read.samples);
            let samples = samples.map_err(ReadError::from);
            findings.push(checks::metric(&metric.name, &samples, metric.min_datapoints));
        }
    }

    /// The clients that a stage would use. None, and a finding, if the role of its environment cannot be assumed.
    async fn acting(
        &self,
        stage: Stage,
        environment: Option<&str>,
        findings: &mut Vec<Finding>,
    ) -> Option<Aws> {
        let Some(name) = environment else { return Some(self.aws.clone()) };
        let action = (self.pipeline.as_str(), stage);
        let acting = self.environments.clients(&self.aws, name, action, "bakeline-doctor", self.now.0).await;
        let acting = match acting {
            Ok(acting) => {
                let caller = read::caller(&acting).await;
                findings.push(checks::environment(name, &caller));
                return Some(acting);
            }
            Err(EnvironmentError::Assume(error)) => Err(ReadError::from(error)),
            Err(other) => Err(ReadError::Refused(other.to_string())),
        };
        findings.push(checks::environment(name, &acting));
        None
    }
}

fn not_given(check: &'static str, option: &str) -> Finding {
    Finding::warning(check, option, "not checked").hint(format!("give the worker's {option}"))
}

fn signer_error(error: SignError) -> ReadError {
    let error = StageError::from(error);
    let said = with_causes(&error);
    match error.failure_kind() {
        FailureKind::PermissionError => ReadError::Denied(said),
        FailureKind::SystemUnavailable => ReadError::NoAnswer(said),
        FailureKind::JobFailed
        | FailureKind::TimedOut
        | FailureKind::ConfigurationError
        | FailureKind::RevisionOutOfSync
        | FailureKind::RevisionUnavailable => ReadError::Refused(said),
    }
}

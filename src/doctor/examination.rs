//! One examination: everything that is looked at, in the order in which it is told.

use std::collections::BTreeSet;

use super::observed::{Pipeline, Trouble};
use super::{Finding, Verdict, judge, look};
use crate::aws::{Aws, EnvironmentError, Environments};
use crate::engine::error::with_causes;
use crate::engine::{FailureKind, StageError, Timestamp};
use crate::evidence::{KeySource, SignError, Stage, TrustRoot};
use crate::spec::ReleaseSpec;
use crate::stage::handover::SPEC_FILE;
use crate::stage::{canary, cleanup};

/// What is to be examined. What is not given is not looked at, and a finding says so.
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
    /// The roles that releases may name.
    pub environments: Environments,
    /// The bucket of the worker's journal.
    pub journal: Option<String>,
}

impl Examination {
    /// Looks at everything.
    pub async fn run(&self) -> Vec<Finding> {
        let aws = &self.aws;
        let caller = look::caller(aws).await;
        let seen = look::pipeline(aws, &self.pipeline).await;
        let pipeline = seen.as_ref().ok().and_then(Option::as_ref);
        let arn = pipeline.and_then(|pipeline| pipeline.arn.as_deref());
        let mut findings = vec![judge::caller(&caller, arn)];
        findings.extend(judge::pipeline(&self.pipeline, &seen, aws.region()));
        let stages = match pipeline.map(judge::stages) {
            Some(stages) if !stages.is_empty() => stages,
            // Of a pipeline that cannot be seen, all four.
            _ => BTreeSet::from(Stage::ALL),
        };
        let types = look::action_types(aws).await;
        findings.extend(stages.iter().map(|stage| judge::action_type(*stage, &types)));
        if let Some(pipeline) = pipeline {
            self.stores(pipeline, &mut findings).await;
        }
        self.signing(&stages, &mut findings).await;
        if let Some(bucket) = &self.journal {
            let found = look::bucket(aws, bucket).await;
            findings.push(judge::bucket("journal_bucket_exists", bucket, &found, aws.region()));
        }
        if let Some((spec, file)) = &self.spec {
            findings.extend(pipeline.and_then(|pipeline| judge::spec_path(pipeline, file, SPEC_FILE)));
            self.release(spec, &mut findings).await;
        }
        findings
    }

    async fn stores(&self, pipeline: &Pipeline, findings: &mut Vec<Finding>) {
        let here = self.aws.region();
        for store in &pipeline.stores {
            let region = store.region.as_deref().unwrap_or(here);
            let found = look::bucket(&self.aws, &store.bucket).await;
            findings.push(judge::bucket("artifact_bucket_exists", &store.bucket, &found, region));
            // The clients ask in one region only.
            if let Some(key) = store.key.as_deref().filter(|_| region == here) {
                let found = look::key(&self.aws, key).await;
                findings.push(judge::key("artifact_key_can_be_used", key, &found, "ENCRYPT_DECRYPT"));
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
            let finding = judge::key(CHECK, key, &look::key(&self.aws, key).await, "SIGN_VERIFY");
            let usable = finding.verdict == Verdict::Fit;
            findings.push(finding);
            if !usable {
                return;
            }
        }
        let name = source.to_string();
        findings.push(match source.open(&self.aws.kms, &self.aws.secretsmanager).await {
            Ok(signer) => match &self.trust {
                Some(trust) => judge::believed(&name, signer.public_key(), trust, stages, self.now),
                None => not_given("signing_key_is_believed", "--trust"),
            },
            Err(error) => judge::unseen(CHECK, &name, &of_signer(error)),
        });
    }

    async fn release(&self, spec: &ReleaseSpec, findings: &mut Vec<Finding>) {
        let (now, targets) = (self.now, &spec.targets);
        if let Some(bake) = &spec.bake
            && let Some(aws) = &self.acting(Stage::Bake, targets.bake.as_deref(), findings).await
        {
            if let Some(arn) = &bake.image_pipeline {
                findings.push(judge::image_pipeline(
                    arn,
                    &look::image_pipeline(aws, arn).await,
                    aws.region(),
                ));
            }
            if let Some(name) = &bake.parameter {
                let needed = if bake.container.is_some() { "text" } else { "aws:ec2:image" };
                findings.push(judge::parameter(name, &look::parameter(aws, name).await, needed));
            }
            if let Some(container) = &bake.container {
                let name = &container.repository;
                findings.push(judge::repository(name, &look::repository(aws, name).await));
            }
        }
        if let Some(test) = &spec.test
            && let Some(aws) = &self.acting(Stage::Test, targets.test.as_deref(), findings).await
        {
            if let Some(instance) = test.instance() {
                let network = look::network(aws, instance.subnet, instance.security_groups).await;
                findings.push(judge::network(instance.subnet, instance.security_groups, &network));
                let name = instance.kind;
                findings.push(judge::instance_type(name, &look::instance_type(aws, name).await));
            }
            if let Some(task) = &test.task {
                findings.push(judge::cluster(&task.cluster, &look::cluster(aws, &task.cluster).await));
                for subnet in &task.subnets {
                    let network = look::network(aws, subnet, &task.security_groups).await;
                    findings.push(judge::network(subnet, &task.security_groups, &network));
                }
            }
        }
        if let Some(promote) = &spec.promote
            && let Some(aws) = &self.acting(Stage::Promote, targets.promote.as_deref(), findings).await
        {
            let checks = canary::examine::examine(aws, promote, now).await.map_err(Trouble::from);
            findings.extend(judge::fleet(&promote.group, &checks));
            for metric in &promote.metrics {
                let hold = promote.hold.as_duration();
                let samples = canary::examine::datapoints(aws, metric, hold, now).await;
                let samples = samples.map_err(Trouble::from);
                findings.push(judge::metric(&metric.name, &samples, metric.min_datapoints));
            }
        }
        if spec.cleanup.is_some()
            && let Some(aws) = &self.acting(Stage::Cleanup, targets.cleanup.as_deref(), findings).await
        {
            let images = cleanup::images(aws, &spec.service).await;
            let images = images.map(|images| images.len()).map_err(Trouble::from);
            findings.push(judge::images(&spec.service, &images));
        }
    }

    /// The clients a stage would act with; none, and a finding, if its target cannot be acted in.
    async fn acting(&self, stage: Stage, target: Option<&str>, findings: &mut Vec<Finding>) -> Option<Aws> {
        let Some(alias) = target else { return Some(self.aws.clone()) };
        let session = "bakeline-doctor";
        let acting = self.environments.clients(&self.aws, alias, (&self.pipeline, stage), session, self.now.0).await;
        let acting = match acting {
            Ok(acting) => {
                let caller = look::caller(&acting).await;
                findings.push(judge::target(alias, &caller));
                return Some(acting);
            }
            Err(EnvironmentError::Assume(error)) => Err(Trouble::from(error)),
            Err(other) => Err(Trouble::Refused(other.to_string())),
        };
        findings.push(judge::target(alias, &acting));
        None
    }
}

fn not_given(check: &'static str, option: &str) -> Finding {
    Finding::doubtful(check, option, "not looked at").hint(format!("give the worker's {option}"))
}

fn of_signer(error: SignError) -> Trouble {
    let error = StageError::from(error);
    let said = with_causes(&error);
    match error.failure_kind() {
        FailureKind::PermissionError => Trouble::Denied(said),
        FailureKind::SystemUnavailable => Trouble::Unanswered(said),
        FailureKind::JobFailed
        | FailureKind::ConfigurationError
        | FailureKind::RevisionOutOfSync
        | FailureKind::RevisionUnavailable => Trouble::Refused(said),
    }
}

//! The state of the embedded AWS, and how it advances through virtual time.

use super::call::{Answer, ApiError, Call};
use super::external_events;
use super::ids::Ids;
use super::schedule::Schedule;
use super::services::{
    autoscaling, cloudwatch, codepipeline, ebs, ec2, ecr, ecs, elbv2, imagebuilder, kms, lambda, s3,
    secretsmanager, securityhub, ssm, sts,
};
use super::shared::Shared;
use super::time::Time;

/// The state of every service. A clone is an independent AWS; clones share a service's state until one of them
/// changes it.
#[derive(Clone, Debug)]
pub struct World {
    /// The time of the current call or event.
    pub now: Time,
    pub schedule: Schedule<Event>,
    /// External events that have happened so far.
    pub past_events: Vec<external_events::PastEvent>,
    pub ids: Ids,
    pub autoscaling: Shared<autoscaling::State>,
    pub cloudwatch: Shared<cloudwatch::State>,
    pub codepipeline: Shared<codepipeline::State>,
    pub ec2: Shared<ec2::State>,
    pub ecr: Shared<ecr::State>,
    pub ecs: Shared<ecs::State>,
    pub elbv2: Shared<elbv2::State>,
    pub imagebuilder: Shared<imagebuilder::State>,
    pub kms: Shared<kms::State>,
    pub lambda: Shared<lambda::State>,
    pub s3: Shared<s3::State>,
    pub secretsmanager: Shared<secretsmanager::State>,
    pub securityhub: Shared<securityhub::State>,
    pub ssm: Shared<ssm::State>,
    pub sts: Shared<sts::State>,
}

/// A scheduled event of one service.
#[derive(Clone, Debug)]
pub enum Event {
    AutoScaling(autoscaling::Event),
    CloudWatch(cloudwatch::Event),
    CodePipeline(codepipeline::Event),
    Ec2(ec2::Event),
    Ecs(ecs::Event),
    Elbv2(elbv2::Event),
    ImageBuilder(imagebuilder::Event),
    Ssm(ssm::Event),
    External(external_events::Event),
}

impl World {
    #[must_use]
    pub fn new(now: Time, seed: u64) -> Self {
        Self {
            now,
            schedule: Schedule::default(),
            past_events: Vec::new(),
            ids: Ids::new(seed),
            autoscaling: Shared::default(),
            cloudwatch: Shared::default(),
            codepipeline: Shared::default(),
            ec2: Shared::default(),
            ecr: Shared::default(),
            ecs: Shared::default(),
            elbv2: Shared::default(),
            imagebuilder: Shared::default(),
            kms: Shared::default(),
            lambda: Shared::default(),
            s3: Shared::default(),
            secretsmanager: Shared::default(),
            securityhub: Shared::default(),
            ssm: Shared::default(),
            sts: Shared::default(),
        }
    }

    /// Applies every event that is due up to `now`, in order.
    pub fn advance(&mut self, now: Time) {
        while let Some((at, event)) = self.schedule.due(now) {
            self.now = at;
            match event {
                Event::AutoScaling(e) => autoscaling::on_event(self, at, e),
                Event::CloudWatch(e) => cloudwatch::on_event(self, at, e),
                Event::CodePipeline(e) => codepipeline::on_event(self, at, e),
                Event::Ec2(e) => ec2::on_event(self, at, e),
                Event::Ecs(e) => ecs::on_event(self, at, e),
                Event::Elbv2(e) => elbv2::on_event(self, at, e),
                Event::ImageBuilder(e) => imagebuilder::on_event(self, at, e),
                Event::Ssm(e) => ssm::on_event(self, at, e),
                Event::External(e) => external_events::on_event(self, at, e),
            }
        }
        self.now = self.now.max(now);
    }

    /// Handles one API call at `call.now`.
    ///
    /// # Errors
    /// The error that the service returns.
    pub fn call(&mut self, call: &Call) -> Answer {
        self.advance(call.now);
        match call.service {
            "autoscaling" => autoscaling::call(self, call),
            "cloudwatch" => cloudwatch::call(self, call),
            "codepipeline" => codepipeline::call(self, call),
            "ebs" => ebs::call(self, call),
            "ec2" => ec2::call(self, call),
            "ecr" => ecr::call(self, call),
            "ecs" => ecs::call(self, call),
            "elbv2" => elbv2::call(self, call),
            "imagebuilder" => imagebuilder::call(self, call),
            "kms" => kms::call(self, call),
            "lambda" => lambda::call(self, call),
            "secretsmanager" => secretsmanager::call(self, call),
            "securityhub" => securityhub::call(self, call),
            "ssm" => ssm::call(self, call),
            "sts" => sts::call(self, call),
            other => Err(ApiError::new("UnknownService", other)),
        }
    }
}

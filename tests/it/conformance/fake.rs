//! A small deployment target: an SSM parameter whose value is the image that serves. It has one hold and no sides.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ssm::types::ParameterType;
use bakeline::aws::AwsError;
use bakeline::engine::{Progress, StageError, Timestamp};
use bakeline::evidence::predicate::{Target, Units};
use bakeline::stage::Cx;
use bakeline::stage::promote::Inputs;
use bakeline::stage::promote::analysis::guards::Guards;
use bakeline::stage::promote::analysis::input::Sides;
use bakeline::stage::promote::check::Check;
use bakeline::stage::promote::log::Phase;
use bakeline::stage::promote::target::{
    Abandon, Advance, Begin, DeploymentTarget, Description, Due, Hold, ReadBack, Rollback, Version,
};
use serde::{Deserialize, Serialize};

/// The parameter.
pub const NAME: &str = "/live/image";
/// Seconds that the new image serves before it is judged.
const HOLD: u64 = 180;

/// A deployment to the parameter, between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Parameter {
    /// The parameter may have the new image already.
    Setting { old: String },
    /// The parameter has the new image.
    Serving { old: String, new: String, since: Timestamp },
    /// The new image served long enough.
    Passed { old: String, new: String },
    /// The parameter may have the old image again.
    Resetting { old: String },
    /// The parameter has the old image, or one that someone else set.
    Reset { old: String },
}

async fn value(cx: &Cx) -> Result<String, StageError> {
    let answer = cx.aws.ssm.get_parameter().name(NAME).send().await;
    let answer = answer.map_err(|e| AwsError::new("ssm:GetParameter", NAME, e))?;
    Ok(answer.parameter.and_then(|parameter| parameter.value).unwrap_or_default())
}

async fn set(cx: &Cx, image: &str) -> Result<(), StageError> {
    let call = cx.aws.ssm.put_parameter().name(NAME).value(image).r#type(ParameterType::String);
    call.overwrite(true).send().await.map_err(|e| AwsError::new("ssm:PutParameter", NAME, e))?;
    Ok(())
}

impl DeploymentTarget for Parameter {
    type World = String;

    async fn observe(_: &Inputs, cx: &Cx) -> Result<String, StageError> {
        value(cx).await
    }

    fn preflight(_: &Inputs, live: &String) -> Result<Vec<Check>, StageError> {
        Ok(vec![Check::of_configuration(
            "parameter_has_an_image",
            live.starts_with("ami-"),
            live.clone(),
            "set it",
        )])
    }

    async fn begin(inputs: &Inputs, live: &String, _: &Cx) -> Result<Begin<Self>, StageError> {
        let (old, new) = (live.clone(), inputs.subject.to_string());
        Ok(if old == new {
            Begin::Unneeded(Self::Passed { old, new })
        } else {
            Begin::New(Self::Setting { old })
        })
    }

    async fn advance(self, inputs: &Inputs, _: Timestamp, cx: &Cx) -> Result<Advance<Self>, StageError> {
        let (live, new) = (value(cx).await?, inputs.subject.to_string());
        Ok(match self {
            Self::Setting { old } => {
                // The state is persisted before the first change and after it.
                if live == old {
                    set(cx, &new).await?;
                }
                let since = cx.now();
                Advance::Wait(Self::Serving { old, new, since }, Duration::from_secs(5), Progress::default())
            }
            Self::Serving { since, .. } if live == new => {
                let due = if cx.now().since(since).as_secs() < HOLD { Due::NotYet } else { Due::Ready };
                let (aws, alarms) = (cx.aws.clone(), inputs.settings.alarms.clone());
                let guards = Guards { aws, alarms, limits: Vec::new() };
                let (phase, percent, progress) = (Some(Phase::Soak), 100, (99, None));
                let (place, doing) = ("with the new image live".to_owned(), format!("{new} is live"));
                let (compare, not_ready, ended, poll) = (false, None, None, Duration::from_secs(15));
                let hold = Hold {
                    phase,
                    percent,
                    place,
                    doing,
                    since,
                    due,
                    guards,
                    compare,
                    not_ready,
                    ended,
                    poll,
                    progress,
                };
                Advance::Paused(self, Box::new(hold))
            }
            Self::Serving { .. } => Advance::Failed(self, format!("someone else set {NAME} to {live}")),
            done => Advance::Done(done),
        })
    }

    fn passed(self, _: &Inputs, _: Timestamp) -> Self {
        let Self::Serving { old, new, .. } = self else { return self };
        Self::Passed { old, new }
    }

    fn abandon(self) -> Abandon<Self> {
        match self {
            Self::Setting { old } | Self::Serving { old, .. } => Abandon::RollBack(Self::Resetting { old }),
            Self::Passed { .. } => Abandon::TooLate(self),
            back @ (Self::Resetting { .. } | Self::Reset { .. }) => Abandon::RollBack(back),
        }
    }

    async fn roll_back(self, inputs: Option<&Inputs>, cx: &Cx) -> Result<Rollback<Self>, StageError> {
        let Self::Resetting { old } = self else { return Ok(Rollback::Done(self, None)) };
        // Without inputs any other image is the new one; with them, one that someone else set stays.
        let live = value(cx).await?;
        if live != old && inputs.is_none_or(|inputs| inputs.subject.to_string() == live) {
            set(cx, &old).await?;
            return Ok(Rollback::Wait(Self::Resetting { old }, Duration::from_secs(5), Progress::default()));
        }
        Ok(Rollback::Done(Self::Reset { old }, None))
    }

    async fn read_back(
        &self,
        to: Version,
        _: Option<&Inputs>,
        cx: &Cx,
    ) -> Result<Option<ReadBack>, StageError> {
        let live = value(cx).await?;
        let is_right = match self {
            Self::Passed { new, .. } => to == Version::New && live == *new,
            Self::Setting { old }
            | Self::Serving { old, .. }
            | Self::Resetting { old }
            | Self::Reset { old } => live == *old,
        };
        let units = Units { total: 1, updated: u32::from(to == Version::New), healthy: 1 };
        let summary = format!("{NAME} is {live}");
        let not_ready = (!is_right).then(|| summary.clone());
        Ok(Some(ReadBack { units, not_ready, settled: false, summary }))
    }

    async fn metric_sides(&self, _: &Inputs, _: &Cx) -> Result<Option<Sides>, StageError> {
        Ok(None)
    }

    async fn describe(&self, inputs: &Inputs, _: bool, cx: &Cx) -> Result<Description, StageError> {
        Ok(Self::describe_refused(inputs, &value(cx).await?, cx))
    }

    fn describe_refused(_: &Inputs, live: &String, cx: &Cx) -> Description {
        let region = cx.aws.region().to_owned();
        let (kind, name) = ("parameter".to_owned(), NAME.to_owned());
        let target = Target { account: String::new(), region, kind, name, uri: None };
        let (reason, preflight, waves) = (format!("{NAME} is {live}"), Vec::new(), Vec::new());
        let variables = BTreeMap::new();
        Description { target, previous: None, change: None, units: None, waves, preflight, reason, variables }
    }
}

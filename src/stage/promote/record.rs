//! What a promotion says of itself when it is over.

use super::check::Check;
use super::judge::{self, Look};
use super::log::{Entry, Phase};
use super::preflight::all_ok;
use super::run::{End, Run};
use crate::engine::Timestamp;
use crate::evidence::ImageIdentity;
use crate::evidence::predicate::{
    AlarmState, Decision, Fleet, LaunchTemplate, Measurement, Preflight, Promotion, PromotionOutcome, Target,
    Verdict,
};
use crate::spec::{GroupPromotion, Limit};

/// Where the promotion report lies in the artifact.
pub const REPORT: &str = crate::evidence::layout::PROMOTE_REPORT;

/// What a record needs beside the run.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    pub promote: &'a GroupPromotion,
    /// The group that it ended on.
    pub group: &'a str,
    pub account: &'a str,
    pub region: &'a str,
    /// The image to promote.
    pub image: &'a str,
    /// The image that was replaced.
    pub previous: Option<&'a ImageIdentity>,
}

impl Surroundings<'_> {
    fn target(&self) -> Target {
        Target {
            account: self.account.to_owned(),
            region: self.region.to_owned(),
            kind: "auto_scaling_group".to_owned(),
            name: self.group.to_owned(),
        }
    }
}

/// The record of a promotion past its preflight.
#[must_use]
pub fn promotion(around: &Surroundings<'_>, run: &Run, end: &End) -> Promotion {
    let reason = match (&end.why, &run.refresh) {
        (Some(why), _) => why.text.clone(),
        (None, _) if !around.promote.waves.is_empty() => {
            format!(
                "every instance of {} groups in {} waves after the first runs the image",
                around.promote.groups(),
                around.promote.waves.len()
            )
        }
        (None, None) if !run.shares.is_empty() => {
            "the image serves everything, on instances that are each healthy".to_owned()
        }
        (None, Some(_)) => "every instance in service runs the image and is healthy".to_owned(),
        (None, None) => "every instance in service ran the image already and is healthy".to_owned(),
    };
    Promotion {
        outcome: end.outcome,
        reason,
        target: around.target(),
        previous: around.previous.cloned(),
        launch_template: Some(LaunchTemplate {
            id: run.plan.template.clone(),
            previous_version: Some(run.plan.from.to_string()),
            version: run.to.to_string(),
        }),
        instance_refresh_id: run.refresh.clone(),
        started_on: run.plan.began.date_time(),
        finished_on: end.at.date_time(),
        preflight: proved(around, run),
        trial: None,
        decisions: run.log.entries().iter().map(|entry| decision(around.promote, run, entry)).collect(),
        fleet: Some(end.fleet()),
        waves: Vec::new(),
    }
}

/// The record of a promotion that its preflight refused: nothing was changed.
#[must_use]
pub fn refusal(
    around: &Surroundings<'_>,
    checks: &[Check],
    reason: &str,
    fleet: Option<Fleet>,
    (began, now): (Timestamp, Timestamp),
) -> Promotion {
    Promotion {
        outcome: PromotionOutcome::Failed,
        reason: reason.to_owned(),
        target: around.target(),
        previous: around.previous.cloned(),
        launch_template: None,
        instance_refresh_id: None,
        started_on: began.date_time(),
        finished_on: now.date_time(),
        preflight: checks.iter().map(Preflight::from).collect(),
        trial: None,
        decisions: Vec::new(),
        fleet,
        waves: Vec::new(),
    }
}

/// What preflight proved, from what of it travelled: a run exists only when every check held.
fn proved(around: &Surroundings<'_>, run: &Run) -> Vec<Preflight> {
    let plan = &run.plan;
    let [desired, max] = plan.size;
    let held = |check: &str, observed: String| Preflight { check: check.to_owned(), holds: true, observed };
    let group = &around.promote.group;
    let serves = if plan.swapped { around.promote.alternate.as_ref().unwrap_or(group) } else { group };
    let of_strategy = match around.promote.alternate {
        Some(_) => [
            held("weights_are_on_one_group", format!("all on {serves}")),
            held("the_other_group_is_free", "it was empty".to_owned()),
        ],
        None => [
            held("every_instance_can_be_replaced", "none on standby, none protected".to_owned()),
            held("capacity_has_head_room", format!("{desired} desired, {max} at most")),
        ],
    };
    let mut checks = vec![
        held("group_exists", format!("{serves} with {desired} desired instances")),
        held("template_version_is_a_number", format!("version {} of {}", plan.from, plan.template)),
        held("template_image_is_an_ami", format!("version {} launches {}", plan.from, plan.old)),
        held("previous_image_is_available", format!("{} is available", plan.old)),
        held("new_image_is_available", format!("{} is available", around.image)),
        held("no_refresh_in_progress", "none".to_owned()),
        held("no_needed_process_suspended", "none".to_owned()),
    ];
    checks.extend(of_strategy);
    checks.extend([
        held("target_groups_are_in_use", "all".to_owned()),
        held("alarms_are_ok", all_ok(around.promote.alarms.len())),
    ]);
    if !around.promote.waves.is_empty() {
        let following = around.promote.groups() - 1;
        checks.push(held("groups_of_the_waves_are_fit", format!("{following} groups")));
    }
    checks
}

fn decision(promote: &GroupPromotion, run: &Run, entry: &Entry) -> Decision {
    // A wave may have alarms and metrics of its own.
    let of_wave = match entry.phase {
        Phase::Wave(index) => {
            promote.waves.get(usize::from(index)).map(|wave| promote.of(wave, &promote.group))
        }
        Phase::Before | Phase::At(_) | Phase::Bake => None,
    };
    let promote = of_wave.as_ref().unwrap_or(promote);
    let place = match entry.phase {
        Phase::Before => "before the first checkpoint".to_owned(),
        Phase::At(index) => {
            let percent = promote.steps.get(usize::from(index)).copied().unwrap_or(100);
            match entry.verdict {
                // A rollback may also come after the checkpoint was let on and before the next.
                Verdict::RollBack => format!("from the checkpoint of {percent} % on"),
                Verdict::Continue | Verdict::Wait => format!("at the checkpoint of {percent} %"),
            }
        }
        Phase::Bake => "with the whole fleet replaced".to_owned(),
        Phase::Wave(index) => format!("in wave {}", u16::from(index) + 1),
    };
    let reason = match &entry.numbers {
        Some(numbers) => {
            let look = Look { alarms: entry.alarms.clone(), numbers: numbers.clone() };
            judge::reason(&judge::find(promote, &look))
        }
        None => match entry.verdict {
            Verdict::Continue => {
                "every alarm was OK and every metric kept its bounds; the numbers were not kept".into()
            }
            Verdict::Wait | Verdict::RollBack => "the numbers were not kept".to_owned(),
        },
    };
    let alarms = promote.alarms.iter().zip(&entry.alarms);
    let numbers = entry.numbers.as_deref().unwrap_or_default();
    Decision {
        at: Timestamp(run.plan.began.0.saturating_add(i64::from(entry.after))).date_time(),
        wave: match entry.phase {
            Phase::Wave(index) => Some(index.saturating_add(1)),
            Phase::Before | Phase::At(_) | Phase::Bake => None,
        },
        percent: entry.percent,
        verdict: entry.verdict,
        reason: format!("{place}: {reason}"),
        alarms: alarms
            .map(|(name, state)| AlarmState { name: name.clone(), state: state.name().to_owned() })
            .collect(),
        measurements: promote
            .limits
            .iter()
            .zip(numbers)
            .flat_map(|(metric, number)| measurements(metric, number.value, number.samples))
            .collect(),
    }
}

/// One measurement for each bound of a metric.
fn measurements(metric: &Limit, value: Option<f64>, samples: u32) -> Vec<Measurement> {
    let statistic = match (&metric.cloudwatch.expression, metric.cloudwatch.queries().as_slice()) {
        (None, [query]) => query.statistic.clone(),
        (expression, _) => expression.clone().unwrap_or_default(),
    };
    let enough = samples >= metric.min_datapoints;
    let measure = |comparison: &str, limit: f64, keeps: bool| Measurement {
        name: metric.name.clone(),
        statistic: statistic.clone(),
        value,
        comparison: comparison.to_owned(),
        limit,
        samples: u64::from(samples),
        holds: enough && keeps,
    };
    let most =
        metric.max.map(|limit| measure("at_most", limit, value.is_some_and(|value| value <= limit)));
    let least =
        metric.min.map(|limit| measure("at_least", limit, value.is_some_and(|value| value >= limit)));
    most.into_iter().chain(least).collect()
}

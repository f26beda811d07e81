//! The waves after the first group: groups are begun one after another, polled a few at a time, and held together.

use serde::{Deserialize, Serialize};

use super::created_versions::{self, refresh_of};
use super::error::GroupError;
use super::preflight;
use super::progress::wrong_direction;
use super::rollout::Rollout;
use super::timing::Timing;
use super::wave_groups::{self, sum};
use super::wave_progress::{GroupProgress, WavePoll, WaveProgress, group_progress};
use super::wave_rollback::TakeBack;
use super::{discover, group_state, instance_refresh, take_back, template_version, world};
use crate::engine::machine::UNWINDING_GRACE;
use crate::engine::{StageError, Timestamp};
use crate::stage::aws_view::ViewError;
use crate::stage::aws_view::fleet::FleetView;
use crate::stage::aws_view::groups::{self, Group, LaunchSource};
use crate::stage::aws_view::instance_refreshes as refreshes;
use crate::stage::aws_view::launch_templates::{Mark, number};
use crate::stage::context::Cx;
use crate::stage::promote::analysis::guards::Guards;
use crate::stage::promote::inputs::{Inputs, RegionContext};
use crate::stage::promote::log::Phase;
use crate::stage::promote::settings::{Settings, WaveSettings};
use crate::stage::promote::target::{Abandon, Advance, Hold, ReadBack, Rollback, Version};

/// Groups that are restored at a time when the spec is gone.
const MAX_CONCURRENT: u16 = 10;

/// A deployment in waves, between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Waves {
    /// The first group is wholly on the image, and every wave before this one. Groups of this wave are refreshed, or the
    /// whole wave holds.
    Following { rollout: Rollout, progress: WaveProgress },
    /// Every wave passed.
    Finished { rollout: Rollout, progress: WaveProgress },
    /// The deployment failed in a wave. Every group that was given the image is restored, the last one first.
    TakingBack { rollout: Rollout, take_back: TakeBack },
    /// Every group is restored, or skipped.
    TakenBack { rollout: Rollout, take_back: TakeBack },
}

impl Waves {
    /// The first wave, once the first group is on the image; none if the spec has no waves.
    #[must_use]
    pub fn after(rollout: &Rollout, inputs: &Inputs, now: Timestamp) -> Option<Self> {
        let progress = WaveProgress::at(0, 1, now);
        (!inputs.settings.waves.is_empty()).then(|| Self::Following { rollout: rollout.clone(), progress })
    }

    /// The rollout of the first group.
    #[must_use]
    pub fn rollout(&self) -> &Rollout {
        match self {
            Self::Following { rollout, .. }
            | Self::Finished { rollout, .. }
            | Self::TakingBack { rollout, .. }
            | Self::TakenBack { rollout, .. } => rollout,
        }
    }

    /// One step forward: the next group is begun while there is room, or the groups under way are polled.
    ///
    /// # Errors
    /// A call failed.
    pub async fn advance(
        self,
        inputs: &Inputs,
        began: Timestamp,
        cx: &Cx,
    ) -> Result<Advance<Self>, StageError> {
        let (rollout, progress) = match self {
            Self::Following { rollout, progress } => (rollout, progress),
            done @ Self::Finished { .. } => return Ok(Advance::Done(done)),
            other => return Err(wrong_direction(&other)),
        };
        let (wave, region) = inputs.wave(progress.wave)?;
        match next_group(&progress, wave) {
            Some(name) => {
                let settings = inputs.settings.of_wave(wave, name);
                let started = u16::from(begin(&settings, region, cx).await?);
                let progress = WaveProgress { begun: progress.begun + started, ..progress };
                Ok(Advance::Next(Self::Following { rollout, progress }))
            }
            None => poll(rollout, progress, (wave, region), inputs, (began, cx.now())).await,
        }
    }

    /// The state after the wave passed; a group that is still under way is not a wave that passed.
    #[must_use]
    pub fn passed(self, settings: &Settings, now: Timestamp) -> Self {
        let Self::Following { rollout, progress } = self else { return self };
        let size = settings.waves.get(usize::from(progress.wave)).map_or(0, |wave| wave.groups.len());
        let next = progress.wave.saturating_add(1);
        if usize::from(next) >= settings.waves.len() {
            return Self::Finished { rollout, progress };
        }
        let before = progress.before.saturating_add(u16::try_from(size).unwrap_or(u16::MAX));
        Self::Following { rollout, progress: WaveProgress::at(next, before, now) }
    }

    /// The state after a poll that found everything known and healthy.
    #[must_use]
    pub fn seen_healthy(self, now: Timestamp) -> Self {
        match self {
            Self::Following { rollout, progress } => {
                Self::Following { rollout, progress: WaveProgress { good: now, ..progress } }
            }
            other => other,
        }
    }

    /// The state from which every group is restored.
    #[must_use]
    pub fn abandon(self) -> Abandon<Self> {
        match self {
            Self::Following { rollout, progress } => {
                Abandon::RollBack(Self::TakingBack { rollout, take_back: TakeBack::of(progress.reached()) })
            }
            Self::Finished { .. } => Abandon::TooLate(self),
            Self::TakingBack { .. } | Self::TakenBack { .. } => Abandon::RollBack(self),
        }
    }

    /// One step of the rollback. Without inputs the groups of this Region are discovered; other Regions are named by
    /// the spec only.
    ///
    /// # Errors
    /// A call failed.
    pub async fn roll_back(self, inputs: Option<&Inputs>, cx: &Cx) -> Result<Rollback<Self>, StageError> {
        let (rollout, take_back) = match self {
            Self::TakingBack { rollout, take_back } => (rollout, take_back),
            done @ Self::TakenBack { .. } => return Ok(Rollback::Done(done, None)),
            other => return Err(wrong_direction(&other)),
        };
        let (groups, max_concurrent) = match inputs {
            Some(inputs) => (wave_groups::of_spec(inputs, &cx.aws)?, inputs.settings.max_concurrent()),
            None => (discover::wave_groups(cx).await?, MAX_CONCURRENT),
        };
        let count = u16::try_from(groups.len()).unwrap_or(u16::MAX);
        let take_back = take_back.through(count, inputs.is_none());
        Ok(take_back::step(take_back, &groups, max_concurrent, cx).await?.map(|(take_back, is_over)| {
            if is_over {
                Self::TakenBack { rollout, take_back }
            } else {
                Self::TakingBack { rollout, take_back }
            }
        }))
    }

    /// How long the rollback may take past the deadline.
    #[must_use]
    pub fn rollback_grace(&self) -> std::time::Duration {
        match self {
            Self::TakingBack { take_back, .. } | Self::TakenBack { take_back, .. } => take_back.grace(),
            Self::Following { .. } | Self::Finished { .. } => UNWINDING_GRACE,
        }
    }

    /// Reads the units of every group. The waves were confirmed by their own holds, and groups that could not be
    /// restored stay as they are: nothing is under way any more.
    ///
    /// # Errors
    /// A read failed.
    pub async fn read_back(
        &self,
        version: Version,
        inputs: Option<&Inputs>,
        cx: &Cx,
    ) -> Result<Option<ReadBack>, StageError> {
        let groups = match inputs {
            Some(inputs) => wave_groups::of_spec(inputs, &cx.aws)?,
            None => discover::wave_groups(cx).await?,
        };
        let reached = match self {
            Self::TakingBack { take_back, .. } | Self::TakenBack { take_back, .. } => {
                usize::from(take_back.reached)
            }
            Self::Following { .. } | Self::Finished { .. } => groups.len(),
        };
        let states = wave_groups::states(groups.get(..reached).unwrap_or(&groups)).await?;
        let units = sum(states.iter().map(|(_, state)| &state.units));
        let count = states.len();
        if version == Version::New {
            let summary = format!("{count} groups run the image on {} instances", units.total);
            return Ok(Some(ReadBack { units, not_ready: None, settled: true, summary }));
        }
        let still: Vec<&str> =
            states.iter().filter(|(_, state)| state.units.updated > 0).map(|(name, _)| *name).collect();
        let not_ready = (!still.is_empty()).then(|| {
            let shown = still.iter().take(5).copied().collect::<Vec<_>>().join(", ");
            let more = still.len().saturating_sub(5);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            format!("{shown}{more} could not be restored")
        });
        let region = cx.aws.region();
        let summary = match (&not_ready, inputs) {
            (Some(what), _) => what.clone(),
            (None, Some(_)) => format!("no instance of the {count} groups runs the image any more"),
            (None, None) => format!("no instance of the {count} groups in {region} runs the image any more"),
        };
        Ok(Some(ReadBack { units, not_ready, settled: true, summary }))
    }
}

/// The next group of the wave, if there is room for another one under way.
fn next_group<'w>(progress: &WaveProgress, wave: &'w WaveSettings) -> Option<&'w String> {
    let under_way = progress.begun.saturating_sub(progress.done);
    let has_room = progress.whole.is_none() && under_way < wave.max_concurrent;
    wave.groups.get(usize::from(progress.begun)).filter(|_| has_room)
}

/// Begins with a group, or finds it begun; false when it created the template version and must be called again.
async fn begin(settings: &Settings, region: &RegionContext, cx: &Cx) -> Result<bool, StageError> {
    let (aws, name, image) = (&region.aws, settings.group.as_str(), region.image.image_id.as_str());
    let group = groups::group(aws, name).await?;
    let (template, from) = launched(name, group.as_ref())?;
    let created = created_versions::read(aws, cx.key(), &template, from).await?;
    if let Some(other) = created.iter().find(|created| created.image.as_deref() != Some(image)) {
        let (version, found, expected) = (other.version, other.image.clone(), image.to_owned());
        return Err(ViewError::OtherImage { template, version, found, expected }.into());
    }
    let found = refreshes::list(aws, name).await?;
    let is_begun = created
        .iter()
        .any(|created| created.version == from || refresh_of(&found, &template, created.version).is_some());
    if is_begun {
        return Ok(true);
    }
    let world = world::read_group(settings, Some(image), (None, group), &[], (aws, cx.now())).await?;
    let idle = world.refreshes.iter().all(|refresh| refresh.status.is_over());
    if idle && world.template_image.as_deref() == Some(image) {
        // A release that is promoted again.
        return Ok(true);
    }
    let failed: Vec<String> = preflight::check(settings, &region.image, &world)
        .iter()
        .filter(|check| !check.holds)
        .map(|check| format!("{} ({})", check.observed, check.hint))
        .collect();
    if !failed.is_empty() {
        return Err(GroupError::Unfit { group: name.to_owned(), failed }.into());
    }
    if let Some(created) = created.iter().find(|created| created.mark.from == from) {
        instance_refresh::start(aws, settings, &template, created.version).await?;
        return Ok(true);
    }
    let old = world.template_image.unwrap_or_default();
    let token = cx.key().client_token(&created_versions::step(&template, from));
    template_version::create(aws, &template, &Mark { token: token.into(), from, old }, image).await?;
    Ok(false)
}

/// The template that a group launches from, and its version.
fn launched(name: &str, group: Option<&Group>) -> Result<(String, i64), StageError> {
    let group_name = || name.to_owned();
    match &group.ok_or_else(|| ViewError::NoGroup { group: group_name() })?.launch_source {
        LaunchSource::Template { id, version } => {
            let number = number(version).ok_or_else(|| GroupError::VersionNotANumber {
                group: group_name(),
                template: id.clone(),
                version: version.clone(),
            })?;
            Ok((id.clone(), number))
        }
        LaunchSource::Mixed | LaunchSource::Configuration(_) | LaunchSource::Nothing => {
            Err(GroupError::NoTemplate { group: group_name() }.into())
        }
    }
}

/// One poll of the groups under way, or of the whole wave once every group is updated.
async fn poll(
    rollout: Rollout,
    progress: WaveProgress,
    (wave, region): (&WaveSettings, &RegionContext),
    inputs: &Inputs,
    (began, now): (Timestamp, Timestamp),
) -> Result<Advance<Waves>, StageError> {
    let size = u16::try_from(wave.groups.len()).unwrap_or(u16::MAX);
    let found = match progress.whole {
        Some(_) => not_ready(wave, region).await?,
        None => under_way(progress, wave, region, began).await?,
    };
    let settings = inputs.settings.of_wave(wave, wave.groups.first().map_or("", String::as_str));
    let place = format!("in wave {} of {}", u16::from(progress.wave) + 1, inputs.settings.waves.len());
    let (progress, doing) = match progress.after(size, &found, now) {
        WavePoll::Continue(progress, doing) => (progress, doing),
        WavePoll::Failed(why) => {
            let state = Waves::Following { rollout, progress };
            return Ok(Advance::Failed(state, format!("{place}: {why}")));
        }
    };
    let percent = percent(progress, inputs);
    // When a group has just been updated, the next one begins at once.
    let has_room = next_group(&progress, wave).is_some();
    let hold = Hold {
        phase: Some(Phase::Wave(progress.wave)),
        percent,
        doing: format!("{place}: {} of {size} groups updated, {doing}", progress.done),
        place,
        since: progress.since(&settings, now),
        due: progress.due(&settings, now),
        poll: if has_room { std::time::Duration::ZERO } else { Timing::of(&settings).again_in() },
        guards: Guards { aws: region.aws.clone(), alarms: settings.alarms, limits: settings.limits },
        compare: false,
        not_ready: None,
        ended: None,
        progress: (percent.min(99), rollout.refresh.clone()),
    };
    Ok(Advance::Paused(Waves::Following { rollout, progress }, Box::new(hold)))
}

/// The progress of each group that was begun and is not updated yet.
async fn under_way<'w>(
    progress: WaveProgress,
    wave: &'w WaveSettings,
    region: &RegionContext,
    began: Timestamp,
) -> Result<Vec<(&'w str, GroupProgress)>, StageError> {
    let range = usize::from(progress.done)..usize::from(progress.begun).min(wave.groups.len());
    let names = wave.groups.get(range).unwrap_or_default();
    let mut found = groups::groups(&region.aws, names).await?;
    let mut all = Vec::with_capacity(names.len());
    for name in names {
        let Some(group) = found.remove(name) else {
            all.push((name.as_str(), GroupProgress::Failed("it does not exist any more".to_owned())));
            continue;
        };
        let newest = refreshes::newest(&region.aws, name).await?;
        let not_ready = match &newest {
            Some(refresh) if !refresh.status.is_over() => Some(String::new()),
            _ => FleetView::of_group(&region.aws, group).await?.not_ready(&region.image.image_id),
        };
        all.push((name.as_str(), group_progress(newest.as_ref(), not_ready, began)));
    }
    Ok(all)
}

/// The groups of a wholly updated wave that are not ready.
async fn not_ready<'w>(
    wave: &'w WaveSettings,
    region: &RegionContext,
) -> Result<Vec<(&'w str, GroupProgress)>, StageError> {
    let states = group_state::read_states(&region.aws, &wave.groups, &region.image.image_id).await?;
    let not_ready = wave.groups.iter().zip(states).filter_map(|(name, state)| {
        state.not_ready.map(|what| (name.as_str(), GroupProgress::NotReady(what)))
    });
    Ok(not_ready.collect())
}

/// The percentage of groups that are wholly on the image.
fn percent(progress: WaveProgress, inputs: &Inputs) -> u8 {
    let updated = usize::from(progress.before) + usize::from(progress.done);
    u8::try_from(updated * 100 / inputs.settings.groups().max(1)).unwrap_or(100)
}

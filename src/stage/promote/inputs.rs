//! What a promotion works from: read anew in every slice, never carried in the token.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::error::PromoteError;
use super::settings::{Settings, WaveSettings};
use super::subject::Subject;
use crate::aws::Aws;
use crate::engine::{StageError, Timestamp};
use crate::evidence::{ImageIdentity, Stage};
use crate::spec::Judge;
use crate::stage::context::Cx;
use crate::stage::handover::Release;

/// What a promotion works from.
#[derive(Debug)]
pub struct Inputs {
    pub release: Release,
    pub settings: Settings,
    /// What is promoted, in the Region of the clients.
    pub subject: Subject,
    /// When the action began.
    pub at: Timestamp,
    /// The Region of the first target.
    pub home: String,
    /// The environments and Regions of the waves. None is that of the first target.
    pub regions: BTreeMap<(Option<String>, Option<String>), RegionContext>,
}

/// The environment and Region of a wave.
#[derive(Debug)]
pub struct RegionContext {
    pub aws: Aws,
    /// The image to promote, in this Region.
    pub image: ImageIdentity,
}

impl Inputs {
    /// Reads and verifies the release, and acts in the environment that it names for the promotion.
    ///
    /// # Errors
    /// The input artifact cannot be read or does not verify, or it has no image in a Region of the spec.
    pub async fn load(cx: &mut Cx, at: Timestamp) -> Result<Self, StageError> {
        let release = Release::open(cx, Stage::Promote, at).await?;
        let promote = release.spec.promote().map_err(StageError::config)?;
        cx.act_in(Stage::Promote, promote.environment.as_deref()).await?;
        let settings = Settings::of(promote).map_err(StageError::config)?;
        let home = cx.aws.region().to_owned();
        let subject = Subject::MachineImage(release.image_in(&home)?.clone());
        let mut regions = BTreeMap::new();
        for wave in &settings.waves {
            let key = (wave.environment.clone(), wave.region.clone());
            if let Entry::Vacant(entry) = regions.entry(key) {
                let aws = clients_of(wave, cx).await?;
                let image = release.image_in(aws.region())?.clone();
                entry.insert(RegionContext { aws, image });
            }
        }
        Ok(Self { release, settings, subject, at, home, regions })
    }

    /// The judge's settings.
    ///
    /// # Errors
    /// [`PromoteError::NoJudge`] when the spec has none.
    pub fn judge(&self) -> Result<&Judge, StageError> {
        let judge = self.settings.judge.as_ref();
        Ok(judge.ok_or(PromoteError::NoJudge)?)
    }

    /// The wave at this index, with the clients of its Region and the image there.
    ///
    /// # Errors
    /// [`PromoteError::NoWave`] when there is none.
    pub fn wave(&self, index: u8) -> Result<(&WaveSettings, &RegionContext), StageError> {
        let wave = self.settings.waves.get(usize::from(index));
        let wave = wave.ok_or(PromoteError::NoWave { index })?;
        Ok((wave, self.region_of(wave)?))
    }

    /// The clients and the image of a wave's Region.
    ///
    /// # Errors
    /// [`PromoteError::NoClients`] when there are none.
    pub fn region_of(&self, wave: &WaveSettings) -> Result<&RegionContext, StageError> {
        let found = self.regions.get(&(wave.environment.clone(), wave.region.clone()));
        Ok(found.ok_or_else(|| PromoteError::NoClients { wave: wave.name.clone() })?)
    }
}

/// The clients of a wave: under the role of its own environment, if it has one, and in its own Region.
async fn clients_of(wave: &WaveSettings, cx: &Cx) -> Result<Aws, StageError> {
    let mut acting = cx.clone();
    if wave.environment.is_some() {
        // A role is assumed by the worker, not by the role of another environment.
        acting.aws = cx.home.clone();
        acting.act_in(Stage::Promote, wave.environment.as_deref()).await?;
    }
    Ok(wave.region.as_deref().map_or_else(|| acting.aws.clone(), |region| acting.aws.in_region(region)))
}

//! The whole picture: the images of the service, everything that uses them, and what becomes of each.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, stream};

use super::act;
use super::graph::{Kind, User, Users};
use super::image::Image;
use super::inventory::{self, AT_ONCE, Inventory};
use super::memory::{self, Memory, Suspicion};
use super::quarantine::{Next, Step};
use super::references;
use super::removal::PendingRemoval;
use super::retain::{self, Disposition, Reason, Uses};
use super::snapshots::{self, Held};
use super::usage;
use crate::aws::{Aws, AwsError, Class};
use crate::engine::{StageError, Timestamp};
use crate::spec::{Cleanup, MachineImages as Rules, SharedImages};

/// Images about which EC2 is asked all at once, so that a disagreement about an image that stays is told too. Of more
/// images it is asked about those that are to go, ten a call, before each of them changes.
const FEW: usize = 100;

/// Whose images are cleaned up, and what is known of them from elsewhere.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    pub service: &'a str,
    pub rules: &'a Rules,
    /// The section that the rules are from, for plans and statements.
    pub policy: &'a Cleanup,
    /// The group that the service's images are promoted to.
    pub group: Option<&'a str>,
    /// What the release itself says of images.
    pub known: Uses,
}

/// Which images a survey looks at more closely: who may launch them, and what EC2 says of them. No other may change.
#[derive(Clone, Copy, Debug)]
pub enum Focus<'a> {
    /// The oldest that are to take a step, at most so many.
    Oldest(usize),
    These(&'a [String]),
}

/// What a survey came to.
#[derive(Clone, Debug)]
pub struct Survey {
    pub images: Vec<Image>,
    /// By image id.
    pub fates: BTreeMap<String, Disposition>,
    /// What names snapshots, these images included.
    pub snapshots: Held,
    /// The images that were looked at more closely.
    pub close: BTreeSet<String>,
    /// What is to be remembered of the lists' lengths, if that differs from what is.
    pub remember: Option<Memory>,
    /// A list that is much shorter than it was. Nothing may go.
    pub suspicion: Option<Suspicion>,
    pub at: Timestamp,
}

impl Survey {
    /// A survey of no images.
    #[must_use]
    pub fn empty(at: Timestamp) -> Self {
        Self {
            images: Vec::new(),
            fates: BTreeMap::new(),
            snapshots: Held::default(),
            close: BTreeSet::new(),
            remember: None,
            suspicion: None,
            at,
        }
    }

    /// Looks at everything and judges.
    ///
    /// # Errors
    /// As the calls: a list that cannot be read to its end is an error, never a shorter list.
    pub async fn take(
        aws: &Aws,
        scope: &Scope<'_>,
        focus: Focus<'_>,
        now: Timestamp,
    ) -> Result<Self, StageError> {
        // The users are read after the images: what begins to use an image later is caught by the next survey,
        // which is taken right before each change.
        let images = inventory::images(aws, scope.service).await?;
        // How many images there are is not remembered: cleanups make them fewer, and of a list that was cut off fewer
        // go, not more.
        let inventory = Inventory::read(aws).await?;
        let before = remembered_in(aws, memory::PARAMETER).await?;
        let (after, suspicion) = before.see(&inventory.facts.counts, now);
        let mut closer = Closer {
            aws,
            scope,
            now,
            current: current(scope, &inventory)?,
            users: inventory.users,
            ec2: Users::new(),
            survey: Self {
                snapshots: snapshots::named(&inventory.facts, &images),
                images,
                fates: BTreeMap::new(),
                close: BTreeSet::new(),
                remember: (after != before).then_some(after),
                suspicion,
                at: now,
            },
        };
        if closer.survey.images.len() <= FEW {
            let ids: Vec<String> = closer.survey.images.iter().map(|image| image.id().to_owned()).collect();
            closer.ask(&ids).await?;
        }
        closer.judge();
        match focus {
            Focus::These(ids) => closer.look(ids).await?,
            Focus::Oldest(most) => closer.oldest(most).await?,
        }
        Ok(closer.survey)
    }

    #[must_use]
    pub fn image(&self, id: &str) -> Option<&Image> {
        self.images.iter().find(|image| image.id() == id)
    }

    /// Snapshots behind an image that something else names.
    #[must_use]
    pub fn held(&self, image: &Image) -> Held {
        snapshots::held(&self.snapshots, image.id(), image.snapshots.iter().map(String::as_str))
    }

    /// The same of an image that is to go or is gone.
    #[must_use]
    pub fn held_of(&self, doomed: &PendingRemoval) -> Held {
        if let Some(image) = self.image(&doomed.id) {
            return self.held(image);
        }
        let listed = doomed.snapshots.iter().map(|snapshot| snapshot.id.as_str());
        snapshots::held(&self.snapshots, &doomed.id, listed)
    }

    /// The step that is next for an image that was looked at closely.
    #[must_use]
    pub fn step(&self, id: &str) -> Option<Step> {
        match self.fates.get(id) {
            Some(Disposition::Go(Next::Step(step))) if self.close.contains(id) => Some(*step),
            _ => None,
        }
    }

    /// The images that go or are on their way out, oldest first.
    pub fn leaving(&self) -> impl Iterator<Item = (&Image, Next)> {
        self.by_age().into_iter().filter_map(|image| match self.fates.get(image.id()) {
            Some(Disposition::Go(next)) => Some((image, *next)),
            _ => None,
        })
    }

    /// Every image, oldest first.
    #[must_use]
    pub fn by_age(&self) -> Vec<&Image> {
        let mut images: Vec<&Image> = self.images.iter().collect();
        images.sort_by_cached_key(|image| (image.created(), image.id()));
        images
    }

    /// Refuses to go on when a list is not believed.
    ///
    /// # Errors
    /// The suspicion.
    pub fn believed(&self) -> Result<(), StageError> {
        match &self.suspicion {
            Some(suspicion) => Err(StageError::Rejected(suspicion.told(memory::PARAMETER))),
            None => Ok(()),
        }
    }
}

/// A survey while single images are looked at more closely.
struct Closer<'a> {
    aws: &'a Aws,
    scope: &'a Scope<'a>,
    now: Timestamp,
    current: Uses,
    users: Users,
    ec2: Users,
    survey: Survey,
}

impl Closer<'_> {
    async fn ask(&mut self, ids: &[String]) -> Result<(), StageError> {
        let unasked: Vec<String> = ids.iter().filter(|id| !self.ec2.contains_key(*id)).cloned().collect();
        self.ec2.append(&mut references::ask(self.aws, &unasked).await?);
        Ok(())
    }

    fn judge(&mut self) {
        let mut uses = references::unite(&self.users, &self.ec2);
        for (image, reasons) in self.scope.known.iter().chain(&self.current) {
            uses.entry(image.clone()).or_default().extend(reasons.iter().cloned());
        }
        let verdicts = retain::retain(self.scope.rules, &self.survey.images, &uses, self.now);
        self.survey.fates =
            verdicts.into_iter().map(|verdict| (verdict.image.id().to_owned(), verdict.fate)).collect();
    }

    /// Asks who may launch these images and what EC2 knows of them, and judges anew.
    async fn look(&mut self, ids: &[String]) -> Result<(), StageError> {
        self.ask(ids).await?;
        let (aws, now) = (self.aws, self.now);
        let by_usage = self.scope.rules.shared_images == SharedImages::KeepWhileUsed;
        // A disabled image is shared with no one; whom it was shared with stands in its record.
        let wanted: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
        let (disabled, open): (Vec<&Image>, Vec<&Image>) = self
            .survey
            .images
            .iter()
            .filter(|image| wanted.contains(image.id()))
            .partition(|image| image.state == "disabled");
        let open: Vec<String> = open.into_iter().map(|image| image.id().to_owned()).collect();
        let read = |id: String| async move {
            let shares = act::shares(aws, &id).await?.unwrap_or_default();
            let asks = by_usage && !shares.is_empty();
            let users = if asks { usage::users(aws, &id, now).await? } else { BTreeSet::new() };
            Ok((id, shares, users))
        };
        // To the end, though one fails: the reports of the others are then on their way.
        let read: Vec<Result<_, StageError>> = stream::iter(open).map(read).buffered(AT_ONCE).collect().await;
        let mut looked: BTreeMap<String, Vec<String>> =
            disabled.into_iter().map(|image| (image.id().to_owned(), Vec::new())).collect();
        for (id, shares, users) in read.into_iter().collect::<Result<Vec<_>, _>>()? {
            if !users.is_empty() {
                self.users.entry(id.clone()).or_default().extend(users);
            }
            looked.insert(id, shares);
        }
        for image in &mut self.survey.images {
            if let Some(shares) = looked.remove(image.id()) {
                self.survey.close.insert(image.id().to_owned());
                image.shares = Some(shares);
            }
        }
        self.judge();
        Ok(())
    }

    /// Looks at the oldest that are to take a step, until there are as many as asked for.
    async fn oldest(&mut self, most: usize) -> Result<(), StageError> {
        loop {
            let stepping = self.survey.close.iter().filter(|id| self.survey.step(id).is_some()).count();
            let unseen = self.survey.leaving().filter(|(image, next)| {
                matches!(next, Next::Step(_)) && !self.survey.close.contains(image.id())
            });
            let missing = most.saturating_sub(stepping);
            let batch: Vec<String> = unseen.take(missing).map(|(image, _)| image.id().to_owned()).collect();
            if batch.is_empty() {
                return Ok(());
            }
            self.look(&batch).await?;
        }
    }
}

/// What the group runs, launches, and is being refreshed to.
fn current(scope: &Scope<'_>, inventory: &Inventory) -> Result<Uses, StageError> {
    let mut uses = Uses::new();
    let Some(name) = scope.group else { return Ok(uses) };
    if !inventory.facts.groups.contains(name) {
        return Err(StageError::Config(format!(
            "there is no Auto Scaling group {name} in this account and region; correct promote.target: without the \
             group it is not known which image is current"
        )));
    }
    let group = User { kind: Kind::AutoScalingGroup, id: name.to_owned() };
    for (image, _) in inventory.users.iter().filter(|(_, users)| users.contains(&group)) {
        uses.entry(image.clone()).or_default().insert(Reason::Current { group: name.to_owned() });
    }
    Ok(uses)
}

/// What is remembered of the lists in this account and region.
///
/// # Errors
/// As the call; or the parameter holds something else.
pub async fn remembered_in(aws: &Aws, parameter: &str) -> Result<Memory, StageError> {
    let answer = aws.ssm.get_parameter().name(parameter).send().await;
    match answer.map_err(|e| AwsError::new("ssm:GetParameter", parameter, e)) {
        Ok(answer) => {
            let text = answer.parameter().and_then(|parameter| parameter.value()).unwrap_or_default();
            Memory::read(text).ok_or_else(|| {
                StageError::Rejected(format!(
                    "the parameter {parameter} is not a memory of an earlier cleanup; delete it to begin anew"
                ))
            })
        }
        Err(error) if error.class == Class::Missing => Ok(Memory::default()),
        Err(error) => Err(error.into()),
    }
}

/// Writes down how long the lists are.
///
/// # Errors
/// As the call.
pub async fn remember(aws: &Aws, memory: &Memory) -> Result<(), StageError> {
    remember_in(aws, memory::PARAMETER, memory).await
}

/// The same in a parameter of another name.
///
/// # Errors
/// As the call.
pub async fn remember_in(aws: &Aws, parameter: &str, memory: &Memory) -> Result<(), StageError> {
    let text = serde_json::to_string(memory)
        .map_err(|error| StageError::Bug(format!("the memory of the lists cannot be written: {error}")))?;
    aws.ssm
        .put_parameter()
        .name(parameter)
        .description("How long the lists were that bakeline's cleanup read last")
        .r#type(aws_sdk_ssm::types::ParameterType::String)
        .overwrite(true)
        .value(text)
        .send()
        .await
        .map_err(|e| AwsError::new("ssm:PutParameter", parameter, e))?;
    Ok(())
}

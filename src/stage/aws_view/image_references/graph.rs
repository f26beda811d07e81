//! The reference graph: from what AWS's lists say to the images that are used, and by what. Pure.
//!
//! A list that does not fit together is a gap, and with a gap nothing is removed: an image that is wrongly kept costs
//! cents, one that is wrongly removed costs an outage.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// What a launch template's image, a recipe's parent or an override is written as when it lies in a parameter.
const PARAMETERS: [&str; 2] = ["resolve:ssm:", "ssm:"];

/// Something that uses images.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    pub kind: Kind,
    /// Its id, name or ARN.
    pub id: String,
}

/// Kinds of users of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Instance,
    SpotRequest,
    LaunchTemplate,
    Parameter,
    LaunchConfiguration,
    AutoScalingGroup,
    InstanceRefresh,
    WarmPool,
    Fleet,
    SpotFleet,
    Recipe,
    /// An image, which stands on snapshots.
    Image,
    /// Another account may launch it, or does.
    Account,
    /// One that this program does not know.
    Other,
}

impl Kind {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::SpotRequest => "Spot request",
            Self::LaunchTemplate => "launch template",
            Self::Parameter => "parameter",
            Self::LaunchConfiguration => "launch configuration",
            Self::AutoScalingGroup => "Auto Scaling group",
            Self::InstanceRefresh => "instance refresh",
            Self::WarmPool => "warm pool",
            Self::Fleet => "EC2 fleet",
            Self::SpotFleet => "Spot fleet",
            Self::Recipe => "Image Builder recipe",
            Self::Image => "image",
            Self::Account => "account",
            Self::Other => "resource",
        }
    }

    /// Whether `DescribeImageReferences` looks at this kind as the inventory does. It does not follow parameters that
    /// templates name, so a template may be known to the inventory alone; nor a recipe's parent that is another build.
    #[must_use]
    pub fn is_in_both(self) -> bool {
        match self {
            Self::Instance | Self::LaunchTemplate | Self::Parameter => true,
            Self::SpotRequest
            | Self::LaunchConfiguration
            | Self::AutoScalingGroup
            | Self::InstanceRefresh
            | Self::WarmPool
            | Self::Fleet
            | Self::SpotFleet
            | Self::Recipe
            | Self::Image
            | Self::Account
            | Self::Other => false,
        }
    }
}

/// Users by image id.
pub type Users = BTreeMap<String, BTreeSet<User>>;

/// How something names an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// A text: an image id, `resolve:ssm:…`, an Image Builder ARN, or a document that holds image ids.
    Text(String),
    /// A launch template by id or name, and its version: a number, `$Latest` or `$Default`.
    Template { template: String, version: String },
}

/// A launch template with all its versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    pub name: String,
    pub default: i64,
    pub latest: i64,
    /// What each version names as its image; versions without one are there with none.
    pub versions: BTreeMap<i64, Option<String>>,
    /// Versions that a promotion of ours made, by their description.
    pub ours: BTreeSet<i64>,
    /// Snapshots that any version names in its block device mappings.
    pub snapshots: BTreeSet<String>,
}

/// The lists that are read, each to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Instances,
    SpotRequests,
    LaunchTemplates,
    TemplateVersions,
    LaunchConfigurations,
    Groups,
    Fleets,
    SpotFleets,
    Parameters,
    Recipes,
    Clusters,
    Services,
    Tasks,
    TaskDefinitions,
    Functions,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Instances => "instances",
            Self::SpotRequests => "Spot requests",
            Self::LaunchTemplates => "launch templates",
            Self::TemplateVersions => "launch template versions",
            Self::LaunchConfigurations => "launch configurations",
            Self::Groups => "Auto Scaling groups",
            Self::Fleets => "EC2 fleets",
            Self::SpotFleets => "Spot fleets",
            Self::Parameters => "parameters",
            Self::Recipes => "Image Builder recipes",
            Self::Clusters => "clusters",
            Self::Services => "services",
            Self::Tasks => "tasks",
            Self::TaskDefinitions => "task definitions",
            Self::Functions => "functions",
        })
    }
}

/// How many entries each list has.
pub type Counts = BTreeMap<Source, u64>;

/// What the lists say, before it is put together.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub names: Vec<(User, Names)>,
    /// What names a snapshot itself, launch templates aside.
    pub disks: Vec<(User, String)>,
    /// Names of the Auto Scaling groups.
    pub groups: BTreeSet<String>,
    /// By id.
    pub templates: BTreeMap<String, Template>,
    /// Templates that someone names and that EC2 says do not exist.
    pub no_templates: BTreeSet<String>,
    /// Values of parameters by name, selector included as templates and recipes name them; none for one that is not there.
    pub aliases: BTreeMap<String, Option<String>>,
    /// The images that an Image Builder image, by ARN, came to.
    pub built: BTreeMap<String, Vec<String>>,
    pub counts: Counts,
}

/// What the lists do not say, though one of them names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    #[error("{kind} {user} names the launch template {template}, which is not among the launch templates")]
    Template { kind: &'static str, user: String, template: String },
    #[error("{kind} {user} names version {version} of the launch template {template}, which is not listed")]
    Version { kind: &'static str, user: String, template: String, version: String },
    #[error(
        "the launch template {template} has {listed} versions up to {latest}, and its latest is not listed"
    )]
    Latest { template: String, latest: i64, listed: usize },
    #[error("the parameter {name} is named as an image and was not read")]
    Parameter { name: String },
    #[error("the Image Builder image {arn} is named as a parent and was not read")]
    Built { arn: String },
}

impl Facts {
    /// The parameters that templates, overrides and recipes name, with their selectors.
    #[must_use]
    pub fn wanted_parameters(&self) -> BTreeSet<String> {
        self.texts().filter_map(parameter_of).map(str::to_owned).collect()
    }

    /// The Image Builder images that recipes stand on.
    #[must_use]
    pub fn wanted_builds(&self) -> BTreeSet<String> {
        self.texts().filter(|text| is_build(text)).map(str::to_owned).collect()
    }

    /// Templates that someone names and no list has.
    #[must_use]
    pub fn unlisted_templates(&self) -> BTreeSet<String> {
        let named = self.names.iter().filter_map(|(_, names)| match names {
            Names::Template { template, .. } => Some(template),
            Names::Text(_) => None,
        });
        named.filter(|template| self.template(template).is_none()).cloned().collect()
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let versions = self.templates.values().flat_map(|template| template.versions.values().flatten());
        let names = self.names.iter().filter_map(|(_, names)| match names {
            Names::Text(text) => Some(text),
            Names::Template { .. } => None,
        });
        versions.chain(names).map(String::as_str)
    }

    fn template(&self, id_or_name: &str) -> Option<(&String, &Template)> {
        self.templates
            .get_key_value(id_or_name)
            .or_else(|| self.templates.iter().find(|(_, template)| template.name == id_or_name))
    }

    /// The images a text comes to.
    fn images(&self, text: &str) -> Result<BTreeSet<String>, Gap> {
        if let Some(name) = parameter_of(text) {
            let value = self.aliases.get(name).ok_or_else(|| Gap::Parameter { name: name.to_owned() })?;
            return Ok(value.as_deref().map(amis).unwrap_or_default());
        }
        if is_build(text) {
            let built = self.built.get(text).ok_or_else(|| Gap::Built { arn: text.to_owned() })?;
            return Ok(built.iter().cloned().collect());
        }
        Ok(amis(text))
    }

    /// The images a template's version comes to.
    ///
    /// # Errors
    /// The template or the version is not among what was read.
    pub fn launched(&self, user: &User, template: &str, version: &str) -> Result<BTreeSet<String>, Gap> {
        let (kind, id) = (user.kind.name(), || user.id.clone());
        let Some((_, found)) = self.template(template) else {
            if self.no_templates.contains(template) {
                return Ok(BTreeSet::new());
            }
            return Err(Gap::Template { kind, user: id(), template: template.to_owned() });
        };
        let number = match version {
            "$Latest" => Some(found.latest),
            // Whoever names no version launches the default one.
            "$Default" | "" => Some(found.default),
            number => number.parse().ok(),
        };
        match number.and_then(|number| found.versions.get(&number)) {
            Some(Some(text)) => self.images(text),
            Some(None) => Ok(BTreeSet::new()),
            // A version that was deleted: nothing can be launched from it.
            None if number.is_some_and(|number| number < found.latest) => Ok(BTreeSet::new()),
            None => {
                let (template, version) = (template.to_owned(), version.to_owned());
                Err(Gap::Version { kind, user: id(), template, version })
            }
        }
    }

    /// What names snapshots, by snapshot id.
    #[must_use]
    pub fn snapshots(&self) -> Users {
        let mut users = Users::new();
        let by_template = self.templates.iter().flat_map(|(id, template)| {
            let user = User { kind: Kind::LaunchTemplate, id: id.clone() };
            template.snapshots.iter().map(move |snapshot| (user.clone(), snapshot.clone()))
        });
        for (user, snapshot) in self.disks.iter().cloned().chain(by_template) {
            users.entry(snapshot).or_default().insert(user);
        }
        users
    }

    /// Every image that is used, with everything that uses it.
    ///
    /// # Errors
    /// The lists do not fit together.
    pub fn users(&self) -> Result<Users, Gap> {
        let mut users = Users::new();
        let mut note = |images: BTreeSet<String>, user: &User| {
            for image in images {
                users.entry(image).or_default().insert(user.clone());
            }
        };
        for (id, template) in &self.templates {
            if !template.versions.contains_key(&template.latest) {
                let (latest, listed) = (template.latest, template.versions.len());
                return Err(Gap::Latest { template: id.clone(), latest, listed });
            }
            let user = User { kind: Kind::LaunchTemplate, id: id.clone() };
            for text in template.versions.values().flatten() {
                note(self.images(text)?, &user);
            }
        }
        for (user, names) in &self.names {
            let images = match names {
                Names::Text(text) => self.images(text)?,
                Names::Template { template, version } => self.launched(user, template, version)?,
            };
            note(images, user);
        }
        Ok(users)
    }
}

/// The name of the parameter in which an image's id lies, selector included.
fn parameter_of(text: &str) -> Option<&str> {
    PARAMETERS.iter().find_map(|prefix| text.strip_prefix(prefix))
}

/// Whether a text is the ARN of an Image Builder image.
fn is_build(text: &str) -> bool {
    text.starts_with("arn:") && text.contains(":imagebuilder:") && text.contains(":image/")
}

/// A parameter's name in one spelling: an ARN leaves out the slash of a name without folders.
#[must_use]
pub fn parameter(name: &str) -> String {
    name.trim_start_matches('/').to_owned()
}

/// The AMI ids in a text: whole words of `ami-` and 8 to 17 hexadecimal digits.
#[must_use]
pub fn amis(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("ami-") {
        let digits: String = text[at + 4..].chars().take_while(char::is_ascii_hexdigit).collect();
        if (8..=17).contains(&digits.len()) {
            found.insert(format!("ami-{}", digits.to_ascii_lowercase()));
        }
    }
    found
}

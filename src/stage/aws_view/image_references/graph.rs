//! The references between resources and machine images: a pure function of what AWS's lists contain.
//!
//! A reference that the lists cannot resolve is a [`Gap`], and callers remove nothing while there is one: an image that
//! is kept by mistake costs cents, one that is removed by mistake costs an outage.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// Prefixes of an image id that is stored in a parameter, as launch templates and recipes write it.
const PARAMETERS: [&str; 2] = ["resolve:ssm:", "ssm:"];

/// A resource that references images.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    pub kind: ResourceKind,
    /// Its id, name or ARN.
    pub id: String,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.name(), self.id)
    }
}

/// Kinds of resources that reference images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceKind {
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
    /// An image, which references its snapshots.
    Image,
    /// Another account that may launch the image, or does.
    Account,
    /// A kind that bakeline does not know.
    Other,
}

impl ResourceKind {
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

    /// Whether `DescribeImageReferences` reports this kind as the inventory does. It follows neither parameters that
    /// launch templates name nor a recipe's parent that is another build: only the inventory knows those references.
    #[must_use]
    pub fn is_comparable(self) -> bool {
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

/// Resources by the id of the image or snapshot that they reference.
pub type References = BTreeMap<String, BTreeSet<Resource>>;

/// How a resource names an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A text: an image id, `resolve:ssm:…`, an Image Builder ARN, or a document that contains image ids.
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
    /// The image of each version as it is written; `None` for a version without an image.
    pub versions: BTreeMap<i64, Option<String>>,
    /// Versions that a promotion by bakeline created, known by their description.
    pub ours: BTreeSet<i64>,
    /// Snapshots in the block device mappings of any version.
    pub snapshots: BTreeSet<String>,
}

/// The lists that an inventory reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListName {
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

impl fmt::Display for ListName {
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

/// The number of entries of each list.
pub type Lengths = BTreeMap<ListName, u64>;

/// The contents of the lists, before references are resolved.
#[derive(Clone, Debug, Default)]
pub struct Listings {
    pub references: Vec<(Resource, Reference)>,
    /// Snapshots in block device mappings, except those of launch templates.
    pub snapshots: Vec<(Resource, String)>,
    /// Names of the Auto Scaling groups.
    pub groups: BTreeSet<String>,
    /// Launch templates by id.
    pub templates: BTreeMap<String, Template>,
    /// Launch templates that a resource names and that do not exist.
    pub missing_templates: BTreeSet<String>,
    /// Values of parameters by name, with the selector that launch templates and recipes write; `None` if missing.
    pub parameter_values: BTreeMap<String, Option<String>>,
    /// The machine images that an Image Builder image produced, by its ARN.
    pub build_outputs: BTreeMap<String, Vec<String>>,
    pub lengths: Lengths,
}

/// A reference that the lists cannot resolve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    #[error("{resource} references the launch template {template}, which is not listed")]
    Template { resource: Resource, template: String },
    #[error("{resource} references version {version} of the launch template {template}, which is not listed")]
    Version { resource: Resource, template: String, version: String },
    #[error(
        "the launch template {template} has {listed} listed versions, and its latest, {latest}, is missing"
    )]
    Latest { template: String, latest: i64, listed: usize },
    #[error("the parameter {name} is referenced as an image and was not read")]
    Parameter { name: String },
    #[error("the Image Builder image {arn} is referenced as a parent image and was not read")]
    Build { arn: String },
}

impl Listings {
    /// The parameters that launch templates, overrides and recipes reference, with their selectors.
    #[must_use]
    pub fn wanted_parameters(&self) -> BTreeSet<String> {
        self.texts().filter_map(parameter_of).map(str::to_owned).collect()
    }

    /// The Image Builder images that recipes use as parent images.
    #[must_use]
    pub fn wanted_builds(&self) -> BTreeSet<String> {
        self.texts().filter(|text| is_build(text)).map(str::to_owned).collect()
    }

    /// Launch templates that a resource references and that are not listed.
    #[must_use]
    pub fn unlisted_templates(&self) -> BTreeSet<String> {
        let named = self.references.iter().filter_map(|(_, reference)| match reference {
            Reference::Template { template, .. } => Some(template),
            Reference::Text(_) => None,
        });
        named.filter(|template| self.template(template).is_none()).cloned().collect()
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let versions = self.templates.values().flat_map(|template| template.versions.values().flatten());
        let others = self.references.iter().filter_map(|(_, reference)| match reference {
            Reference::Text(text) => Some(text),
            Reference::Template { .. } => None,
        });
        versions.chain(others).map(String::as_str)
    }

    fn template(&self, id_or_name: &str) -> Option<(&String, &Template)> {
        self.templates
            .get_key_value(id_or_name)
            .or_else(|| self.templates.iter().find(|(_, template)| template.name == id_or_name))
    }

    /// The images that a text references.
    fn images(&self, text: &str) -> Result<BTreeSet<String>, Gap> {
        if let Some(name) = parameter_of(text) {
            let value =
                self.parameter_values.get(name).ok_or_else(|| Gap::Parameter { name: name.to_owned() })?;
            return Ok(value.as_deref().map(amis).unwrap_or_default());
        }
        if is_build(text) {
            let built = self.build_outputs.get(text).ok_or_else(|| Gap::Build { arn: text.to_owned() })?;
            return Ok(built.iter().cloned().collect());
        }
        Ok(amis(text))
    }

    /// The images that one version of a launch template references.
    ///
    /// # Errors
    /// The launch template or the version is not listed.
    pub fn template_images(
        &self,
        resource: &Resource,
        template: &str,
        version: &str,
    ) -> Result<BTreeSet<String>, Gap> {
        let Some((_, found)) = self.template(template) else {
            if self.missing_templates.contains(template) {
                return Ok(BTreeSet::new());
            }
            return Err(Gap::Template { resource: resource.clone(), template: template.to_owned() });
        };
        let number = match version {
            "$Latest" => Some(found.latest),
            // Without a version, EC2 launches the default version.
            "$Default" | "" => Some(found.default),
            number => number.parse().ok(),
        };
        match number.and_then(|number| found.versions.get(&number)) {
            Some(Some(text)) => self.images(text),
            Some(None) => Ok(BTreeSet::new()),
            // A deleted version: nothing can be launched from it.
            None if number.is_some_and(|number| number < found.latest) => Ok(BTreeSet::new()),
            None => Err(Gap::Version {
                resource: resource.clone(),
                template: template.to_owned(),
                version: version.to_owned(),
            }),
        }
    }

    /// The resources that reference each snapshot.
    #[must_use]
    pub fn by_snapshot(&self) -> References {
        let mut references = References::new();
        let by_template = self.templates.iter().flat_map(|(id, template)| {
            let resource = Resource { kind: ResourceKind::LaunchTemplate, id: id.clone() };
            template.snapshots.iter().map(move |snapshot| (resource.clone(), snapshot.clone()))
        });
        for (resource, snapshot) in self.snapshots.iter().cloned().chain(by_template) {
            references.entry(snapshot).or_default().insert(resource);
        }
        references
    }

    /// The resources that reference each image.
    ///
    /// # Errors
    /// A reference cannot be resolved.
    pub fn by_image(&self) -> Result<References, Gap> {
        let mut references = References::new();
        let mut add = |images: BTreeSet<String>, resource: &Resource| {
            for image in images {
                references.entry(image).or_default().insert(resource.clone());
            }
        };
        for (id, template) in &self.templates {
            if !template.versions.contains_key(&template.latest) {
                let (latest, listed) = (template.latest, template.versions.len());
                return Err(Gap::Latest { template: id.clone(), latest, listed });
            }
            let resource = Resource { kind: ResourceKind::LaunchTemplate, id: id.clone() };
            for text in template.versions.values().flatten() {
                add(self.images(text)?, &resource);
            }
        }
        for (resource, reference) in &self.references {
            let images = match reference {
                Reference::Text(text) => self.images(text)?,
                Reference::Template { template, version } => {
                    self.template_images(resource, template, version)?
                }
            };
            add(images, resource);
        }
        Ok(references)
    }
}

/// The name of the parameter that stores the image id, with its selector.
fn parameter_of(text: &str) -> Option<&str> {
    PARAMETERS.iter().find_map(|prefix| text.strip_prefix(prefix))
}

/// Whether a text is the ARN of an Image Builder image.
fn is_build(text: &str) -> bool {
    text.starts_with("arn:") && text.contains(":imagebuilder:") && text.contains(":image/")
}

/// A parameter's name without its leading slash, which the ARN of a name without folders leaves out.
#[must_use]
pub fn parameter_name(name: &str) -> String {
    name.trim_start_matches('/').to_owned()
}

/// The AMI ids in a text: `ami-` and 8 to 17 hexadecimal digits.
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

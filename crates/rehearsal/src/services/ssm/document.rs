//! SSM documents: parameters and steps.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::super::call::ApiError;
use super::super::super::world::World;

/// The default of a step's execution timeout.
const HOUR: Duration = Duration::from_hours(1);

/// A document, as far as a command needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    pub name: String,
    /// The steps, in order.
    pub steps: Vec<Step>,
    parameters: BTreeMap<String, Parameter>,
}

/// A step of a document, a plugin of the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub name: String,
    /// Whether its precondition holds on Linux. All nodes here run Linux.
    pub runs: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Parameter {
    required: bool,
    /// The allowed values; empty for any value.
    allowed: &'static [&'static str],
}

const REQUIRED: Parameter = Parameter { required: true, allowed: &[] };
const OPTIONAL: Parameter = Parameter { required: false, allowed: &[] };

/// Account, Region and name of a customer's document.
pub(super) type Key = (String, String, String);

/// Creates a document in the account, with one step and these optional parameters.
pub fn write_document(world: &mut World, account: &str, region: &str, name: &str, parameters: &[String]) {
    let document = Document {
        name: name.to_owned(),
        steps: vec![Step { name: "runDocument".to_owned(), runs: true }],
        parameters: parameters.iter().map(|name| (name.clone(), OPTIONAL)).collect(),
    };
    world.ssm.documents.insert((account.to_owned(), region.to_owned(), name.to_owned()), document);
}

/// A document by name, or by ARN if the account owns it.
///
/// # Errors
/// `InvalidDocument`.
pub(super) fn find(world: &World, account: &str, region: &str, name: &str) -> Result<Document, ApiError> {
    let own = format!("arn:{}:ssm:{region}:{account}:document/", crate::partition::id(region));
    let key = (account.to_owned(), region.to_owned(), name.strip_prefix(&own).unwrap_or(name).to_owned());
    aws(name)
        .or_else(|| world.ssm.documents.get(&key).cloned())
        .ok_or_else(|| ApiError::new("InvalidDocument", format!("Document {name} does not exist")))
}

/// A document that AWS owns.
fn aws(name: &str) -> Option<Document> {
    let script = [("commands", REQUIRED), ("executionTimeout", OPTIONAL), ("workingDirectory", OPTIONAL)];
    let patch = [
        ("Operation", Parameter { required: true, allowed: &["Scan", "Install"] }),
        ("RebootOption", Parameter { required: false, allowed: &["RebootIfNeeded", "NoReboot"] }),
        ("BaselineOverride", OPTIONAL),
        ("InstallOverrideList", OPTIONAL),
        ("SnapshotId", OPTIONAL),
    ];
    let of = |steps: &[(&str, bool)], parameters: &[(&str, Parameter)]| Document {
        name: name.to_owned(),
        steps: steps.iter().map(|(name, runs)| Step { name: (*name).to_owned(), runs: *runs }).collect(),
        parameters: parameters.iter().map(|(name, rule)| ((*name).to_owned(), rule.clone())).collect(),
    };
    match name {
        "AWS-RunShellScript" => Some(of(&[("aws:runShellScript", true)], &script)),
        // PowerShell runs on Linux too, if it is installed.
        "AWS-RunPowerShellScript" => Some(of(&[("aws:runPowerShellScript", true)], &script)),
        "AWS-RunPatchBaseline" => {
            Some(of(&[("PatchWindows", false), ("PatchLinux", true), ("PatchMacOS", false)], &patch))
        }
        _ => None,
    }
}

impl Document {
    /// The step of an invocation to read: the named one, or the only one.
    ///
    /// # Errors
    /// `InvalidPluginName` if no step has the name, or no name is given and there are several steps.
    pub fn step(&self, named: Option<&str>) -> Result<&Step, ApiError> {
        let found = match (named, self.steps.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(name), steps) => steps.iter().find(|step| step.name == name),
        };
        found.ok_or_else(|| {
            let named = named.unwrap_or_default();
            ApiError::new("InvalidPluginName", format!("{} has no step {named:?}", self.name))
        })
    }

    /// Validates a command's document version and parameters. Returns the execution timeout of a step.
    ///
    /// # Errors
    /// `InvalidDocumentVersion`, `InvalidParameters`.
    pub fn check(
        &self,
        version: Option<&str>,
        given: &BTreeMap<String, Vec<String>>,
    ) -> Result<Duration, ApiError> {
        let name = &self.name;
        if let Some(version) = version
            && !["1", "$DEFAULT", "$LATEST"].contains(&version)
        {
            return Err(ApiError::new("InvalidDocumentVersion", format!("{name} has no version {version}")));
        }
        let invalid = |message: String| ApiError::new("InvalidParameters", message);
        for (parameter, values) in given {
            let Some(rule) = self.parameters.get(parameter) else {
                return Err(invalid(format!("{name} has no parameter {parameter}")));
            };
            let unknown = values.iter().find(|value| !rule.allowed.contains(&value.as_str()));
            if let Some(value) = unknown.filter(|_| !rule.allowed.is_empty()) {
                return Err(invalid(format!("{parameter} of {name} is none of {:?}: {value}", rule.allowed)));
            }
        }
        for (parameter, _) in self.parameters.iter().filter(|(_, rule)| rule.required) {
            if given.get(parameter).is_none_or(Vec::is_empty) {
                return Err(invalid(format!("{parameter} is required")));
            }
        }
        match given.get("executionTimeout").and_then(|values| values.first()) {
            None => Ok(HOUR),
            Some(text) => text
                .parse::<u64>()
                .ok()
                .filter(|seconds| (1..=172_800).contains(seconds))
                .map(Duration::from_secs)
                .ok_or_else(|| invalid(format!("executionTimeout {text} is not 1 to 172800"))),
        }
    }
}

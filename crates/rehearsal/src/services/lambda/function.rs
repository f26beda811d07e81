//! Lambda functions: create, update code, publish, delete.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::support::{Place, Tags};
use super::code::Given;
use super::list::view;
use super::{Function, LATEST, SETTLES, Version, invalid};

/// Configuration members that are stored as given.
const SETTINGS: [&str; 6] = ["Role", "Runtime", "Handler", "Timeout", "MemorySize", "Architectures"];

/// Parses a name, `ACCOUNT:function:NAME` or an ARN into the function's key and the qualifier.
pub(super) fn parse(call: &Call, text: &str) -> ((Place, String), Option<String>) {
    let place = Place::new(call.account.as_str(), call.region.as_str());
    let (name, qualifier) = match text.split_once("function:") {
        Some((_, rest)) => rest.split_once(':').map_or((rest, None), |(name, q)| (name, Some(q))),
        None => text.split_once(':').map_or((text, None), |(name, q)| (name, Some(q))),
    };
    ((place, name.to_owned()), qualifier.map(str::to_owned))
}

pub(super) fn arn((place, name): &(Place, String), version: &str) -> String {
    let arn = format!(
        "arn:{}:lambda:{}:{}:function:{name}",
        crate::partition::id(&place.region),
        place.region,
        place.account
    );
    if version == LATEST { arn } else { format!("{arn}:{version}") }
}

pub(super) fn not_found(arn: &str) -> ApiError {
    ApiError::new("ResourceNotFoundException", format!("Function not found: {arn}"))
}

impl Function {
    /// Returns an error while the function is pending or being updated.
    fn settled(&self, name: &str, now: Time) -> Result<(), ApiError> {
        if self.latest.modified.max(self.created) + SETTLES <= now {
            return Ok(());
        }
        let message = format!(
            "The operation cannot be performed at this time. An update is in progress for resource: {name}"
        );
        Err(ApiError::new("ResourceConflictException", message))
    }

    /// Publishes `$LATEST` as a new version; returns the last version if nothing has changed since.
    fn publish(&mut self, description: Option<String>, revision: String) -> Version {
        if let Some(last) = self.published.last()
            && last.code == self.latest.code
        {
            return last.clone();
        }
        self.last_number += 1;
        let version = Version {
            name: self.last_number.to_string(),
            description: description.unwrap_or_else(|| self.latest.description.clone()),
            revision,
            ..self.latest.clone()
        };
        self.published.push(version.clone());
        version
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    function_name: String,
    code: Given,
    package_type: Option<String>,
    description: Option<String>,
    #[serde(default)]
    publish: bool,
    #[serde(default)]
    tags: Tags,
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let input: Create = call.parse()?;
    let (key, _) = parse(call, &input.function_name);
    if world.lambda.functions.contains_key(&key) {
        let message = format!("Function already exist: {}", key.1);
        return Err(ApiError::new("ResourceConflictException", message));
    }
    let code = input.code.code(world, &call.region)?;
    if input.package_type.as_deref().unwrap_or("Zip") != code.package() {
        return Err(invalid("PackageType does not match Code"));
    }
    let has = |member: &str| call.input.contains_key(member);
    if (code.package() == "Zip") != (has("Runtime") && has("Handler")) {
        return Err(invalid("Runtime and Handler are for functions of package type Zip, which need both"));
    }
    let mut settings: Map<String, Value> = SETTINGS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), call.input.get(*name)?.clone())))
        .collect();
    for (name, default) in
        [("Timeout", json!(3)), ("MemorySize", json!(128)), ("Architectures", json!(["x86_64"]))]
    {
        settings.entry(name).or_insert(default);
    }
    let latest = Version {
        name: LATEST.into(),
        code,
        modified: call.now,
        revision: world.ids.uuid(),
        description: input.description.unwrap_or_default(),
    };
    let revision = world.ids.uuid();
    let mut function = Function {
        settings,
        tags: input.tags,
        created: call.now,
        latest,
        published: Vec::new(),
        last_number: 0,
    };
    let shown = if input.publish { function.publish(None, revision) } else { function.latest.clone() };
    let answer = view(&key, &function, &shown, call.now);
    world.lambda.functions.insert(key, function);
    Ok(answer)
}

pub(super) fn update(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        function_name: String,
        #[serde(flatten)]
        code: Given,
        #[serde(default)]
        publish: bool,
        #[serde(default)]
        dry_run: bool,
        revision_id: Option<String>,
    }
    let input: Input = call.parse()?;
    let (key, _) = parse(call, &input.function_name);
    let Some(function) = world.lambda.functions.get(&key) else {
        return Err(not_found(&arn(&key, LATEST)));
    };
    function.settled(&key.1, call.now)?;
    revised(function, input.revision_id.as_deref())?;
    let package = function.latest.code.package();
    let code = input.code.code(world, &call.region)?;
    if code.package() != package {
        return Err(invalid("The package type of a function cannot be changed"));
    }
    let (latest_revision, revision) = (world.ids.uuid(), world.ids.uuid());
    let Some(function) = world.lambda.functions.get_mut(&key) else {
        return Err(not_found(&arn(&key, LATEST)));
    };
    let mut next = function.clone();
    next.latest = Version { code, modified: call.now, revision: latest_revision, ..next.latest };
    let shown = if input.publish { next.publish(None, revision) } else { next.latest.clone() };
    let answer = view(&key, &next, &shown, call.now);
    if !input.dry_run {
        *function = next;
    }
    Ok(answer)
}

/// Checks the `RevisionId` of a request, the optimistic lock.
fn revised(function: &Function, given: Option<&str>) -> Result<(), ApiError> {
    if given.is_some_and(|given| given != function.latest.revision) {
        let message = "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id";
        return Err(ApiError::new("PreconditionFailedException", message));
    }
    Ok(())
}

pub(super) fn publish(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        function_name: String,
        code_sha256: Option<String>,
        description: Option<String>,
        revision_id: Option<String>,
    }
    let input: Input = call.parse()?;
    let (key, _) = parse(call, &input.function_name);
    let revision = world.ids.uuid();
    let Some(function) = world.lambda.functions.get_mut(&key) else {
        return Err(not_found(&arn(&key, LATEST)));
    };
    function.settled(&key.1, call.now)?;
    revised(function, input.revision_id.as_deref())?;
    if input.code_sha256.is_some_and(|given| given != function.latest.code.sha256()) {
        return Err(invalid("CodeSHA256 is different from the current CodeSHA256 in $LATEST"));
    }
    let version = function.publish(input.description, revision);
    Ok(view(&key, function, &version, call.now))
}

pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        function_name: String,
        qualifier: Option<String>,
    }
    let input: Input = call.parse()?;
    let (key, within) = parse(call, &input.function_name);
    let Some(function) = world.lambda.functions.get_mut(&key) else {
        return Err(not_found(&arn(&key, LATEST)));
    };
    match input.qualifier.or(within).as_deref() {
        None => drop(world.lambda.functions.remove(&key)),
        Some(LATEST) => {
            return Err(invalid("$LATEST version cannot be deleted without deleting the function."));
        }
        // Deleting an unknown version succeeds.
        Some(version) => function.published.retain(|published| published.name != version),
    }
    Ok(json!({ "StatusCode": 204 }))
}

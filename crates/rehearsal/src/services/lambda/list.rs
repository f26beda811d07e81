//! API views and lists of functions and versions.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::page::page;
use super::super::support::{Place, iso};
use super::code::Code;
use super::function::{arn, not_found, parse};
use super::{Function, LATEST, SETTLES, Version, invalid};

/// The maximum page size, regardless of `MaxItems`.
const PAGE: usize = 50;

/// A `FunctionConfiguration`.
pub(super) fn view(key: &(Place, String), function: &Function, version: &Version, now: Time) -> Value {
    let pending = now < function.created + SETTLES;
    let updating = now < version.modified + SETTLES;
    let mut view = json!({
        "FunctionName": key.1,
        "FunctionArn": arn(key, &version.name),
        "CodeSize": version.code.size(),
        "CodeSha256": version.code.sha256(),
        "Description": version.description,
        // `2026-01-02T03:04:05.000+0000`.
        "LastModified": iso(version.modified).replace('Z', "+0000"),
        "Version": version.name,
        "RevisionId": version.revision,
        "State": if pending { "Pending" } else { "Active" },
        "LastUpdateStatus": if updating { "InProgress" } else { "Successful" },
        "PackageType": version.code.package(),
    });
    if let Some(view) = view.as_object_mut() {
        view.extend(function.settings.clone());
    }
    view
}

pub(super) fn get(world: &World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        function_name: String,
        qualifier: Option<String>,
    }
    let input: Input = call.parse()?;
    let (key, within) = parse(call, &input.function_name);
    let qualifier = input.qualifier.or(within).unwrap_or_else(|| LATEST.to_owned());
    let Some(function) = world.lambda.functions.get(&key) else {
        return Err(not_found(&arn(&key, &qualifier)));
    };
    let all = std::iter::once(&function.latest).chain(&function.published);
    let Some(version) = all.into_iter().find(|version| version.name == qualifier) else {
        return Err(not_found(&arn(&key, &qualifier)));
    };
    let code = match &version.code {
        Code::Zip { sha256, .. } => {
            let location = format!(
                "https://awslambda-code.s3.{}/{}",
                crate::partition::dns_suffix(&key.0.region),
                sha256.replace('/', "_")
            );
            json!({ "RepositoryType": "S3", "Location": location })
        }
        Code::Image { uri, resolved } => {
            json!({ "RepositoryType": "ECR", "ImageUri": uri, "ResolvedImageUri": resolved })
        }
    };
    let tags = (!function.tags.is_empty()).then_some(&function.tags);
    Ok(json!({ "Configuration": view(&key, function, version, call.now), "Code": code, "Tags": tags }))
}

pub(super) fn functions(world: &World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        function_version: Option<String>,
        marker: Option<String>,
        max_items: Option<usize>,
    }
    let input: Input = call.parse()?;
    let all = input.function_version.is_some();
    let mut found = Vec::new();
    let here =
        world.lambda.functions.iter().filter(|((place, _), _)| place.holds(&call.account, &call.region));
    for (key, function) in here {
        found.push(view(key, function, &function.latest, call.now));
        if all {
            found.extend(function.published.iter().map(|version| view(key, function, version, call.now)));
        }
    }
    let size = input.max_items.unwrap_or(PAGE).min(PAGE);
    let (found, next) =
        page(found, input.marker.as_deref(), size).ok_or_else(|| invalid("The marker is not valid."))?;
    Ok(json!({ "Functions": found, "NextMarker": next }))
}

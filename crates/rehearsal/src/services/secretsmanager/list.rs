//! API views and lists of secrets, without their values.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::page::page;
use super::secret::arn_of;
use super::{Secret, not_found};

fn bad_token() -> ApiError {
    ApiError::new("InvalidNextTokenException", "The NextToken value is invalid.")
}

/// The members that `DescribeSecret` and `ListSecrets` share; `stages` is the name of the version map's member.
fn view(secret: &Secret, stages: &str) -> Value {
    let versions: Map<String, Value> = secret
        .versions
        .iter()
        .filter(|version| !version.stages.is_empty())
        .map(|version| (version.id.clone(), json!(version.stages)))
        .collect();
    let mut view = json!({
        "ARN": secret.arn,
        "Name": secret.name,
        "CreatedDate": secret.created.epoch_seconds(),
        "LastChangedDate": secret.changed.epoch_seconds(),
        "Tags": secret.tags,
    });
    view[stages] = versions.into();
    if let Some(description) = &secret.description {
        view["Description"] = description.as_str().into();
    }
    if let Some(key) = &secret.kms_key {
        view["KmsKeyId"] = key.as_str().into();
    }
    if let Some(at) = secret.accessed {
        view["LastAccessedDate"] = at.epoch_seconds().into();
    }
    if let Some((at, _)) = secret.deleted {
        view["DeletedDate"] = at.epoch_seconds().into();
    }
    view
}

pub(super) fn describe(world: &World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        secret_id: String,
    }
    let input: Input = call.parse()?;
    let arn = arn_of(world, call, &input.secret_id)?;
    let secret = world.secretsmanager.secrets.get(&arn);
    secret
        .map(|secret| view(secret, "VersionIdsToStages"))
        .ok_or_else(|| not_found("Secrets Manager can't find the specified secret."))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    #[serde(default)]
    include_planned_deletion: bool,
    #[serde(default)]
    filters: Vec<Filter>,
    max_results: Option<usize>,
    next_token: Option<String>,
    sort_order: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    key: String,
    #[serde(default)]
    values: Vec<String>,
}

impl Filter {
    /// Whether a secret matches. Values match prefixes; a leading `!` negates.
    fn fits(&self, secret: &Secret) -> bool {
        let tags = |member: &str| -> Vec<String> {
            secret.tags.iter().filter_map(|tag| tag.get(member)?.as_str()).map(str::to_owned).collect()
        };
        let (name, description) = (vec![secret.name.clone()], secret.description.iter().cloned().collect());
        let texts: Vec<String> = match self.key.as_str() {
            "name" => name,
            "description" => description,
            "tag-key" => tags("Key"),
            "tag-value" => tags("Value"),
            "all" => [name, description, tags("Key"), tags("Value")].concat(),
            _ => return false,
        };
        self.values.iter().any(|wanted| match wanted.strip_prefix('!') {
            Some(unwanted) => !texts.iter().any(|text| text.starts_with(unwanted)),
            None => texts.iter().any(|text| text.starts_with(wanted.as_str())),
        })
    }
}

pub(super) fn secrets(world: &World, call: &Call) -> Answer {
    let input: List = call.parse()?;
    let mut found: Vec<&Secret> = world
        .secretsmanager
        .secrets
        .values()
        .filter(|s| s.account == call.account && s.region == call.region)
        .filter(|s| input.include_planned_deletion || s.deleted.is_none())
        .filter(|s| input.filters.iter().all(|filter| filter.fits(s)))
        .collect();
    found.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    if input.sort_order.as_deref() != Some("asc") {
        found.reverse();
    }
    let all = found.into_iter().map(|secret| view(secret, "SecretVersionsToStages")).collect();
    let size = input.max_results.unwrap_or(100);
    let (items, next) = page(all, input.next_token.as_deref(), size).ok_or_else(bad_token)?;
    let mut answer = json!({ "SecretList": items });
    if let Some(next) = next {
        answer["NextToken"] = next.into();
    }
    Ok(answer)
}

/// `ListSecretVersionIds`: versions without a label only on request.
pub(super) fn versions(world: &World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        secret_id: String,
        max_results: Option<usize>,
        next_token: Option<String>,
        #[serde(default)]
        include_deprecated: bool,
    }
    let input: Input = call.parse()?;
    let arn = arn_of(world, call, &input.secret_id)?;
    let Some(secret) = world.secretsmanager.secrets.get(&arn) else {
        return Err(not_found("Secrets Manager can't find the specified secret."));
    };
    let all: Vec<Value> = secret
        .versions
        .iter()
        .rev()
        .filter(|version| input.include_deprecated || !version.stages.is_empty())
        .map(|version| {
            json!({
                "VersionId": version.id,
                "VersionStages": version.stages,
                "CreatedDate": version.created.epoch_seconds(),
            })
        })
        .collect();
    let size = input.max_results.unwrap_or(100);
    let (items, next) = page(all, input.next_token.as_deref(), size).ok_or_else(bad_token)?;
    let mut answer = json!({ "Versions": items, "ARN": secret.arn, "Name": secret.name });
    if let Some(next) = next {
        answer["NextToken"] = next.into();
    }
    Ok(answer)
}

//! Security Token Service: access keys, their principals, and temporary credentials.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::super::call::{Answer, ApiError, Call};
use super::super::ids::Ids;
use super::super::time::Time;
use super::super::world::World;

/// The operations that this service implements.
pub const OPERATIONS: &[&str] = &["AssumeRole", "GetCallerIdentity"];

/// All access keys and known roles.
#[derive(Clone, Debug, Default)]
pub struct State {
    keys: BTreeMap<String, Issued>,
    /// The number of keys issued so far. Key ids derive from it instead of the world's ids: the number of job polls
    /// must not change any resource id.
    issued: u64,
    /// The known roles with their trust policies.
    roles: BTreeMap<String, Trust>,
}

/// The trust policy of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The ARN of the principal that may assume the role.
    pub principal: String,
    /// The external id that it must send.
    pub external_id: Option<String>,
}

/// Seeds a role. From then on its account has only seeded roles.
pub fn place_role(world: &mut World, arn: &str, trust: Trust) {
    world.sts.roles.insert(arn.to_owned(), trust);
}

#[derive(Clone, Debug)]
struct Issued {
    credentials: Credentials,
    principal: Principal,
}

/// The principal of an access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub account: String,
    /// `arn:aws:iam::…:role/…`, `arn:aws:sts::…:assumed-role/…/…` or a user's ARN.
    pub arn: String,
    /// When the key expires; `None` for long-term keys.
    pub expires: Option<Time>,
}

/// An access key with its secret. Its `Debug` form shows the key id only.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// `ASIA…` for temporary keys, `AKIA…` for long-term ones.
    pub access_key_id: String,
    pub secret_access_key: String,
    /// `None` for long-term keys.
    pub session_token: Option<String>,
    pub expires: Option<Time>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// The principal of an access key, expired or not; `None` for an unknown key.
#[must_use]
pub fn principal(world: &World, access_key: &str) -> Option<Principal> {
    world.sts.keys.get(access_key).map(|issued| issued.principal.clone())
}

/// The full credentials of an access key, to verify signatures.
#[must_use]
pub fn credentials<'w>(world: &'w World, access_key: &str) -> Option<&'w Credentials> {
    world.sts.keys.get(access_key).map(|issued| &issued.credentials)
}

/// Issues temporary credentials of `arn` that expire after `lifetime`.
pub fn issue(world: &mut World, account: &str, arn: &str, lifetime: Duration) -> Credentials {
    let expires = world.now + lifetime;
    register(world, account, arn, "ASIA", Some(expires))
}

/// Issues a long-term key of `arn`, which never expires.
pub fn issue_long_term(world: &mut World, account: &str, arn: &str) -> Credentials {
    register(world, account, arn, "AKIA", None)
}

fn register(world: &mut World, account: &str, arn: &str, prefix: &str, expires: Option<Time>) -> Credentials {
    world.sts.issued += 1;
    let mut ids = Ids::new(world.sts.issued);
    let mut hex =
        |words: u32| (0..words).fold(String::new(), |text, _| text + &format!("{:016x}", ids.next()));
    let credentials = Credentials {
        access_key_id: format!("{prefix}{}", hex(1).to_uppercase()),
        secret_access_key: hex(3).chars().take(40).collect(),
        session_token: expires.map(|_| hex(8)),
        expires,
    };
    let principal = Principal { account: account.to_owned(), arn: arn.to_owned(), expires };
    let issued = Issued { credentials: credentials.clone(), principal };
    world.sts.keys.insert(credentials.access_key_id.clone(), issued);
    credentials
}

/// Handles one API call.
///
/// # Errors
/// The error that the service returns.
pub fn call(world: &mut World, call: &Call) -> Answer {
    match call.operation.as_str() {
        "AssumeRole" => assume_role(world, call),
        "GetCallerIdentity" => get_caller_identity(world, call),
        other => Err(ApiError::new("InvalidAction", other)),
    }
}

fn get_caller_identity(world: &World, call: &Call) -> Answer {
    let Some(principal) = principal(world, &call.access_key) else {
        let message = "The security token included in the request is invalid.";
        return Err(ApiError::new("InvalidClientTokenId", message).with_status(403));
    };
    if principal.expires.is_some_and(|at| at <= call.now) {
        let message = "The security token included in the request is expired";
        return Err(ApiError::new("ExpiredToken", message).with_status(403));
    }
    let user_id = match principal.arn.rsplit_once('/') {
        Some((_, session)) if principal.arn.contains(":assumed-role/") => {
            format!("{}:{session}", role_id(&principal.arn))
        }
        _ => role_id(&principal.arn),
    };
    Ok(json!({ "UserId": user_id, "Account": principal.account, "Arn": principal.arn }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRole {
    role_arn: String,
    role_session_name: String,
    duration_seconds: Option<u64>,
    external_id: Option<String>,
    source_identity: Option<String>,
}

/// The maximum session duration with role chaining, in seconds.
const CHAINED: u64 = 3600;

/// `AssumeRole`. A seeded role can be assumed by the principal in its trust policy. In accounts without seeded roles,
/// everyone can assume every role: permissions are not evaluated.
fn assume_role(world: &mut World, call: &Call) -> Answer {
    let input: AssumeRole = call.parse()?;
    let mut parts = input.role_arn.splitn(6, ':').skip(4);
    let (Some(account), Some(role)) = (parts.next(), parts.next().and_then(|r| r.strip_prefix("role/")))
    else {
        return Err(
            ApiError::new("ValidationError", format!("{} is invalid", input.role_arn)).with_status(400)
        );
    };
    let caller = principal(world, &call.access_key);
    let of_account = format!(":iam::{account}:role/");
    let roles = &world.sts.roles;
    let refused = match (roles.get(&input.role_arn), &caller) {
        (Some(trust), Some(caller)) => {
            trust.principal != caller.arn
                || trust.external_id.is_some() && trust.external_id != input.external_id
        }
        (Some(_), None) => true,
        (None, _) => roles.keys().any(|known| known.contains(&of_account)),
    };
    if refused {
        let who = caller.map_or("unknown".to_owned(), |caller| caller.arn);
        let message = format!(
            "User: {who} is not authorized to perform: sts:AssumeRole on resource: {}",
            input.role_arn
        );
        return Err(ApiError::new("AccessDenied", message).with_status(403));
    }
    if caller.is_some_and(|caller| caller.arn.contains(":assumed-role/"))
        && input.duration_seconds.is_some_and(|seconds| seconds > CHAINED)
    {
        let message = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining";
        return Err(ApiError::new("ValidationError", message).with_status(400));
    }
    let name = role.rsplit('/').next().unwrap_or(role);
    let partition = input.role_arn.split(':').nth(1).unwrap_or("aws");
    let arn = format!("arn:{partition}:sts::{account}:assumed-role/{name}/{}", input.role_session_name);
    // One hour is the API's default for DurationSeconds.
    let lifetime = Duration::from_secs(input.duration_seconds.unwrap_or(3600));
    let credentials = issue(world, account, &arn, lifetime);
    let mut answer = json!({
        "Credentials": {
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": credentials.secret_access_key,
            "SessionToken": credentials.session_token,
            "Expiration": credentials.expires.map(Time::epoch_seconds),
        },
        "AssumedRoleUser": {
            "AssumedRoleId": format!("{}:{}", role_id(&arn), input.role_session_name),
            "Arn": arn,
        },
    });
    if let Some(identity) = input.source_identity {
        answer["SourceIdentity"] = identity.into();
    }
    Ok(answer)
}

/// A unique id that is the same for every session of one role (FNV-1a of account and role name).
fn role_id(arn: &str) -> String {
    let role =
        if arn.contains(":assumed-role/") { arn.rsplit_once('/').map_or(arn, |(role, _)| role) } else { arn };
    let hash = role.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("AROA{hash:016X}")
}

#[cfg(test)]
mod tests;

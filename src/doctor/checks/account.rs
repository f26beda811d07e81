//! Checks of the worker's account: caller, environments, action types, buckets and keys.

use std::collections::BTreeSet;

use super::unread;
use crate::doctor::Finding;
use crate::doctor::observed::{ActionType, Caller, Key, Observed};
use crate::engine::Timestamp;
use crate::evidence::{PublicKey, Stage, TrustRoot};
use crate::worker::action::{PROPERTIES, VERSION, category, provider};

/// Checks that the caller is in the pipeline's account.
#[must_use]
pub fn caller(observed: &Observed<Caller>, pipeline: Option<&str>) -> Finding {
    const CHECK: &str = "caller_is_in_pipeline_account";
    let caller = match observed {
        Ok(caller) => caller,
        Err(error) => return unread(CHECK, "the caller's credentials", error),
    };
    let home = pipeline.and_then(|arn| arn.split(':').nth(4)).unwrap_or(&caller.account);
    if home == caller.account {
        return Finding::ok(CHECK, &caller.arn, format!("account {}", caller.account));
    }
    let observed = format!("account {}, but the pipeline is in account {home}", caller.account);
    Finding::failed(CHECK, &caller.arn, observed)
        .hint("a worker polls in the account and region of the pipeline: use credentials of that account")
}

/// Checks that the role of an environment can be assumed: `observed` is the caller under that role.
#[must_use]
pub fn environment(name: &str, observed: &Observed<Caller>) -> Finding {
    const CHECK: &str = "environment_role_can_be_assumed";
    match observed {
        Ok(caller) => Finding::ok(CHECK, name, format!("acts as {}", caller.arn)),
        Err(error) => unread(CHECK, name, error),
    }
}

/// Checks that a stage's action type exists as `pipeline/action-types.yaml` declares it.
#[must_use]
pub fn action_type(stage: Stage, observed: &Observed<Vec<ActionType>>) -> Finding {
    const CHECK: &str = "action_type_exists";
    const COMPARE: &str = "compare it with pipeline/action-types.yaml";
    let subject = format!("Custom/{}/{}/{VERSION}", category(stage), provider(stage));
    let types = match observed {
        Ok(types) => types,
        Err(error) => return unread(CHECK, &subject, error),
    };
    let of_stage: Vec<&ActionType> = types
        .iter()
        .filter(|found| found.provider == provider(stage) && found.category == category(stage))
        .collect();
    let Some(found) = of_stage.iter().find(|found| found.version == VERSION) else {
        let others: Vec<&str> = of_stage.iter().map(|found| found.version.as_str()).collect();
        let observed = match others.as_slice() {
            [] => "it does not exist in this account and region".to_owned(),
            others => format!("only version {} exists", others.join(", ")),
        };
        return Finding::failed(CHECK, subject, observed).hint("deploy pipeline/action-types.yaml");
    };
    let allows_one = |(min, max): (i32, i32)| min <= 1 && max >= 1;
    if !allows_one(found.inputs) || !allows_one(found.outputs) {
        let observed = format!(
            "it takes {} to {} input and {} to {} output artifacts",
            found.inputs.0, found.inputs.1, found.outputs.0, found.outputs.1
        );
        return Finding::failed(CHECK, subject, observed)
            .hint(format!("an action has one input and one output artifact: {COMPARE}"));
    }
    if let Some(property) = found.properties.iter().find(|property| property.queryable) {
        let observed = format!("its property {} is queryable", property.name);
        return Finding::failed(CHECK, subject, observed)
            .hint("a type with a queryable property is polled with a query, and the worker sends none");
    }
    let unknown: Vec<&str> = found
        .properties
        .iter()
        .map(|property| property.name.as_str())
        .filter(|name| !PROPERTIES.contains(name))
        .collect();
    if !unknown.is_empty() {
        let observed = format!("it has properties that no stage reads: {}", unknown.join(", "));
        return Finding::warning(CHECK, subject, observed).hint(COMPARE);
    }
    Finding::ok(CHECK, subject, format!("version {VERSION} exists"))
}

/// Checks that a bucket exists in `region`. `observed` is the region it is in.
#[must_use]
pub fn bucket(check: &'static str, name: &str, observed: &Observed<Option<String>>, region: &str) -> Finding {
    match observed {
        Ok(Some(found)) if found == region => Finding::ok(check, name, format!("in {found}")),
        Ok(Some(found)) => Finding::failed(check, name, format!("it is in {found}, not in {region}"))
            .hint(format!("use a bucket in {region}")),
        Ok(None) => Finding::failed(check, name, "it does not exist").hint("create it, or correct its name"),
        Err(error) => unread(check, name, error),
    }
}

/// Checks that a KMS key exists, is enabled and is for `usage`.
#[must_use]
pub fn key(check: &'static str, name: &str, observed: &Observed<Option<Key>>, usage: &str) -> Finding {
    let key = match observed {
        Ok(Some(key)) => key,
        Ok(None) => {
            return Finding::failed(check, name, "it does not exist").hint("correct the key's id or ARN");
        }
        Err(error) => return unread(check, name, error),
    };
    if key.state != "Enabled" {
        return Finding::failed(check, name, format!("its state is {}", key.state)).hint("enable the key");
    }
    if key.usage != usage {
        return Finding::failed(check, name, format!("its key usage is {}", key.usage))
            .hint(format!("use a key with key usage {usage}"));
    }
    Finding::ok(check, name, format!("{}, key usage {usage}", key.arn))
}

/// Checks that the trust root lets the signing key sign for every one of `stages` now.
#[must_use]
pub fn key_is_trusted(
    name: &str,
    signer: &PublicKey,
    trust: &TrustRoot,
    stages: &BTreeSet<Stage>,
    now: Timestamp,
) -> Finding {
    const CHECK: &str = "signing_key_is_trusted";
    let Some(trusted) = trust.keys().iter().find(|trusted| trusted.public_key == *signer) else {
        let observed = format!("its public key {} is not in the trust root", signer.id());
        return Finding::failed(CHECK, name, observed)
            .hint("add the public key to the trust root: later stages refuse what this key signs");
    };
    let refused: Vec<&str> =
        stages.iter().filter(|stage| !trusted.may_sign(**stage)).map(|stage| stage.name()).collect();
    if !refused.is_empty() {
        let observed =
            format!("the trust root lets the key `{}` not sign for {}", trusted.name, refused.join(", "));
        return Finding::failed(CHECK, name, observed).hint("add the stages to the key in the trust root");
    }
    if !trusted.valid_at(now.date_time()) {
        let observed = format!("the key `{}` of the trust root is not valid at {now}", trusted.name);
        return Finding::failed(CHECK, name, observed)
            .hint("sign with a key that is valid, or correct not_before and not_after in the trust root");
    }
    Finding::ok(CHECK, name, format!("trusted as `{}`", trusted.name))
}

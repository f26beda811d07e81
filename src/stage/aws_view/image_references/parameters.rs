//! References from parameters of Systems Manager: values that contain image ids, and parameters that launch templates
//! resolve.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ssm::types::ParameterType;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::AT_ONCE;
use super::graph::{ListName, Listings, ResourceKind, parameter_name};
use crate::aws::{Aws, AwsError};
use crate::engine::StageError;
use crate::engine::error::{ErrorClass, ModuleError};

/// Names in one call of `GetParameters`.
const NAMES: usize = 10;

/// The largest page of `DescribeParameters`.
const PAGE: i32 = 50;

/// A parameter that was listed and could not be read. A retry may succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    #[error("the parameter {name} was deleted while the parameters were read")]
    Vanished { name: String },
    #[error("ssm:GetParameters returned neither a value nor an error for {name}")]
    Unanswered { name: String },
}

impl ModuleError for ParameterError {
    fn class(&self) -> ErrorClass {
        ErrorClass::NotYet
    }
}

/// Reads every parameter that is not a `SecureString`.
pub async fn parameters(aws: &Aws, listings: &mut Listings) -> Result<(), StageError> {
    let mut pages = aws.ssm.describe_parameters().max_results(PAGE).into_paginator().send();
    let mut names = Vec::new();
    let mut entries = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("ssm:DescribeParameters", "every parameter", e))?;
        entries += page.parameters().len();
        let open = page.parameters().iter().filter(|one| one.r#type() != Some(&ParameterType::SecureString));
        names.extend(open.filter_map(|one| one.name().map(str::to_owned)));
    }
    let read = values(aws, &names).await?;
    if let Some((missing, _)) = read.iter().find(|(_, value)| value.is_none()) {
        return Err(ParameterError::Vanished { name: missing.clone() }.into());
    }
    for (name, value) in read {
        listings.add_text(
            ResourceKind::Parameter,
            &parameter_name(&name),
            value.as_deref().unwrap_or_default(),
        );
        listings.parameter_values.insert(name, value);
    }
    listings.set_length(ListName::Parameters, entries);
    Ok(())
}

/// Reads the parameters that launch templates, overrides and recipes reference, at the version or label they write,
/// unless they were read under that very name.
pub async fn resolve(aws: &Aws, listings: &mut Listings) -> Result<(), StageError> {
    let wanted = listings.wanted_parameters().into_iter();
    let unread: Vec<String> = wanted.filter(|name| !listings.parameter_values.contains_key(name)).collect();
    listings.parameter_values.append(&mut values(aws, &unread).await?);
    Ok(())
}

/// The values of parameters by the requested name, which may end in `:version` or `:label`; `None` for a missing one.
async fn values(aws: &Aws, names: &[String]) -> Result<BTreeMap<String, Option<String>>, StageError> {
    let read = |batch: Vec<String>| async move {
        let answer = aws
            .ssm
            .get_parameters()
            .set_names(Some(batch.clone()))
            .send()
            .await
            .map_err(|e| AwsError::new("ssm:GetParameters", batch.join(", "), e))?;
        let mut values: BTreeMap<String, Option<String>> =
            answer.invalid_parameters().iter().map(|name| (name.clone(), None)).collect();
        for found in answer.parameters() {
            let selector = found.selector().unwrap_or_default();
            let name = found.name().unwrap_or_default();
            let asked = batch.iter().find(|asked| {
                let is_of = |given: &str| asked.strip_suffix(selector) == Some(given);
                is_of(name) || found.arn().is_some_and(is_of)
            });
            if let (Some(asked), Some(value)) = (asked, found.value()) {
                values.insert(asked.clone(), Some(value.to_owned()));
            }
        }
        match batch.iter().find(|name| !values.contains_key(*name)) {
            Some(name) => Err(StageError::from(ParameterError::Unanswered { name: name.clone() })),
            None => Ok(values),
        }
    };
    let distinct: BTreeSet<&String> = names.iter().collect();
    let distinct: Vec<String> = distinct.into_iter().cloned().collect();
    let batches: Vec<Vec<String>> = distinct.chunks(NAMES).map(<[String]>::to_vec).collect();
    let all: Vec<_> = stream::iter(batches).map(read).buffered(AT_ONCE).try_collect().await?;
    Ok(all.into_iter().flatten().collect())
}

//! Parameters of Systems Manager: those whose value names images, and those that templates resolve.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ssm::types::ParameterType;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::AT_ONCE;
use crate::aws::{Aws, AwsError};
use crate::engine::StageError;
use crate::stage::cleanup::graph::{Facts, Kind, Source, parameter};

/// Names in one call of `GetParameters`.
const NAMES: usize = 10;

/// The largest page of `DescribeParameters`.
const PAGE: i32 = 50;

/// Every parameter whose value can be read without a key. Secrets are not read; an image is none.
pub async fn parameters(aws: &Aws, facts: &mut Facts) -> Result<(), StageError> {
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
        return Err(StageError::NotYet(format!("the parameter {missing} went away while it was read")));
    }
    for (name, value) in read {
        facts.text(Kind::Parameter, &parameter(&name), value.as_deref().unwrap_or_default());
        facts.aliases.insert(name, value);
    }
    facts.count(Source::Parameters, entries);
    Ok(())
}

/// What the parameters come to that templates, overrides and recipes name, at the version or label they name, as far as
/// they were not read by the very name.
pub async fn aliases(aws: &Aws, facts: &mut Facts) -> Result<(), StageError> {
    let wanted = facts.wanted_parameters().into_iter();
    let unread: Vec<String> = wanted.filter(|name| !facts.aliases.contains_key(name)).collect();
    facts.aliases.append(&mut values(aws, &unread).await?);
    Ok(())
}

/// The values of parameters, by the name as it was asked for: it may end in `:version` or `:label`.
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
            Some(name) => Err(StageError::NotYet(format!("GetParameters said nothing of {name}"))),
            None => Ok(values),
        }
    };
    let distinct: BTreeSet<&String> = names.iter().collect();
    let distinct: Vec<String> = distinct.into_iter().cloned().collect();
    let batches: Vec<Vec<String>> = distinct.chunks(NAMES).map(<[String]>::to_vec).collect();
    let all: Vec<_> = stream::iter(batches).map(read).buffered(AT_ONCE).try_collect().await?;
    Ok(all.into_iter().flatten().collect())
}

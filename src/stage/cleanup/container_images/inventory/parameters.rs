//! Parameters of Systems Manager: those whose values may name images, and those that hold our marks.

use super::super::marks::{Batch, FOLDER};
use crate::aws::{Aws, AwsError};
use crate::engine::StageError;
use crate::stage::cleanup::containers::graph::{Facts, Kind, User};
use crate::stage::cleanup::graph::{self, Source};
use crate::stage::cleanup::inventory;

/// What cleanups write down for themselves.
const OURS: &str = "bakeline/cleanup/";

/// Every parameter whose value can be read without a key, except our own.
pub async fn parameters(aws: &Aws, facts: &mut Facts) -> Result<(), StageError> {
    let mut read = graph::Facts::default();
    inventory::parameters(aws, &mut read).await?;
    for (name, value) in read.aliases {
        let name = graph::parameter(&name);
        if let Some(value) = value.filter(|_| !name.starts_with(OURS)) {
            facts.text(User::new(Kind::Parameter, name), &value);
        }
    }
    if let Some(entries) = read.counts.remove(&Source::Parameters) {
        facts.counts.insert(Source::Parameters, entries);
    }
    Ok(())
}

/// Every mark of this account and region.
///
/// # Errors
/// As the call; or one of the parameters is no mark.
pub async fn marks(aws: &Aws) -> Result<Vec<Batch>, StageError> {
    let folder = FOLDER.trim_end_matches('/');
    let mut pages = aws.ssm.get_parameters_by_path().path(folder).recursive(true).into_paginator().send();
    let mut marks = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("ssm:GetParametersByPath", folder, e))?;
        for parameter in page.parameters() {
            let (name, value) = (parameter.name().unwrap_or_default(), parameter.value().unwrap_or_default());
            let mark = Batch::read(name, value).ok_or_else(|| {
                StageError::Rejected(format!(
                    "the parameter {name} is not a mark of a cleanup; delete it, and what it stood for stays in the archive"
                ))
            })?;
            marks.push(mark);
        }
    }
    Ok(marks)
}

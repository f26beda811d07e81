//! Functions made of images: each published version keeps the digest that its tag had, for ever.

use aws_sdk_lambda::types::{FunctionVersion, PackageType};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::stage::cleanup::containers::graph::{Facts, Kind, User};
use crate::stage::cleanup::graph::Source;
use crate::stage::cleanup::inventory::AT_ONCE;

/// Every version of every function. Aliases stand for versions.
pub async fn functions(aws: &Aws, facts: &mut Facts) -> Result<(), StageError> {
    let mut pages =
        aws.lambda.list_functions().function_version(FunctionVersion::All).into_paginator().send();
    let mut entries = 0;
    let mut of_images = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("lambda:ListFunctions", "every function", e))?;
        entries += page.functions().len();
        for one in page.functions().iter().filter(|one| one.package_type() == Some(&PackageType::Image)) {
            if let (Some(name), Some(version)) = (one.function_name(), one.version()) {
                of_images.push((name.to_owned(), version.to_owned()));
            }
        }
    }
    facts.count(Source::Functions, entries);
    let read = |(name, version): (String, String)| async move {
        let sent = aws.lambda.get_function().function_name(&name).qualifier(&version).send().await;
        let id = format!("{name}:{version}");
        match sent.map_err(|e| AwsError::new("lambda:GetFunction", &id, e)) {
            // It was deleted since it was listed.
            Err(error) if error.class == Class::Missing => Ok((id, Vec::new())),
            Err(error) => Err(StageError::from(error)),
            Ok(answer) => {
                let code = answer.code();
                let by =
                    [code.and_then(|code| code.resolved_image_uri()), code.and_then(|code| code.image_uri())];
                let by: Vec<String> = by.into_iter().flatten().map(str::to_owned).collect();
                if by.is_empty() {
                    return Err(StageError::Rejected(format!(
                        "the function {id} is made of an image, and Lambda does not say which"
                    )));
                }
                Ok((id, by))
            }
        }
    };
    let read: Vec<(String, Vec<String>)> =
        stream::iter(of_images).map(read).buffered(AT_ONCE).try_collect().await?;
    for (id, texts) in read {
        for text in texts {
            facts.text(User::new(Kind::Function, id.as_str()), &text);
        }
    }
    Ok(())
}

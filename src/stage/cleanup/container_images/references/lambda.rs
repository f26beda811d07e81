//! References from Lambda functions with container images: each published version keeps the digest that its tag had.

use aws_sdk_lambda::types::{FunctionVersion, PackageType};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::ListError;
use super::graph::{Listings, Resource, ResourceKind};
use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::stage::aws_view::image_references::AT_ONCE;
use crate::stage::aws_view::image_references::graph::ListName;

/// Reads every version of every function. An alias points to a version.
pub async fn functions(aws: &Aws, listings: &mut Listings) -> Result<(), StageError> {
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
    listings.add_length(ListName::Functions, entries);
    let read = |(name, version): (String, String)| async move {
        let sent = aws.lambda.get_function().function_name(&name).qualifier(&version).send().await;
        let id = format!("{name}:{version}");
        match sent.map_err(|e| AwsError::new("lambda:GetFunction", &id, e)) {
            // Deleted since it was listed.
            Err(error) if error.class == Class::Missing => Ok((id, Vec::new())),
            Err(error) => Err(StageError::from(error)),
            Ok(answer) => {
                let code = answer.code();
                let by =
                    [code.and_then(|code| code.resolved_image_uri()), code.and_then(|code| code.image_uri())];
                let by: Vec<String> = by.into_iter().flatten().map(str::to_owned).collect();
                if by.is_empty() {
                    return Err(ListError::NoImage { function: id }.into());
                }
                Ok((id, by))
            }
        }
    };
    let read: Vec<(String, Vec<String>)> =
        stream::iter(of_images).map(read).buffered(AT_ONCE).try_collect().await?;
    for (id, texts) in read {
        for text in texts {
            listings.add_text(Resource::new(ResourceKind::Function, id.as_str()), &text);
        }
    }
    Ok(())
}

//! References from parameters of Systems Manager whose values name container images.

use super::graph::{Listings, Resource, ResourceKind};
use crate::aws::Aws;
use crate::engine::StageError;
use crate::stage::aws_view::image_references;
use crate::stage::aws_view::image_references::graph::{self, ListName};

/// Parameters in which cleanup stores its own state.
const OURS: &str = "bakeline/state/cleanup/";

/// Reads every parameter that is neither a `SecureString` nor cleanup's own.
pub async fn parameters(aws: &Aws, listings: &mut Listings) -> Result<(), StageError> {
    let mut read = graph::Listings::default();
    image_references::parameters(aws, &mut read).await?;
    for (name, value) in read.parameter_values {
        let name = graph::parameter_name(&name);
        if let Some(value) = value.filter(|_| !name.starts_with(OURS)) {
            listings.add_text(Resource::new(ResourceKind::Parameter, name), &value);
        }
    }
    if let Some(entries) = read.lengths.remove(&ListName::Parameters) {
        listings.lengths.insert(ListName::Parameters, entries);
    }
    Ok(())
}

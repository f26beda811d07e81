//! Images that an action moves towards removal, as the token stores them.

use serde::{Deserialize, Serialize};

use super::quarantine::{RemovalStep, UnknownStep};

/// An image and the first step that may still be due. A read that shows an earlier step as due is stale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueuedImage {
    pub image: String,
    pub step: RemovalStep,
}

/// A text that is no queued image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueuedImageError {
    #[error("`{text}` is not an image id and a step, such as `ami-0123456789abcdef0 mark`")]
    NoStep { text: String },
    #[error(transparent)]
    Step(#[from] UnknownStep),
}

impl TryFrom<String> for QueuedImage {
    type Error = QueuedImageError;

    fn try_from(text: String) -> Result<Self, QueuedImageError> {
        match text.split_once(' ') {
            Some((image, step)) => Ok(Self { image: image.to_owned(), step: step.parse()? }),
            None => Err(QueuedImageError::NoStep { text }),
        }
    }
}

impl From<QueuedImage> for String {
    fn from(queued: QueuedImage) -> Self {
        format!("{} {}", queued.image, queued.step)
    }
}

impl QueuedImage {
    /// The same image after it took a step.
    #[must_use]
    pub fn after(self, step: RemovalStep) -> Self {
        let step = match step {
            RemovalStep::Mark => RemovalStep::Deprecate,
            RemovalStep::Deprecate => RemovalStep::Disable,
            RemovalStep::Disable | RemovalStep::Deregister => RemovalStep::Deregister,
        };
        Self { step, ..self }
    }
}

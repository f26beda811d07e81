//! An image on its way out, as it travels in the token: how far this action has seen it come.

use serde::{Deserialize, Serialize};

use super::quarantine::Step;

/// An image and the earliest step that may be next for it. A look that shows less is a stale one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Todo {
    pub image: String,
    pub step: Step,
}

impl TryFrom<String> for Todo {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (image, step) = text.split_once(' ').ok_or_else(|| format!("`{text}` is not `ami-… step`"))?;
        Ok(Self { image: image.to_owned(), step: step.parse()? })
    }
}

impl From<Todo> for String {
    fn from(todo: Todo) -> Self {
        format!("{} {}", todo.image, todo.step)
    }
}

impl Todo {
    /// The same image once it has taken a step.
    #[must_use]
    pub fn after(self, step: Step) -> Self {
        let step = match step {
            Step::Mark => Step::Deprecate,
            Step::Deprecate => Step::Disable,
            Step::Disable | Step::Deregister => Step::Deregister,
        };
        Self { step, ..self }
    }
}

//! A macro for keys whose value is one word of a few.

/// Defines a choice between words, the first of them being the default.
///
/// Its variants have no comments: the schema of a commented variant is not a plain `enum`.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $first:ident $(, $other:ident)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[schemars(inline, extend("type" = "string"))]
        pub enum $name { #[default] $first $(, $other)* }

        impl $name {
            /// Whether it is the default.
            #[must_use]
            pub fn is_default(&self) -> bool {
                *self == Self::default()
            }
        }
    };
}

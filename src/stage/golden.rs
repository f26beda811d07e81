//! Continuation tokens of released versions, which every later build reads.

use std::fs;
use std::path::Path;

use crate::engine::{Machine, Token};

/// Holds the tokens of a stage: each of `texts` is as its file says, and every file there is read.
///
/// A token without a file is written when `BAKELINE_BLESS` is set; a file is never written over.
pub fn hold<M: Machine>(stage: &str, texts: impl Iterator<Item = (&'static str, String)>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tokens/1").join(stage);
    for (name, text) in texts {
        let path = folder.join(format!("{name}.json"));
        if !path.exists() && std::env::var_os("BAKELINE_BLESS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(golden, text, "{name}: a released token was written differently");
    }
    for file in fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let execution = serde_json::from_str::<serde_json::Value>(&text).unwrap()["execution"]
            .as_str()
            .unwrap()
            .to_owned();
        Token::<M>::decode(&text, &execution).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

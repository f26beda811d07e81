//! What Systems Manager is asked to run for a check: a document and its parameters. Pure.

use std::collections::BTreeMap;

use super::script;
use crate::engine::StageError;
use crate::spec::Check;
use crate::stage::store::Files;

const SHELL: &str = "AWS-RunShellScript";
const POWERSHELL: &str = "AWS-RunPowerShellScript";

/// A document, and what it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub document: String,
    /// The document's default version if none.
    pub version: Option<String>,
    pub parameters: BTreeMap<String, Vec<String>>,
}

/// The orders of the checks; `files` are the source artifact's.
///
/// # Errors
/// A script is not there, or is not text.
pub fn all(checks: &[Check], files: &Files) -> Result<Vec<Order>, StageError> {
    checks.iter().map(|check| of(check, files)).collect()
}

fn of(check: &Check, files: &Files) -> Result<Order, StageError> {
    if let Some(document) = &check.document {
        // How long it may run is its own affair: it need not have a parameter for it.
        return Ok(Order {
            document: document.name.clone(),
            version: document.version.clone(),
            parameters: document.parameters.clone(),
        });
    }
    let own = check.script.as_ref().map_or(Ok(""), |script| own(check, &script.path, files))?;
    let (document, text) = if check.is_powershell() {
        (POWERSHELL, own.strip_prefix('\u{feff}').unwrap_or(own).to_owned())
    } else {
        (SHELL, script::of(check, own))
    };
    let parameters = BTreeMap::from([
        ("commands".to_owned(), text.lines().map(str::to_owned).collect()),
        ("executionTimeout".to_owned(), vec![check.timeout().as_secs().to_string()]),
    ]);
    Ok(Order { document: document.to_owned(), version: None, parameters })
}

/// The text of a check's script file.
fn own<'f>(check: &Check, path: &str, files: &'f Files) -> Result<&'f str, StageError> {
    let script = files.get(&crate::evidence::layout::source(path)).ok_or_else(|| {
        StageError::Rejected(format!("the input artifact has no {path}, the script of check {}", check.name))
    })?;
    std::str::from_utf8(script).map_err(|error| {
        let at = error.valid_up_to();
        StageError::Config(format!("{path} is not a script: byte {at} is not UTF-8 text"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Check {
        serde_json::from_value(serde_json::from_str(text).unwrap()).unwrap()
    }

    fn script(path: &str) -> Check {
        check(&format!(r#"{{"name": "a", "script": {{"path": "{path}"}}, "timeout": "2m"}}"#))
    }

    fn parameters(lines: &[&str]) -> BTreeMap<String, Vec<String>> {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        BTreeMap::from([("commands".into(), lines), ("executionTimeout".into(), vec!["120".into()])])
    }

    #[test]
    fn scripts_are_taken_line_by_line_by_the_document_that_runs_them() {
        let files = Files::from([
            ("a.sh".into(), b"#!/bin/sh\n\necho 1\n".to_vec()),
            ("a.ps1".into(), "\u{feff}Get-Service web\r\nexit 0\r\n".into()),
        ]);
        let cases = [
            ("a.sh", "AWS-RunShellScript", vec!["#!/bin/sh", "", "echo 1"]),
            ("a.ps1", "AWS-RunPowerShellScript", vec!["Get-Service web", "exit 0"]),
        ];
        for (path, document, lines) in cases {
            let order = of(&script(path), &files).unwrap();
            assert_eq!((order.document.as_str(), order.version.as_deref()), (document, None));
            assert_eq!(order.parameters, parameters(&lines), "{path}");
        }
    }

    #[test]
    fn scripts_must_be_there_and_text() {
        let files = Files::from([("b.sh".into(), b"ok\xff".to_vec())]);
        let binary = of(&script("b.sh"), &files).unwrap_err();
        assert_eq!(binary.to_string(), "b.sh is not a script: byte 2 is not UTF-8 text");
        assert!(matches!(of(&script("c.sh"), &files), Err(StageError::Rejected(_))));
    }

    #[test]
    fn a_document_gets_what_the_spec_gives_it_and_nothing_else() {
        let check = check(
            r#"{"name": "a", "timeout": "2m", "document": {"name": "AWS-RunPatchBaseline", "version": "$LATEST",
                "parameters": {"Operation": ["Scan"]}}}"#,
        );
        let order = of(&check, &Files::new()).unwrap();
        let expected = Order {
            document: "AWS-RunPatchBaseline".into(),
            version: Some("$LATEST".into()),
            parameters: BTreeMap::from([("Operation".into(), vec!["Scan".into()])]),
        };
        assert_eq!(order, expected);
    }
}

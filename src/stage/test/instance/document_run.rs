//! The document of Systems Manager that a check runs, and its parameters. Pure.

use std::collections::BTreeMap;

use super::error::InstanceError;
use super::script;
use crate::evidence::layout;
use crate::spec::Check;
use crate::stage::store::Files;

const SHELL: &str = "AWS-RunShellScript";
const POWERSHELL: &str = "AWS-RunPowerShellScript";

/// A document and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentRun {
    pub document: String,
    /// None: the default version of the document.
    pub version: Option<String>,
    pub parameters: BTreeMap<String, Vec<String>>,
}

/// The documents of all checks; `files` has the scripts from the source artifact.
///
/// # Errors
/// A script is missing, or is not text.
pub fn all(checks: &[Check], files: &Files) -> Result<Vec<DocumentRun>, InstanceError> {
    checks.iter().map(|check| of(check, files)).collect()
}

fn of(check: &Check, files: &Files) -> Result<DocumentRun, InstanceError> {
    if let Some(document) = &check.document {
        // A document need not have a parameter for its timeout: the stage cancels it.
        return Ok(DocumentRun {
            document: document.name.clone(),
            version: document.version.clone(),
            parameters: document.parameters.clone(),
        });
    }
    let text = check.script.as_ref().map_or(Ok(""), |script| script_text(check, &script.path, files))?;
    let (document, command) = if check.is_powershell() {
        (POWERSHELL, text.strip_prefix('\u{feff}').unwrap_or(text).to_owned())
    } else {
        (SHELL, script::of(check, text))
    };
    let parameters = BTreeMap::from([
        ("commands".to_owned(), command.lines().map(str::to_owned).collect()),
        ("executionTimeout".to_owned(), vec![check.timeout().as_secs().to_string()]),
    ]);
    Ok(DocumentRun { document: document.to_owned(), version: None, parameters })
}

/// The text of a script file.
fn script_text<'f>(check: &Check, path: &str, files: &'f Files) -> Result<&'f str, InstanceError> {
    let script = files
        .get(&layout::source(path))
        .ok_or_else(|| InstanceError::NoScript { path: path.to_owned(), check: check.name.clone() })?;
    std::str::from_utf8(script).map_err(|source| InstanceError::NotText { path: path.to_owned(), source })
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
    fn a_script_runs_in_the_document_of_its_shell_line_by_line() {
        let files = Files::from([
            ("source/a.sh".into(), b"#!/bin/sh\n\necho 1\n".to_vec()),
            ("source/a.ps1".into(), "\u{feff}Get-Service web\r\nexit 0\r\n".into()),
        ]);
        let cases = [
            ("a.sh", "AWS-RunShellScript", vec!["#!/bin/sh", "", "echo 1"]),
            ("a.ps1", "AWS-RunPowerShellScript", vec!["Get-Service web", "exit 0"]),
        ];
        for (path, document, lines) in cases {
            let run = of(&script(path), &files).unwrap();
            assert_eq!((run.document.as_str(), run.version.as_deref()), (document, None));
            assert_eq!(run.parameters, parameters(&lines), "{path}");
        }
    }

    #[test]
    fn a_missing_or_binary_script_is_refused() {
        let files = Files::from([("source/b.sh".into(), b"ok\xff".to_vec())]);
        let binary = of(&script("b.sh"), &files).unwrap_err();
        assert_eq!(binary.to_string(), "b.sh is not a script: byte 2 is not UTF-8 text");
        assert!(matches!(of(&script("c.sh"), &files), Err(InstanceError::NoScript { .. })));
    }

    #[test]
    fn a_document_gets_only_the_parameters_of_the_spec() {
        let check = check(
            r#"{"name": "a", "timeout": "2m", "document": {"name": "AWS-RunPatchBaseline", "version": "$LATEST",
                "parameters": {"Operation": ["Scan"]}}}"#,
        );
        let run = of(&check, &Files::new()).unwrap();
        let expected = DocumentRun {
            document: "AWS-RunPatchBaseline".into(),
            version: Some("$LATEST".into()),
            parameters: BTreeMap::from([("Operation".into(), vec!["Scan".into()])]),
        };
        assert_eq!(run, expected);
    }
}

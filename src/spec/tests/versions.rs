//! Specs of version 1: each of their keys is answered with its new place.

use serde_json::{Value, json};

use super::super::moved;
use super::parse;

/// A document with one key, at a path of the table.
fn document(path: &str, value: Value) -> Value {
    let inner = path.rsplit('.').fold(value, |inner, part| match part.strip_suffix("[]") {
        Some(key) => json!({ (key): [inner] }),
        None => json!({ (part.replace('*', "TOKEN")): inner }),
    });
    let mut document = json!({ "version": 1, "service": "web" });
    if let (Some(whole), Value::Object(members)) = (document.as_object_mut(), inner) {
        whole.extend(members);
    }
    document
}

#[test]
fn every_key_of_version_1_is_answered_with_its_new_place() {
    let samples = moved::samples();
    assert!(samples.len() > 100, "{}", samples.len());
    for (path, value, new) in samples {
        let text = document(&path, value).to_string();
        let errors = parse(&text).expect_err(&path);
        let pointer = format!("/{}", path.replace("[]", "/0").replace('.', "/").replace('*', "TOKEN"));
        let pointer = pointer.replace("//", "/");
        let answer = errors.problems().iter().find(|problem| problem.pointer == pointer);
        let answer = answer.unwrap_or_else(|| panic!("{path}: {errors}"));
        assert!(answer.what.contains("version 1"), "{path}: {errors}");
        assert_eq!(answer.expected.as_deref(), Some(new), "{path}");
    }
}

#[test]
fn a_spec_of_version_1_is_refused_with_all_answers_at_once() {
    let text = "\
version: 1
service: web
targets: { promote: production }
promote:
  group: web-production
  checkpoints: [10, 100]
  hold: 15m
  bake_time: 1h
  alarms: [web-5xx]
  timeout: 8h
cleanup:
  keep_last: 3
  keep_younger_than: 14d
";
    let errors = parse(text).expect_err("version 1");
    let pointers: Vec<_> = errors.problems().iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/version",
            "/targets",
            "/targets/promote",
            "/promote/group",
            "/promote/checkpoints",
            "/promote/hold",
            "/promote/bake_time",
            "/promote/alarms",
            "/cleanup/keep_last",
            "/cleanup/keep_younger_than",
        ],
        "{errors}"
    );
}

#[test]
fn a_reserved_key_is_not_supported_yet() {
    for (text, what) in [
        ("{version: 2, service: web, audit: {}}", "audit is not supported yet"),
        ("{version: 2, service: web, drill: {}}", "drill is not supported yet"),
        (
            "{version: 2, service: web, bake: {external: {}, timeout: 2h}}",
            "bake.external is not supported yet",
        ),
        ("{version: 2, service: web, test: {function: {}}}", "test.function is not supported yet"),
    ] {
        let errors = parse(text).expect_err(what).to_string();
        assert!(errors.contains(what), "{errors}");
    }
}

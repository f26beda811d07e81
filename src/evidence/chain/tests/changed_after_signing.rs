//! Files that must be refused: each row changes a valid chain after it was signed.

use super::*;

type Row = (&'static str, fn(&Case, &mut Files), &'static str, &'static str);

/// Each row changes the files after the statements were signed.
const ROWS: &[Row] = &[
    ("no statement at all", |_, f| f.clear(), "statements/01-bake.dsse.json", "the stage bake is missing"),
    (
        "the last statement is missing",
        |_, f| f.truncate(3),
        "statements/04-cleanup.dsse.json",
        "the stage cleanup is missing",
    ),
    (
        "the last two are missing",
        |_, f| f.truncate(2),
        "statements/03-promote.dsse.json",
        "the stage promote is missing",
    ),
    (
        "one in the middle is missing",
        |_, f| {
            f.remove(1);
        },
        "statements/03-promote.dsse.json",
        "expected statements/02-test.dsse.json",
    ),
    (
        "the first is missing",
        |_, f| {
            f.remove(0);
        },
        "statements/02-test.dsse.json",
        "expected statements/01-bake.dsse.json",
    ),
    (
        "one more than there are stages",
        |_, f| f.push(("statements/05-more.dsse.json".into(), f[0].1.clone())),
        "statements/05-more.dsse.json",
        "is not the statement expected at this position",
    ),
    (
        "the same path twice",
        |_, f| f.push(f[3].clone()),
        "statements/04-cleanup.dsse.json",
        "is not the statement expected at this position",
    ),
    (
        "another file in the folder",
        |_, f| f[1].0 = "statements/readme.txt".into(),
        "statements/03-promote.dsse.json",
        "expected statements/02-test.dsse.json",
    ),
    (
        "two statements in each other's place",
        |_, f| {
            let (a, b) = f.split_at_mut(2);
            std::mem::swap(&mut a[0].1, &mut b[0].1);
        },
        "statements/01-bake.dsse.json",
        "is a statement of the stage promote, expected bake",
    ),
    (
        "one statement in two places",
        |_, f| f[2].1 = f[0].1.clone(),
        "statements/03-promote.dsse.json",
        "replays bake",
    ),
    (
        "not an envelope",
        |_, f| f[0].1 = b"{}".to_vec(),
        "statements/01-bake.dsse.json",
        "not a DSSE envelope",
    ),
    ("empty", |_, f| f[0].1.clear(), "statements/01-bake.dsse.json", "not a DSSE envelope"),
    (
        "unsigned",
        |_, f| edit(&mut f[2].1, |e| e["signatures"] = serde_json::json!([])),
        "statements/03-promote.dsse.json",
        "has no signature",
    ),
    (
        "signed twice",
        |_, f| {
            edit(&mut f[3].1, |e| {
                let signature = e["signatures"][0].clone();
                e["signatures"].as_array_mut().unwrap().push(signature);
            });
        },
        "statements/04-cleanup.dsse.json",
        "has 2 signatures, expected 1",
    ),
    (
        "of another payload type",
        |_, f| edit(&mut f[0].1, |e| e["payloadType"] = "text/plain".into()),
        "statements/01-bake.dsse.json",
        r#"the payload type is "text/plain""#,
    ),
    (
        "another payload under the same signature",
        |_, f| edit(&mut f[3].1, |e| e["payload"] = "e30=".into()),
        "statements/04-cleanup.dsse.json",
        r#"the key "promoter" did not make the signature"#,
    ),
    (
        "the key id is left out",
        |_, f| edit(&mut f[3].1, |e| e["signatures"][0]["keyid"] = "".into()),
        "statements/04-cleanup.dsse.json",
        r#"names the key "" but was signed by "promoter""#,
    ),
    (
        "the key id names another trusted key",
        |case, f| {
            let other = case.signers[0].public_key().id();
            edit(&mut f[3].1, |e| e["signatures"][0]["keyid"] = other.into());
        },
        "statements/04-cleanup.dsse.json",
        r#"but was signed by "promoter""#,
    ),
    (
        "with white space",
        |_, f| f[3].1.insert(1, b' '),
        "statements/04-cleanup.dsse.json",
        "not in the canonical form",
    ),
    (
        "without the newline at its end",
        |_, f| {
            f[3].1.pop();
        },
        "statements/04-cleanup.dsse.json",
        "not in the canonical form",
    ),
    (
        "with one more member",
        |_, f| edit(&mut f[3].1, |e| e["note"] = "x".into()),
        "statements/04-cleanup.dsse.json",
        "not in the canonical form",
    ),
    (
        "in the other alphabet",
        |case, f| {
            // JSON gives no letter in which the alphabets differ; of signatures one in twenty has none.
            loop {
                *f = case.seal();
                let text = String::from_utf8(f[3].1.clone()).unwrap();
                let (before, sig) = text.split_once("\"sig\":").unwrap();
                let other = sig.replace('+', "-").replace('/', "_");
                if other != sig {
                    f[3].1 = format!("{before}\"sig\":{other}").into_bytes();
                    break;
                }
            }
        },
        "statements/04-cleanup.dsse.json",
        "not in the canonical form",
    ),
    (
        "without padding",
        |case, f| {
            loop {
                *f = case.seal();
                let text = String::from_utf8(f[3].1.clone()).unwrap();
                let other = text.replace('=', "");
                if other != text {
                    f[3].1 = other.into_bytes();
                    break;
                }
            }
        },
        "statements/04-cleanup.dsse.json",
        "not in the canonical form",
    ),
    (
        "the statement before it signed anew",
        |case, f| f[0].1 = case.seal().remove(0).1,
        "statements/02-test.dsse.json",
        "follows a statement with the digest",
    ),
];

#[test]
fn a_chain_changed_after_signing_is_refused() {
    let case = Case::good();
    let sealed = case.seal();
    case.verify(&sealed).unwrap();
    for (what, change, file, expected) in ROWS {
        let mut files = sealed.clone();
        change(&case, &mut files);
        let Err(error) = case.verify(&files) else { panic!("{what}: the chain is accepted") };
        assert_eq!(error.file, *file, "{what}: {error}");
        assert!(message(&error).contains(expected), "{what}: {}", message(&error));
    }
}

fn edit(bytes: &mut Vec<u8>, change: impl FnOnce(&mut serde_json::Value)) {
    let mut envelope = serde_json::from_slice(bytes).unwrap();
    change(&mut envelope);
    *bytes = serde_json::to_vec(&envelope).unwrap();
    bytes.push(b'\n');
}

//! Tests that run the scripts in a shell: what passes, what fails, and where a secret is visible.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::*;

fn check(kind: Value) -> Check {
    let mut whole = json!({ "name": "it's a check", "timeout": "1m" });
    for (key, value) in kind.as_object().unwrap() {
        whole[key] = value.clone();
    }
    serde_json::from_value(whole).unwrap()
}

fn run_with(script: &str, path: Option<&Path>) -> Output {
    let mut command = Command::new("sh");
    if let Some(folder) = path {
        command.env("PATH", format!("{}:{}", folder.display(), std::env::var("PATH").unwrap()));
    }
    command.arg("-c").arg(script).output().unwrap()
}

fn run(kind: Value) -> Output {
    run_with(&of(&check(kind), ""), None)
}

fn passes(kind: Value) -> bool {
    run(kind).status.success()
}

#[test]
fn a_file_check_compares_every_property() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it's a file");
    std::fs::write(&path, "first\n$HOME 'quoted'\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let digest = crate::digest::Sha256::of(b"first\n$HOME 'quoted'\n").to_string();
    for (expected, good) in [
        (json!({}), true),
        (json!({ "mode": "0640" }), true),
        (json!({ "mode": "0644" }), false),
        (json!({ "contains": "$HOME 'quoted'" }), true),
        (json!({ "contains": "absent" }), false),
        (json!({ "contains": "-e" }), false),
        (json!({ "sha256": digest }), true),
        (json!({ "sha256": "0".repeat(64) }), false),
        (json!({ "owner": "no-such-user" }), false),
        (json!({ "exists": false }), false),
    ] {
        let mut file = expected.clone();
        file["path"] = path.to_str().unwrap().into();
        assert_eq!(passes(json!({ "file": file })), good, "{expected}");
    }
    let absent = folder.path().join("absent");
    assert!(!passes(json!({ "file": { "path": absent } })));
    assert!(passes(json!({ "file": { "path": absent, "exists": false } })));
    let output = run(json!({ "file": { "path": path, "mode": "0600" } }));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is 0640, not 0600"));
}

#[test]
fn a_tcp_check_needs_a_listening_port() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(passes(json!({ "tcp": { "port": port }, "timeout": "1s" })));
    drop(listener);
    assert!(!passes(json!({ "tcp": { "port": port }, "timeout": "1s" })));
}

#[test]
fn an_http_check_compares_status_and_text() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/it?a=b&c=$(id)", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 201 Created\r\nContent-Length: 11\r\nConnection: close\r\n\r\nhello world",
            );
        }
    });
    let probe = |more: Value| {
        let mut http = more;
        http["url"] = url.as_str().into();
        passes(json!({ "http": http, "timeout": "1s" }))
    };
    assert!(probe(json!({ "status": 201 })) && probe(json!({ "status": 201, "contains": "o w" })));
    assert!(!probe(json!({})) && !probe(json!({ "status": 201, "contains": "absent" })));
}

/// A folder with programs of our own before all others.
fn programs(programs: &[(&str, &str)]) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in programs {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

#[test]
fn unit_and_package_checks_ask_systemd_and_the_package_manager() {
    let bin = programs(&[
        (
            "systemctl",
            "case \"$1 $3\" in 'cat ') [ \"$2\" = web.service ];; 'is-enabled web.service') exit 0;; *) exit 1;; esac",
        ),
        ("rpm", "[ \"$*\" != \"${*%python3}\" ] || exit 1; case \"$*\" in *--qf*) echo 3.9.1;; esac"),
    ]);
    let passes = |kind: Value| run_with(&of(&check(kind), ""), Some(bin.path())).status.success();
    let service = |more: Value| {
        let mut service = more;
        service["name"] = "web.service".into();
        passes(json!({ "systemd_unit": service }))
    };
    assert!(service(json!({ "enabled": true })) && service(json!({ "active": false })) && service(json!({})));
    assert!(!service(json!({ "enabled": false })) && !service(json!({ "active": true })));
    assert!(!passes(json!({ "systemd_unit": { "name": "absent.service" } })));
    assert!(passes(json!({ "package": { "name": "python3" } })));
    assert!(passes(json!({ "package": { "name": "python3", "version": "3.9.1" } })));
    assert!(!passes(json!({ "package": { "name": "python3", "version": "3.9" } })));
    assert!(!passes(json!({ "package": { "name": "absent" } })));
}

#[test]
fn only_the_check_sees_its_secret() {
    let secret = "s3cr&t/\"planted\\1' $(id)";
    let log = tempfile::tempdir().unwrap();
    let seen = log.path().join("arguments");
    let aws =
        format!("echo \"$*\" >>{}; cat <<'EOF'\n{secret}\nsecond line\nEOF", quoted(seen.to_str().unwrap()));
    let bin = programs(&[("aws", &aws)]);
    let check = check(json!({ "script": { "path": "check.sh", "secrets": {
        "TOKEN": "secretsmanager:arn:aws:secretsmanager:eu-west-1:123456789012:secret:web-AbCdEf" } } }));
    let own = "#!/bin/sh\nexpected=$(cat \"$1\" 2>/dev/null)\n[ -n \"$TOKEN\" ] || exit 3\nprintf '%s\\n' \"<$TOKEN>\"\n\
               printf 'again %s%s\\n' \"$TOKEN\" \"$TOKEN\" >&2\nps -o args= -p $$ || true\nexit 7\n";
    let script = of(&check, own);
    assert!(!script.contains("s3cr") && script.contains("secret:web-AbCdEf"));
    let output = run_with(&script, Some(bin.path()));
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(7), "{text}");
    assert!(!text.contains("planted") && !text.contains("second line"), "{text}");
    assert!(text.contains("<***") && text.contains("again ***"), "{text}");
    assert!(!std::fs::read_to_string(seen).unwrap().contains("planted"));
}

#[test]
fn a_secret_that_cannot_be_read_fails_the_check_before_it_runs() {
    let bin = programs(&[("aws", "echo AccessDenied >&2; exit 254")]);
    let check = check(json!({ "script": { "path": "check.sh", "secrets": { "TOKEN": "ssm:/web/token" } } }));
    let output = run_with(&of(&check, "#!/bin/sh\necho ran\n"), Some(bin.path()));
    assert_eq!(output.status.code(), Some(1));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("ran"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("secret TOKEN cannot be read"));
}

#[test]
fn a_script_is_sent_unchanged_and_every_other_kind_is_a_valid_shell_script() {
    assert_eq!(of(&check(json!({ "script": { "path": "a.sh" } })), "#!/bin/sh\ntrue\n"), "#!/bin/sh\ntrue\n");
    for kind in [json!({ "cloud_init": {} }), json!({ "reboot": {} })] {
        let script = of(&check(kind.clone()), "");
        assert!(Command::new("sh").arg("-n").arg("-c").arg(&script).status().unwrap().success(), "{kind}");
    }
    assert!(of(&check(json!({ "reboot": {} })), "").contains("exit 194"));
}

//! The shell script of a check, which exits with code 0 if the check passes. Pure.
//!
//! The script reads its secrets itself, with the role of the instance, when it needs them: the command does not contain
//! them, and a rotated secret is read with its new value. The check finds them in its environment, never on a command line.
//! A filter replaces their values in the output of the check; it too reads them from its environment.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::spec::Check;
use crate::spec::test::kinds::{File, Http, Package, SystemdUnit, Tcp};
use crate::spec::test::secret::Secret;

/// The script of a check. `own` is the text of its script file, if it has one.
#[must_use]
pub fn of(check: &Check, own: &str) -> String {
    let body = body(check, own);
    match &check.script {
        Some(script) if !script.secrets.is_empty() => with_secrets(&script.secrets, &body),
        _ => body,
    }
}

fn body(check: &Check, own: &str) -> String {
    if let Some(probe) = &check.http {
        http(probe, retry_seconds(check))
    } else if let Some(probe) = &check.tcp {
        tcp(probe, retry_seconds(check))
    } else if let Some(expected) = &check.systemd_unit {
        unit(expected)
    } else if let Some(fact) = &check.file {
        file(fact)
    } else if let Some(fact) = &check.package {
        package(fact)
    } else if check.cloud_init.is_some() {
        CLOUD_INIT.to_owned()
    } else if check.reboot.is_some() {
        REBOOT.replace("@NAME@", &quoted(&check.name))
    } else {
        own.to_owned()
    }
}

/// How long a request is repeated, in seconds. The rest of the timeout is for the last request and its message.
fn retry_seconds(check: &Check) -> u32 {
    check.timeout().as_secs() * 4 / 5
}

/// Quotes a text as one word of a shell.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

const FAIL: &str = "#!/bin/sh\nset -u\nfail() { echo \"FAIL: $*\" >&2; exit 1; }\n";

fn http(probe: &Http, within: u32) -> String {
    let contains = probe.contains.as_deref().unwrap_or_default();
    let url = quoted(&probe.url);
    format!(
        "{FAIL}url={url}; want={status}; text={text}; until=$(( $(date +%s) + {within} ))
body=$(mktemp) || fail 'no temporary file'
trap 'rm -f \"$body\"' EXIT
while :; do
  got=$(curl --silent --max-time 10 --output \"$body\" --write-out '%{{http_code}}' \"$url\") || got=\"no answer\"
  if [ \"$got\" = \"$want\" ]; then
    if [ -z \"$text\" ] || grep -qF -e \"$text\" \"$body\"; then echo \"ok: $url answers $got\"; exit 0; fi
    why=\"answers $got without '$text'\"
  else why=\"answers $got, not $want\"; fi
  [ \"$(date +%s)\" -lt \"$until\" ] || {{ head -c 2000 \"$body\"; fail \"$url $why\"; }}
  sleep 2
done
",
        status = probe.status,
        text = quoted(contains),
    )
}

fn tcp(probe: &Tcp, within: u32) -> String {
    // Bash's own /dev/tcp: nothing has to be installed for it.
    format!(
        "{FAIL}host={host}; port={port}; until=$(( $(date +%s) + {within} ))
while :; do
  if timeout 5 bash -c 'exec 3<>\"/dev/tcp/$0/$1\"' \"$host\" \"$port\" 2>/dev/null; then
    echo \"ok: $host:$port takes connections\"; exit 0
  fi
  [ \"$(date +%s)\" -lt \"$until\" ] || fail \"$host:$port takes no connections\"
  sleep 2
done
",
        host = quoted(&probe.host),
        port = probe.port,
    )
}

fn unit(expected: &SystemdUnit) -> String {
    let mut script = format!("{FAIL}unit={}\n", quoted(&expected.name));
    script.push_str("systemctl cat \"$unit\" >/dev/null 2>&1 || fail \"there is no unit $unit\"\n");
    let mut ask = |verb: &str, want: Option<bool>, is: &str| {
        let Some(want) = want else { return };
        let (test, not) = if want { ("||", "is not") } else { ("&&", "is") };
        // Writing to a string cannot fail.
        let _ = writeln!(script, "systemctl {verb} --quiet \"$unit\" {test} fail \"$unit {not} {is}\"");
    };
    ask("is-enabled", expected.enabled, "enabled");
    ask("is-active", expected.active, "active");
    script.push_str("echo \"ok: $unit\"\n");
    script
}

fn file(fact: &File) -> String {
    let mut script = format!("{FAIL}path={}\n", quoted(&fact.path));
    if !fact.exists {
        script.push_str("[ ! -e \"$path\" ] || fail \"$path is there\"\necho \"ok: no $path\"\n");
        return script;
    }
    script.push_str("[ -e \"$path\" ] || fail \"$path is not there\"\n");
    let mut is = |what: &str, command: &str, want: &Option<String>| {
        let Some(want) = want else { return };
        let want = quoted(want);
        // Writing to a string cannot fail.
        let _ = writeln!(script, "got=$({command}); want={want}");
        let _ =
            writeln!(script, "[ \"$got\" = \"$want\" ] || fail \"the {what} of $path is $got, not $want\"");
    };
    is("mode", "printf '%04d' \"$(stat -L -c %a \"$path\")\"", &fact.mode);
    is("owner", "stat -L -c %U \"$path\"", &fact.owner);
    is("SHA-256", "sha256sum <\"$path\" | cut -d ' ' -f 1", &fact.sha256);
    if let Some(text) = &fact.contains {
        let _ = writeln!(
            script,
            "grep -qF -e {} \"$path\" || fail \"$path lacks a text it must hold\"",
            quoted(text)
        );
    }
    script.push_str("echo \"ok: $path\"\n");
    script
}

fn package(fact: &Package) -> String {
    let want = quoted(fact.version.as_deref().unwrap_or_default());
    format!(
        "{FAIL}name={name}; want={want}
if command -v rpm >/dev/null 2>&1; then got=$(rpm -q --qf '%{{VERSION}}\\n' \"$name\" 2>/dev/null | head -n 1) && \
rpm -q \"$name\" >/dev/null 2>&1 || got=
elif command -v dpkg-query >/dev/null 2>&1; then
  case $(dpkg-query -W -f '${{db:Status-Status}}' \"$name\" 2>/dev/null) in
    installed) got=$(dpkg-query -W -f '${{Version}}' \"$name\"); got=${{got#*:}}; got=${{got%-*}} ;;
    *) got= ;;
  esac
else fail 'neither rpm nor dpkg is here'; fi
[ -n \"$got\" ] || fail \"package $name is not installed\"
[ -z \"$want\" ] || [ \"$got\" = \"$want\" ] || fail \"package $name has version $got, not $want\"
echo \"ok: $name $got\"
",
        name = quoted(&fact.name),
    )
}

const CLOUD_INIT: &str = "#!/bin/sh\nset -u\ncloud-init status --wait --long\n";

/// The agent reboots the instance when a script ends with exit code 194, and runs the script again afterwards.
const REBOOT: &str = "#!/bin/sh
set -u
state=/var/lib/bakeline; mkdir -p \"$state\"
before=\"$state/boot-before-\"$(printf %s @NAME@ | sha256sum | cut -c 1-16)
now=$(cat /proc/sys/kernel/random/boot_id)
if [ ! -s \"$before\" ]; then printf %s \"$now\" >\"$before\"; sync; exit 194; fi
if [ \"$(cat \"$before\")\" = \"$now\" ]; then exit 194; fi
rm -f \"$before\"
echo \"ok: rebooted\"
";

/// The end marker of the here-document. The script loses any line with it.
const END: &str = "BAKELINE_CHECK_7f3a9c";

fn with_secrets(secrets: &BTreeMap<String, Secret>, body: &str) -> String {
    let mut script = format!("{FAIL}umask 077\n");
    for (variable, secret) in secrets {
        // Writing to a string cannot fail.
        let _ = writeln!(
            script,
            "{variable}=$({}) || fail 'secret {variable} cannot be read'\nexport {variable}",
            fetch(secret)
        );
    }
    let names: Vec<&str> = secrets.keys().map(String::as_str).collect();
    let body = body.replace(END, "");
    let _ = write!(
        script,
        "work=$(mktemp -d) || fail 'no temporary folder'
trap 'rm -rf \"$work\"' EXIT
cat >\"$work/check\" <<'{END}'
{body}
{END}
chmod 700 \"$work/check\"
BAKELINE_SECRETS='{names}'; export BAKELINE_SECRETS
hide() {{ awk '{HIDE}'; }}
mkfifo \"$work/out\" \"$work/err\"
hide <\"$work/out\" & out=$!
hide <\"$work/err\" >&2 & err=$!
case $(head -c 2 \"$work/check\") in
  '#!') \"$work/check\" >\"$work/out\" 2>\"$work/err\"; code=$? ;;
  *) sh \"$work/check\" >\"$work/out\" 2>\"$work/err\"; code=$? ;;
esac
wait \"$out\" \"$err\"
exit \"$code\"
",
        names = names.join(" "),
    );
    script
}

/// The awk program that replaces every line of every secret in the output.
const HIDE: &str = r#"
BEGIN { n = split(ENVIRON["BAKELINE_SECRETS"], names, " ")
  for (i = 1; i <= n; i++) { m = split(ENVIRON[names[i]], lines, "\n")
    for (j = 1; j <= m; j++) if (length(lines[j]) > 3) secrets[++k] = lines[j] } }
{ rest = $0
  for (i = 1; i <= k; i++) { line = ""
    while ((at = index(rest, secrets[i])) > 0) {
      line = line substr(rest, 1, at - 1) "***"; rest = substr(rest, at + length(secrets[i])) }
    rest = line rest }
  print rest; fflush() }
"#;

fn fetch(secret: &Secret) -> String {
    match secret {
        Secret::SecretsManager(arn) => format!(
            "aws secretsmanager get-secret-value --secret-id {} --query SecretString --output text --region {}",
            quoted(arn),
            quoted(arn.split(':').nth(3).unwrap_or_default())
        ),
        Secret::Parameter(name) => format!(
            "aws ssm get-parameter --with-decryption --name {} --query Parameter.Value --output text",
            quoted(name)
        ),
    }
}

#[cfg(test)]
mod tests;

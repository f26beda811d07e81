//! What must hold of an image before it counts as baked: the findings of its scan, and what it is like. Pure.

use std::collections::BTreeMap;

use time::Date;

use super::judge::BuiltImage;
use crate::spec::{AcceptedFinding, Architecture, BootMode, ImageProperties, Scan};

/// Findings that a refusal quotes.
const QUOTED: usize = 5;

/// How the vulnerability scan of a build stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanStand {
    /// Its findings are complete.
    Completed,
    /// It goes on.
    Going(String),
    /// It will never be complete: an image without findings has then not been scanned.
    Never(String),
}

/// What `ImageScanState.status` means; none: the build was not to be scanned.
#[must_use]
pub fn scan_stand(status: Option<&str>) -> ScanStand {
    match status {
        Some("COMPLETED") => ScanStand::Completed,
        Some(ended @ ("ABANDONED" | "FAILED" | "TIMED_OUT")) => ScanStand::Never(format!("it ended {ended}")),
        Some(going) => ScanStand::Going(going.to_lowercase()),
        None => ScanStand::Never("scanning is not switched on for the build".to_owned()),
    }
}

/// One finding of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The vulnerability's id, such as CVE-2026-12345.
    pub id: String,
    /// CRITICAL, HIGH, MEDIUM, LOW, INFORMATIONAL or UNTRIAGED.
    pub severity: String,
    pub title: String,
    /// Whether there is a fix: YES, NO or PARTIAL.
    pub fix: String,
    /// Packages it is in, as `name 1.2.3`.
    pub packages: Vec<String>,
    /// Where it is described.
    pub url: Option<String>,
}

/// What becomes of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'s> {
    /// It counts.
    Counted,
    /// Its severity is not counted, or there is no fix for it and those are not counted.
    NotCounted,
    /// Someone answers for it.
    Excepted(&'s AcceptedFinding),
    /// Someone answered for it until a day that has passed: it counts.
    Expired(&'s AcceptedFinding),
}

/// What becomes of a finding on a day.
#[must_use]
pub fn standing<'s>(scan: &'s Scan, finding: &Finding, today: Date) -> Standing<'s> {
    if limit(scan, &finding.severity).is_none() || (scan.counts_only_fixable() && finding.fix == "NO") {
        return Standing::NotCounted;
    }
    match scan.accepted.iter().find(|exception| exception.id == finding.id) {
        None => Standing::Counted,
        // A day that cannot be read is refused when the spec is; here it lets nothing through.
        Some(exception) if last_day(exception).is_some_and(|last| today <= last) => {
            Standing::Excepted(exception)
        }
        Some(exception) => Standing::Expired(exception),
    }
}

fn last_day(exception: &AcceptedFinding) -> Option<Date> {
    Date::parse(&exception.until, time::macros::format_description!("[year]-[month]-[day]")).ok()
}

fn limit(scan: &Scan, severity: &str) -> Option<u32> {
    match severity {
        // A finding that nobody has weighed yet may be anything: it counts as the gravest.
        "CRITICAL" | "UNTRIAGED" => scan.max_findings.critical,
        "HIGH" => scan.max_findings.high,
        "MEDIUM" => scan.max_findings.medium,
        "LOW" => scan.max_findings.low,
        _ => None,
    }
}

/// Holds the findings of a completed scan against the gate.
///
/// # Errors
/// More findings of a severity count than are let through; in words, with the first of them.
pub fn findings(scan: &Scan, findings: &[Finding], today: Date) -> Result<(), String> {
    let mut counted: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    let mut expired = Vec::new();
    for finding in findings {
        match standing(scan, finding, today) {
            Standing::NotCounted | Standing::Excepted(_) => continue,
            Standing::Counted => {}
            Standing::Expired(exception) => expired.push(format!(
                "{} was excepted by {} until {}",
                exception.id, exception.owner, exception.until
            )),
        }
        let severity = if finding.severity == "UNTRIAGED" { "CRITICAL" } else { finding.severity.as_str() };
        counted.entry(severity).or_default().push(finding);
    }
    let mut over = Vec::new();
    for severity in ["CRITICAL", "HIGH", "MEDIUM", "LOW"] {
        let found = counted.get(severity).map_or(&[][..], Vec::as_slice);
        let Some(most) = limit(scan, severity).filter(|most| found.len() > *most as usize) else { continue };
        let named: Vec<String> = found.iter().take(QUOTED).map(|finding| describe(finding)).collect();
        let more = found.len().saturating_sub(QUOTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        over.push(format!("{} {severity}, at most {most}: {}{more}", found.len(), named.join(", ")));
    }
    if over.is_empty() {
        return Ok(());
    }
    expired.dedup();
    over.extend(expired);
    Err(over.join("; "))
}

fn describe(finding: &Finding) -> String {
    let package = finding.packages.first().map(|package| format!(" in {package}")).unwrap_or_default();
    format!("{}{package}", finding.id)
}

/// What an image is like, as EC2 describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    pub public: bool,
    pub architecture: String,
    /// None: as the instance type says.
    pub boot_mode: Option<String>,
    /// `ImdsSupport`.
    pub imds: Option<String>,
    /// GiB and whether it is encrypted, of every volume in the order of the devices.
    pub volumes: Vec<(u32, bool)>,
}

impl Shape {
    fn size(&self) -> u64 {
        self.volumes.iter().map(|(size, _)| u64::from(*size)).sum()
    }
}

/// Holds what an image is like against what the spec asks.
///
/// # Errors
/// Everything that is not as asked, in words.
pub fn facts(asked: Option<&ImageProperties>, image: &BuiltImage, shape: &Shape) -> Result<(), String> {
    let mut wrong = Vec::new();
    if shape.public {
        wrong.push("it is public".to_owned());
    }
    if let Some(asked) = asked {
        let open = shape.volumes.iter().filter(|(_, encrypted)| !encrypted).count();
        if asked.requires_encryption() && (open > 0 || shape.volumes.is_empty()) {
            wrong.push(format!("{open} of its {} volumes are not encrypted", shape.volumes.len()));
        }
        if asked.requires_imds_v2() && shape.imds.as_deref() != Some("v2.0") {
            wrong.push("it does not ask for metadata session tokens (ImdsSupport is not v2.0)".to_owned());
        }
        let mut is = |what: &str, asked: Option<&str>, found: Option<&str>| {
            if let Some(asked) = asked.filter(|asked| found != Some(asked)) {
                wrong.push(format!("its {what} is {}, not {asked}", found.unwrap_or("not said")));
            }
        };
        is("boot mode", asked.boot_mode.map(BootMode::name), shape.boot_mode.as_deref());
        let architecture = Some(shape.architecture.as_str()).filter(|name| !name.is_empty());
        is("architecture", asked.architecture.map(Architecture::name), architecture);
        if let Some(most) = asked.max_size_gib.filter(|most| shape.size() > u64::from(*most)) {
            wrong.push(format!("its volumes have {} GiB, at most {most} are let through", shape.size()));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("image {} in {} is not as it must be: {}", image.id, image.region, wrong.join("; ")))
}

/// Holds the copies of an image against each other: they may differ in where they are, and in nothing else.
///
/// # Errors
/// Two copies differ; in words.
pub fn alike(copies: &[(&BuiltImage, Shape)]) -> Result<(), String> {
    let Some(((first, model), rest)) = copies.split_first() else { return Ok(()) };
    for (other, shape) in rest {
        let member = if shape.architecture != model.architecture {
            "architecture"
        } else if shape.boot_mode != model.boot_mode {
            "boot mode"
        } else if shape.imds != model.imds {
            "ImdsSupport"
        } else if shape.volumes != model.volumes {
            "volumes"
        } else {
            continue;
        };
        return Err(format!(
            "the copies {} in {} and {} in {} differ in their {member}",
            first.id, first.region, other.id, other.region
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::spec::bake::gates::{Imds, VolumeEncryption};
    use crate::spec::bake::scan::Count;

    fn scan(text: &str) -> Scan {
        serde_json::from_str(text).unwrap()
    }

    fn finding(id: &str, severity: &str, fix: &str) -> Finding {
        Finding { id: id.into(), severity: severity.into(), fix: fix.into(), ..Finding::default() }
    }

    const TODAY: Date = date!(2026 - 03 - 01);

    #[test]
    fn only_a_completed_scan_counts() {
        assert_eq!(scan_stand(Some("COMPLETED")), ScanStand::Completed);
        for going in ["PENDING", "SCANNING", "COLLECTING", "SOMETHING_NEW"] {
            assert!(matches!(scan_stand(Some(going)), ScanStand::Going(_)), "{going}");
        }
        for never in [Some("ABANDONED"), Some("FAILED"), Some("TIMED_OUT"), None] {
            assert!(matches!(scan_stand(never), ScanStand::Never(_)), "{never:?}");
        }
    }

    #[test]
    fn each_severity_has_its_own_limit_and_one_without_is_not_counted() {
        let gate = scan(r#"{"max_findings": {"critical": 0, "high": 1}}"#);
        let (high, critical) = (finding("CVE-1", "HIGH", "YES"), finding("CVE-2", "CRITICAL", "NO"));
        for (found, ok) in [
            (vec![], true),
            (vec![high.clone()], true),
            (vec![high.clone(), high.clone()], false),
            (vec![critical.clone()], false),
            (vec![finding("CVE-3", "UNTRIAGED", "NO")], false),
            (vec![finding("CVE-4", "MEDIUM", "YES"); 9], true),
            (vec![finding("CVE-5", "INFORMATIONAL", "YES"); 9], true),
        ] {
            assert_eq!(findings(&gate, &found, TODAY).is_ok(), ok, "{found:?}");
        }
        let fixable = Scan { count: Count::Fixable, ..gate };
        assert!(findings(&fixable, &[critical], TODAY).is_ok());
        assert!(findings(&fixable, &[finding("CVE-2", "CRITICAL", "PARTIAL")], TODAY).is_err());
    }

    #[test]
    fn an_exception_lets_one_id_through_until_its_day() {
        let gate = scan(
            r#"{"max_findings": {"critical": 0}, "accepted": [{"id": "CVE-1", "owner": "team-web", "reason": "r", "until": "2026-03-01"}]}"#,
        );
        let found = [finding("CVE-1", "CRITICAL", "YES")];
        assert!(findings(&gate, &found, TODAY).is_ok());
        let refused = findings(&gate, &found, TODAY.next_day().unwrap()).unwrap_err();
        assert_eq!(refused, "1 CRITICAL, at most 0: CVE-1; CVE-1 was excepted by team-web until 2026-03-01");
        assert!(findings(&gate, &[finding("CVE-10", "CRITICAL", "YES")], TODAY).is_err());
    }

    #[test]
    fn a_refusal_quotes_the_first_findings_and_counts_the_rest() {
        let many: Vec<Finding> = (0..7).map(|n| finding(&format!("CVE-{n}"), "HIGH", "YES")).collect();
        let refused = findings(&scan(r#"{"max_findings": {"high": 2}}"#), &many, TODAY).unwrap_err();
        assert_eq!(refused, "7 HIGH, at most 2: CVE-0, CVE-1, CVE-2, CVE-3, CVE-4 and 2 more");
    }

    fn image() -> BuiltImage {
        BuiltImage { region: "eu-west-1".into(), account: "1".into(), id: "ami-1".into() }
    }

    fn shape() -> Shape {
        Shape {
            public: false,
            architecture: "x86_64".into(),
            boot_mode: Some("uefi-preferred".into()),
            imds: Some("v2.0".into()),
            volumes: vec![(8, true), (20, true)],
        }
    }

    #[test]
    fn every_fact_that_is_asked_for_is_looked_at() {
        let asked = ImageProperties {
            volume_encryption: VolumeEncryption::Required,
            imds: Imds::V2,
            boot_mode: Some(BootMode::UefiPreferred),
            architecture: Some(Architecture::X86_64),
            max_size_gib: Some(28),
        };
        assert_eq!(facts(Some(&asked), &image(), &shape()), Ok(()));
        assert_eq!(facts(None, &image(), &Shape::default()), Ok(()));
        for (changed, words) in [
            (Shape { public: true, ..shape() }, "it is public"),
            (
                Shape { volumes: vec![(8, true), (20, false)], ..shape() },
                "1 of its 2 volumes are not encrypted",
            ),
            (Shape { volumes: Vec::new(), ..shape() }, "0 of its 0 volumes"),
            (Shape { imds: None, ..shape() }, "ImdsSupport is not v2.0"),
            (Shape { boot_mode: None, ..shape() }, "its boot mode is not said, not uefi-preferred"),
            (Shape { architecture: "arm64".into(), ..shape() }, "its architecture is arm64, not x86_64"),
            (Shape { volumes: vec![(29, true)], ..shape() }, "have 29 GiB, at most 28"),
        ] {
            let refused = facts(Some(&asked), &image(), &changed).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
        assert!(
            facts(None, &image(), &Shape { public: true, ..shape() }).is_err(),
            "never public, asked or not"
        );
    }

    #[test]
    fn copies_differ_in_their_place_only() {
        let (here, there) =
            (image(), BuiltImage { region: "eu-central-1".into(), id: "ami-2".into(), ..image() });
        assert_eq!(alike(&[(&here, shape()), (&there, shape())]), Ok(()));
        for (other, member) in [
            (Shape { architecture: "arm64".into(), ..shape() }, "architecture"),
            (Shape { boot_mode: None, ..shape() }, "boot mode"),
            (Shape { imds: None, ..shape() }, "ImdsSupport"),
            (Shape { volumes: vec![(8, true)], ..shape() }, "volumes"),
            (Shape { volumes: vec![(8, true), (20, false)], ..shape() }, "volumes"),
        ] {
            let refused = alike(&[(&here, shape()), (&there, other)]).unwrap_err();
            assert!(refused.contains(member) && refused.contains("ami-2 in eu-central-1"), "{refused}");
        }
    }
}

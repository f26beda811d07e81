//! The bake stage on recipes of the release's own: what is made, reused, held against gates, and taken away again.

use std::sync::Arc;

use bakeline::evidence::Stage;
use bakeline::telemetry::Telemetry;
use bakeline::worker::journal::Journal;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::services::codepipeline::{self, ActionStatus};
use bakeline_rehearsal::transcript::Record;
use serde_json::{Value, json};

use crate::support::{Moment, changed, in_virtual_time, work};
use crate::trail::ask;

const SPEC: &str = "tests/it/fixtures/bake/bakeline.yaml";

/// The release of the fixture with passages of its spec replaced, at its start.
pub fn release(changes: &[(&str, &str)], scenario: &str) -> Moment {
    Moment::start(&changed(SPEC, &["image/web.yaml"], changes, scenario))
}

/// How a bake went.
pub struct Baked {
    pub status: ActionStatus,
    /// Why it failed; empty if it did not.
    pub why: String,
    pub records: Vec<Record>,
    pub after: Moment,
}

impl Baked {
    pub fn calls(&self, operation: &str) -> Vec<&Record> {
        self.records.iter().filter(|record| record.operation == operation).collect()
    }

    pub fn ask(&self, service: &'static str, operation: &str, input: Value) -> Value {
        let mut world = self.after.world.clone();
        ask(&self.after, &mut world, service, operation, input)
    }

    /// Images of the builds of one region, in any state.
    pub fn images(&self, region: &str) -> Vec<Value> {
        let mut elsewhere = self.after.clone();
        elsewhere.region = region.into();
        let mut world = self.after.world.clone();
        let input = json!({"Owners": ["self"], "IncludeDisabled": true,
            "Filters": [{"Name": "tag:CreatedBy", "Values": ["EC2 Image Builder"]}]});
        ask(&elsewhere, &mut world, "ec2", "DescribeImages", input)["Images"].as_array().unwrap().clone()
    }

    fn snapshots(&self, region: &str) -> usize {
        let mut elsewhere = self.after.clone();
        elsewhere.region = region.into();
        let mut world = self.after.world.clone();
        let all = ask(&elsewhere, &mut world, "ec2", "DescribeSnapshots", json!({"OwnerIds": ["self"]}));
        all["Snapshots"].as_array().unwrap().len()
    }

    fn recipes(&self) -> usize {
        self.ask("imagebuilder", "ListImageRecipes", json!({"owner": "Self"}))["imageRecipeSummaryList"]
            .as_array()
            .unwrap()
            .len()
    }

    fn components(&self) -> usize {
        self.ask("imagebuilder", "ListComponents", json!({"owner": "Self"}))["componentVersionList"]
            .as_array()
            .unwrap()
            .len()
    }

    /// A file of the artifact, and the statement of the bake.
    pub fn artifact(&self) -> (zip::ZipArchive<std::io::Cursor<Vec<u8>>>, Value) {
        use base64::Engine as _;
        use std::io::Read as _;
        let bucket =
            bakeline_rehearsal::services::s3::bucket(&self.after.world, &self.after.provisioned.bucket).unwrap();
        let (_, object) = bucket
            .objects()
            .filter(|(key, _)| key.contains("BakedImag"))
            .max_by_key(|(_, object)| object.modified)
            .unwrap();
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(object.body.to_vec())).unwrap();
        let mut envelope = String::new();
        zip.by_name("statements/01-bake.dsse.json").unwrap().read_to_string(&mut envelope).unwrap();
        let envelope: Value = serde_json::from_str(&envelope).unwrap();
        let payload = envelope["payload"].as_str().unwrap();
        let payload = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
        (zip, serde_json::from_slice(&payload).unwrap())
    }
}

pub fn bake(moment: &Moment) -> Baked {
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let journal = Arc::new(Journal::in_memory());
        let deps = moment.worker(&cloud, &clock, &journal, &[Stage::Bake], Telemetry::default()).await;
        let status = work(moment, &cloud, &deps, Stage::Bake).await;
        tell(moment, &cloud, status)
    })
}

pub fn tell(moment: &Moment, cloud: &Cloud, status: ActionStatus) -> Baked {
    let after = moment.now(cloud);
    let execution = codepipeline::execution(&after.world, &after.provisioned.execution).unwrap();
    let failure = execution.runs.iter().rev().find_map(|run| run.failure.clone());
    Baked {
        status,
        why: failure.map(|failure| failure.message).unwrap_or_default(),
        records: cloud.with_transcript(|transcript| transcript.records().to_vec()),
        after,
    }
}

/// The same release once more, in the world the first one left.
pub fn again(first: &Baked) -> Moment {
    let mut moment = first.after.clone();
    let mut world = moment.world.clone();
    let started = ask(&moment, &mut world, "codepipeline", "StartPipelineExecution", json!({"name": "web"}));
    moment.provisioned.execution = started["pipelineExecutionId"].as_str().unwrap().into();
    moment.world = world;
    moment
}

/// Another scenario from here on.
fn under(mut moment: Moment, scenario: &str) -> Moment {
    bakeline_rehearsal::scenario::Scenario::parse(&format!("version: 1\n{scenario}"), "scenario").unwrap().apply(&mut moment.world);
    moment
}

pub const REUSED: (&str, &str) = ("    root_volume:", "    reuse: unchanged\n    root_volume:");
const GOOD: &str = "build: {duration: 10m}";

#[test]
fn a_recipe_becomes_components_a_recipe_and_encrypted_images_in_two_regions() {
    let baked = bake(&release(&[], GOOD));
    assert_eq!(baked.status, ActionStatus::Succeeded, "{}", baked.why);
    assert_eq!((baked.calls("CreateComponent").len(), baked.calls("CreateImageRecipe").len()), (1, 1));
    for region in ["eu-west-1", "eu-central-1"] {
        let images = baked.images(region);
        assert_eq!(images.len(), 1, "{region}");
        let ebs = &images[0]["BlockDeviceMappings"][0]["Ebs"];
        assert_eq!((&ebs["Encrypted"], &ebs["VolumeSize"]), (&json!(true), &json!(10)), "{region}");
    }
    let (mut zip, statement) = baked.artifact();
    let definition = &statement["predicate"]["buildDefinition"];
    assert_eq!(definition["buildType"], "https://bakeline.dev/build-types/image-builder-recipe/v1");
    assert_eq!(definition["internalParameters"]["reused"], false);
    let resolved = definition["resolvedDependencies"].as_array().unwrap();
    let named = |prefix: &str| -> Vec<_> {
        resolved.iter().filter(|d| d["name"].as_str().unwrap().starts_with(prefix)).cloned().collect()
    };
    assert!(named("parentImage")[0]["uri"].as_str().unwrap().starts_with("ami-"), "{resolved:?}");
    assert!(named("component/")[0]["digest"]["sha256"].is_string(), "its document is bound: {resolved:?}");
    assert_eq!(statement["subject"].as_array().unwrap().len(), 2);
    assert!(zip.by_name("reports/bake/vulnerabilities.dsse.json").is_ok(), "the findings as a statement");
    assert!(zip.by_name("source/image/web.yaml").is_ok() && zip.by_name("reports/bake/scan.sarif").is_ok());
}

#[test]
fn what_did_not_change_makes_no_component_and_no_recipe() {
    let first = bake(&release(&[], GOOD));
    let second = bake(&again(&first));
    assert_eq!(second.status, ActionStatus::Succeeded, "{}", second.why);
    assert_eq!((second.components(), second.recipes()), (first.components(), first.recipes()));
    assert_eq!(second.images("eu-west-1").len(), 2, "it baked, as the spec has it");
}

#[test]
fn a_newer_parent_makes_a_recipe_and_no_component() {
    let first = bake(&release(&[], GOOD));
    let mut moment = again(&first);
    let image = moment.provisioned.current_image.clone();
    assert_eq!(image, None, "the fixture has no fleet");
    let other = first.images("eu-west-1")[0]["ImageId"].as_str().unwrap().to_owned();
    let name = "/aws/service/ami-amazon-linux-latest/al2023-ami-minimal-kernel-default-x86_64";
    let now = moment.now;
    bakeline_rehearsal::services::ssm::write_parameter(
        &mut moment.world,
        now,
        "123456789012",
        "eu-west-1",
        name,
        "text",
        &other,
    );
    let second = bake(&moment);
    assert_eq!(second.status, ActionStatus::Succeeded, "{}", second.why);
    assert_eq!((second.components(), second.recipes()), (first.components(), first.recipes() + 1));
}

#[test]
fn an_unchanged_release_is_reused_within_one_slice() {
    let first = bake(&release(&[REUSED], GOOD));
    assert_eq!(first.status, ActionStatus::Succeeded, "{}", first.why);
    let second = bake(&again(&first));
    assert_eq!(second.status, ActionStatus::Succeeded, "{}", second.why);
    assert_eq!(second.calls("CreateImage").len(), 0);
    assert_eq!(second.images("eu-west-1").len(), 1);
    let jobs = second.calls("AcknowledgeJob").len();
    assert_eq!(jobs, 1, "one slice");
    let (_, statement) = second.artifact();
    assert_eq!(statement["predicate"]["buildDefinition"]["internalParameters"]["reused"], true);
}

#[test]
fn an_image_that_is_gone_is_not_reused() {
    let first = bake(&release(&[REUSED], GOOD));
    let mut moment = again(&first);
    let image = first.images("eu-west-1")[0]["ImageId"].clone();
    let mut world = moment.world.clone();
    ask(&moment, &mut world, "ec2", "DeregisterImage", json!({"ImageId": image}));
    moment.world = world;
    let second = bake(&moment);
    assert_eq!(second.status, ActionStatus::Succeeded, "{}", second.why);
    assert_eq!(second.calls("CreateImage").len(), 1);
    let (_, statement) = second.artifact();
    assert_eq!(statement["predicate"]["buildDefinition"]["internalParameters"]["reused"], false);
}

#[test]
fn an_image_with_a_new_open_finding_is_refused_though_it_was_baked_before() {
    let first = bake(&release(&[REUSED], GOOD));
    let moment = under(again(&first), &finding("CVE-2026-2002", "CRITICAL", ""));
    let second = bake(&moment);
    assert_eq!(second.status, ActionStatus::Failed);
    assert!(
        second.why.contains("1 CRITICAL, max 0: CVE-2026-2002 in openssl-libs 3.0.8"),
        "{}",
        second.why
    );
    assert_eq!(second.images("eu-west-1").len(), 1, "an image that others may use stays");
}

#[test]
fn releases_that_ask_for_the_same_at_once_bake_once() {
    let moment = release(&[REUSED], GOOD);
    let baked = in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        // A second pipeline execution of the same source beside the first.
        let mut other = moment.clone();
        let started = cloud.with_world(|world| {
            ask(&moment, world, "codepipeline", "StartPipelineExecution", json!({"name": "web"}))
        });
        other.provisioned.execution = started["pipelineExecutionId"].as_str().unwrap().into();
        let journal = Arc::new(Journal::in_memory());
        let deps = moment.worker(&cloud, &clock, &journal, &[Stage::Bake], Telemetry::default()).await;
        let first = work(&moment, &cloud, &deps, Stage::Bake).await;
        assert_eq!(first, ActionStatus::Succeeded);
        let second = work(&other, &cloud, &deps, Stage::Bake).await;
        tell(&other, &cloud, second)
    });
    assert_eq!(baked.status, ActionStatus::Succeeded, "{}", baked.why);
    assert_eq!(baked.images("eu-west-1").len(), 1);
    assert_eq!(baked.images("eu-central-1").len(), 1);
}

fn finding(id: &str, severity: &str, more: &str) -> String {
    format!("build: {{duration: 10m, scan: {{{more} findings: [{{id: {id}, severity: {severity}}}]}}}}")
}

/// Bakes that are refused: what is different, and words of the reason. Whatever was made is taken away again.
#[test]
fn a_bake_that_is_refused_leaves_nothing_in_any_region() {
    type Case<'c> = (&'c str, Vec<(&'c str, &'c str)>, String, &'c [&'c str]);
    let cases: Vec<Case<'_>> = vec![
        ("a critical finding", vec![], finding("CVE-2026-7", "CRITICAL", ""), &["1 CRITICAL, max 0: CVE-2026-7"]),
        ("one nobody has weighed", vec![], finding("CVE-2026-7", "UNTRIAGED", ""), &["1 CRITICAL"]),
        (
            "more than are let through",
            vec![],
            "build: {duration: 10m, scan: {findings: [{id: CVE-1, severity: high}, {id: CVE-2, severity: high}]}}".into(),
            &["2 HIGH, max 1", "CVE-1", "CVE-2"],
        ),
        (
            "an exception that has run out",
            vec![("2026-01-31", "2025-12-31")],
            finding("CVE-2026-1001", "CRITICAL", ""),
            &["CVE-2026-1001 was accepted by team-web until 2025-12-31"],
        ),
        (
            "a scan that was abandoned",
            vec![],
            "build: {duration: 10m, scan: {abandoned: true}}".into(),
            &["no completed vulnerability scan: it ended ABANDONED"],
        ),
        (
            "a scan that does not end",
            vec![("high: 1 }\n", "high: 1 }\n      timeout: 10m\n")],
            "build: {duration: 10m, scan: {delay: 300m}}".into(),
            &["is collecting 10m after the image was available"],
        ),
        (
            "an image that is not encrypted",
            vec![("{ size_gib: 10 }", "{ size_gib: 10, encrypted: false }")],
            GOOD.into(),
            &["1 of its 1 volumes are not encrypted"],
        ),
        ("an image that is too large", vec![("max_size_gib: 10", "max_size_gib: 9")], GOOD.into(), &["have 10 GiB, max 9"]),
        ("another boot mode", vec![("uefi-preferred", "legacy-bios")], GOOD.into(), &["boot mode is uefi-preferred, not legacy-bios"]),
        ("another architecture", vec![("x86_64, max", "arm64, max")], GOOD.into(), &["architecture is x86_64, not arm64"]),
        ("no metadata session tokens", vec![("encrypted: true, boot", "imds_v2: true, boot")], GOOD.into(), &["ImdsSupport is not v2.0"]),
        (
            "a build that hangs",
            vec![],
            "build: {duration: 10m, outcome: {hangs: {}}}".into(),
            &["made no progress for", "bake.progress_timeout is 45m"],
        ),
        (
            "a build that takes too long",
            vec![("timeout: 2h", "timeout: 10m")],
            "build: {duration: 30m}".into(),
            &["did not end by its deadline"],
        ),
        (
            "a deadline in the middle of the distribution",
            vec![("timeout: 2h", "timeout: 27m")],
            "build: {duration: 30m}".into(),
            &["did not end by its deadline", "2 of the build's images were removed"],
        ),
        (
            "a component that fails",
            vec![],
            "build: {duration: 10m, outcome: {failed: {component: web-web, step: Download, message: no such key}}}".into(),
            &["web-web", "Download", "no such key"],
        ),
        (
            "a distribution that fails for good",
            vec![],
            "build: {duration: 10m, outcome: {distribution_failed: {region: eu-central-1, message: quota}}}".into(),
            &["region eu-central-1", "quota", "2 of the build's images were removed"],
        ),
        ("someone cancels it", vec![], "build: {duration: 10m, outcome: {cancelled: {}}}".into(), &["ended CANCELLED"]),
    ];
    for (name, changes, scenario, words) in &cases {
        let baked = bake(&release(changes, scenario));
        assert_eq!(baked.status, ActionStatus::Failed, "{name}");
        for word in *words {
            assert!(baked.why.contains(word), "{name}: {}", baked.why);
        }
        for region in ["eu-west-1", "eu-central-1"] {
            assert_eq!(baked.images(region), Vec::<Value>::new(), "{name}");
        }
        // The parent image's own snapshot is all there is.
        assert_eq!((baked.snapshots("eu-west-1"), baked.snapshots("eu-central-1")), (1, 0), "{name}");
    }
    println!("{} bakes", cases.len());
}

/// Bakes that go well although something is in the way.
#[test]
fn a_bake_gets_past_what_passes() {
    type Case<'c> = (&'c str, Vec<(&'c str, &'c str)>, String);
    let cases: Vec<Case<'_>> = vec![
        ("a finding someone answers for", vec![], finding("CVE-2026-1001", "CRITICAL", "")),
        ("as many as are let through", vec![], finding("CVE-2026-5", "HIGH", "")),
        ("a severity that is not counted", vec![], finding("CVE-2026-5", "MEDIUM", "")),
        ("a scan that lags", vec![], "build: {duration: 10m, scan: {delay: 20m}}".into()),
        (
            "a finding without a fix",
            vec![("high: 1 }\n", "high: 1 }\n      count: fixable\n")],
            "build: {duration: 10m, scan: {findings: [{id: CVE-9, severity: critical, fix: none}]}}".into(),
        ),
        (
            "a distribution that fails once",
            vec![],
            "build: {duration: 10m, times: 1, outcome: {distribution_failed: {region: eu-central-1, message: quota}}}".into(),
        ),
        ("a long build that moves", vec![("timeout: 2h", "timeout: 8h")], "build: {duration: 120m}".into()),
        ("no volume of its own", vec![("    root_volume: { size_gib: 10 }\n", ""), ("volume_encryption: required, boot", "boot")], GOOD.into()),
        ("no parameter", vec![("  publish: { parameter: /bakeline/images/web/candidate }\n", "")], GOOD.into()),
        ("no gates on the scan", vec![("critical: 0, high: 1", "low: 0")], GOOD.into()),
    ];
    for (name, changes, scenario) in &cases {
        let baked = bake(&release(changes, scenario));
        assert_eq!(baked.status, ActionStatus::Succeeded, "{name}: {}", baked.why);
        assert_eq!(baked.images("eu-central-1").len(), 1, "{name}");
        let twice = crate::crash::applied_twice(&baked.records);
        assert!(twice.is_empty(), "{name}: {twice:?}");
    }
    println!("{} bakes", cases.len());
}

#[test]
fn a_distribution_that_failed_is_run_on_in_place() {
    let scenario = "build: {duration: 10m, times: 1, outcome: {distribution_failed: {region: eu-central-1, message: quota}}}";
    let baked = bake(&release(&[], scenario));
    assert_eq!(baked.status, ActionStatus::Succeeded, "{}", baked.why);
    assert_eq!((baked.calls("CreateImage").len(), baked.calls("RetryImage").len()), (1, 1));
}

const TO_THE_HUB: (&str, &str) = ("high: 1 }\n", "high: 1 }\n      report_to: [security_hub]\n");

/// What Security Hub has of the release, by the vulnerability.
fn in_the_hub(baked: &Baked) -> std::collections::BTreeMap<String, Value> {
    let mut all = std::collections::BTreeMap::new();
    let mut input = json!({});
    loop {
        let page = baked.ask("securityhub", "GetFindings", input);
        for finding in page["Findings"].as_array().unwrap() {
            let of = finding["Vulnerabilities"][0]["Id"].as_str().unwrap();
            all.insert(of.to_owned(), finding.clone());
        }
        match page.get("NextToken") {
            Some(next) => input = json!({ "NextToken": next }),
            None => return all,
        }
    }
}

#[test]
fn findings_go_to_security_hub_in_batches_whether_they_let_the_image_through_or_not() {
    let many: Vec<String> = (0..150).map(|n| format!("{{id: CVE-2026-{n}, severity: low}}")).collect();
    let scenario = |more: &str| {
        format!(
            "build: {{duration: 10m, scan: {{findings: [{{id: CVE-2026-1001, severity: critical}}{more}]}}}}"
        )
    };
    let baked = bake(&release(&[TO_THE_HUB], &scenario(&format!(", {}", many.join(", ")))));
    assert_eq!(baked.status, ActionStatus::Succeeded, "{}", baked.why);
    assert_eq!(baked.calls("BatchImportFindings").len(), 2, "151 findings, 100 a call");
    let found = in_the_hub(&baked);
    assert_eq!(found.len(), 151);
    let excepted = &found["CVE-2026-1001"];
    assert_eq!(excepted["Workflow"]["Status"], "SUPPRESSED");
    assert!(
        excepted["Note"]["Text"].as_str().unwrap().contains("owner team-web, until 2026-01-31"),
        "{excepted}"
    );
    assert_eq!(found["CVE-2026-7"]["FindingProviderFields"]["Severity"]["Label"], "LOW");
    assert_eq!(found["CVE-2026-7"]["Workflow"]["Status"], "NEW");

    let refused = bake(&release(&[TO_THE_HUB], &scenario(", {id: CVE-2026-7, severity: critical}")));
    assert_eq!(refused.status, ActionStatus::Failed);
    assert_eq!(in_the_hub(&refused).len(), 2, "what stopped the release is there to be worked on");
    assert_eq!(refused.images("eu-west-1"), Vec::<Value>::new());

    let not_asked = bake(&release(&[], &scenario("")));
    assert_eq!(not_asked.calls("BatchImportFindings").len(), 0);
}

#[test]
fn findings_that_security_hub_does_not_take_are_told_and_stop_nothing() {
    let scenario = "build: {duration: 10m, scan: {findings: [{id: CVE-1, severity: low}, {id: CVE-2, severity: low}]}}\n\
                    aws: {securityhub: {rejects: {CVE-2: no such generator}}}\n";
    let baked = bake(&release(&[TO_THE_HUB], scenario));
    assert_eq!(baked.status, ActionStatus::Succeeded, "{}", baked.why);
    assert_eq!(in_the_hub(&baked).into_keys().collect::<Vec<_>>(), ["CVE-1"]);
    let said = baked.calls("PutJobSuccessResult");
    let summaries = said.iter().filter_map(|record| record.input["executionDetails"]["summary"].as_str());
    let told: Vec<&str> = summaries.filter(|summary| summary.contains("Security Hub rejected")).collect();
    assert!(told.len() == 1 && told[0].contains("1 findings: CVE-2/"), "{told:?}");
    assert!(told[0].contains("no such generator"), "{told:?}");
}

#[test]
fn a_security_hub_that_is_not_enabled_is_the_specs_mistake() {
    let scenario = "build: {duration: 10m, scan: {findings: [{id: CVE-1, severity: low}]}}\naws: {securityhub: {enabled: false}}\n";
    let baked = bake(&release(&[TO_THE_HUB], scenario));
    assert_eq!(baked.status, ActionStatus::Failed);
    assert!(baked.why.contains("enable Security Hub in this account and region"), "{}", baked.why);
    assert_eq!(baked.images("eu-west-1"), Vec::<Value>::new());
}

#[test]
fn a_component_made_by_hand_under_our_name_is_refused() {
    let mut moment = release(&[], GOOD);
    let first = bake(&moment);
    let made = first.calls("CreateComponent")[0].input.clone();
    let mut world = moment.world.clone();
    let forged = json!({"name": made["name"], "semanticVersion": made["semanticVersion"], "platform": "Linux",
        "data": "name: evil\nschemaVersion: 1.0\nphases: []\n", "clientToken": "by-hand"});
    ask(&moment, &mut world, "imagebuilder", "CreateComponent", forged);
    moment.world = world;
    let baked = bake(&moment);
    assert_eq!(baked.status, ActionStatus::Failed);
    assert!(baked.why.contains("exists and its content is not image/web.yaml"), "{}", baked.why);
    assert_eq!(baked.calls("CreateImage").len(), 0);
}

#[test]
fn a_document_that_is_not_there_is_told_before_anything_is_made() {
    let baked = bake(&release(&[("image/web.yaml", "image/gone.yaml")], GOOD));
    assert_eq!(baked.status, ActionStatus::Failed);
    assert!(baked.why.contains("has no file `image/gone.yaml`, a component's document"), "{}", baked.why);
    assert_eq!(baked.calls("CreateComponent").len(), 0);
}

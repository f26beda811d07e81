//! A release with all four statements; each test changes one thing.

use std::collections::BTreeMap;

use futures::executor::block_on;
use secrecy::SecretString;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::chain::{Chain, ChainError, Expectation, NamedBytes};
use super::image::ImageIdentity;
use super::layout;
use super::link::{Link, Run, Stage, System};
use super::predicate::{
    AutoScalingGroupChange, BuildDefinition, BuildMetadata, Builder, Change, Cleanup, Decision,
    DecisionAction, KeptImage, Measurement, Promotion, PromotionOutcome, Provenance, RunDetails, Target,
    TestOutcome, TestResult,
};
use super::resource::ResourceDescriptor;
use super::signer::{Signer, seal};
use super::statement::{Statement, StatementError};
use super::trust::TrustRoot;
use crate::digest::Sha256;

pub const PIPELINE: &str = "arn:aws:codepipeline:eu-west-1:111122223333:web";
pub const EXECUTION: &str = "3e0e1bd5-0a66-4a4c-9d3e-4a9b8a0a0001";
pub const START: OffsetDateTime = datetime!(2026-11-02 10:00 UTC);

/// The key the golden statements are signed with.
pub fn golden_signer() -> Signer {
    let pem = include_str!("../../tests/golden/evidence/keys/p256-pkcs8.pem");
    Signer::from_pem(&SecretString::from(pem)).unwrap()
}

/// A signer with a key of its own.
pub fn new_signer() -> Signer {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let der = pair.private_key().as_der().unwrap();
    let pem =
        pem_rfc7468::encode_string("EC PRIVATE KEY", pem_rfc7468::LineEnding::LF, der.as_ref()).unwrap();
    Signer::from_pem(&SecretString::from(pem)).unwrap()
}

pub fn image(region: &str) -> ImageIdentity {
    ImageIdentity {
        account: "111122223333".into(),
        creation_date: "2026-11-02T09:58:00.000Z".into(),
        image_id: "ami-0123456789abcdef0".into(),
        name: "web-2026-11-02".into(),
        region: region.into(),
    }
}

/// One statement before it is signed.
pub struct Draft {
    pub subject: Vec<ResourceDescriptor>,
    pub link: Link,
    pub previous: Previous,
    pub signer: usize,
}

/// The digest that a draft names as the file before it.
#[derive(Clone, Copy)]
pub enum Previous {
    Right,
    Other(Option<Sha256>),
}

/// A key of the trust root, as its YAML.
pub struct Trusted {
    pub name: &'static str,
    pub signer: usize,
    pub rest: String,
}

/// A release, the keys, and the expectation of the next stage.
pub struct Case {
    pub signers: Vec<Signer>,
    pub trusted: Vec<Trusted>,
    pub drafts: Vec<Draft>,
    pub files: BTreeMap<String, Sha256>,
    pub pipeline: Option<&'static str>,
    pub execution: Option<&'static str>,
    pub allow_other_run: bool,
    pub last: Option<Stage>,
    pub absent: &'static [Stage],
    pub acting: Option<&'static str>,
    pub now: OffsetDateTime,
}

pub fn files(stage: Stage) -> BTreeMap<String, Sha256> {
    let mut files = BTreeMap::from([
        (layout::SPEC.to_owned(), Sha256::of(b"spec")),
        (layout::source("checks/smoke.sh"), Sha256::of(b"smoke")),
    ]);
    if stage >= Stage::Test {
        files.insert(layout::TEST_JUNIT.to_owned(), Sha256::of(b"junit"));
    }
    files
}

impl Case {
    /// Three signers, each for its own stages, and an untrusted one as the fourth.
    pub fn good() -> Self {
        Self::signed_by(vec![new_signer(), new_signer(), new_signer(), new_signer()], [0, 1, 2, 2])
    }

    /// The same release, signed by one key.
    pub fn golden() -> Self {
        let mut case = Self::signed_by(vec![golden_signer()], [0; 4]);
        let rest = "may_sign: [bake, test, promote, cleanup, cleanup_plan]".to_owned();
        case.trusted = vec![Trusted { name: "release", signer: 0, rest }];
        case
    }

    fn signed_by(signers: Vec<Signer>, by: [usize; 4]) -> Self {
        let draft = |stage: Stage| {
            let at = START + Duration::hours(stage.ordinal().into());
            Draft {
                subject: match stage {
                    Stage::Bake => vec![image("eu-west-1").subject(), image("eu-central-1").subject()],
                    _ => vec![image("eu-west-1").subject()],
                },
                link: Link {
                    run: Run {
                        system: System::CodePipeline,
                        pipeline: PIPELINE.into(),
                        run_id: EXECUTION.into(),
                        attempt_id: format!("action-{stage}"),
                    },
                    service: "web".into(),
                    stage,
                    position: stage.ordinal(),
                    previous: None,
                    issued_on: at,
                    hand_over_expires_on: START + Duration::days(7),
                    files: files(stage),
                    source: Some(Sha256::of(b"source")),
                },
                previous: Previous::Right,
                signer: by[stage.ordinal() as usize - 1],
            }
        };
        let validity = "not_before: 2026-01-01T00:00:00Z\n    not_after: 2027-01-01T00:00:00Z";
        let trusted = |name, signer, stages| Trusted {
            name,
            signer,
            rest: format!("may_sign: {stages}\n    {validity}"),
        };
        Self {
            signers,
            trusted: vec![
                trusted("baker", 0, "[bake]"),
                trusted("tester", 1, "[test]"),
                trusted("promoter", 2, "[promote, cleanup]"),
            ],
            drafts: Stage::ALL.into_iter().map(draft).collect(),
            files: files(Stage::Cleanup),
            pipeline: Some(PIPELINE),
            execution: Some(EXECUTION),
            allow_other_run: false,
            last: Some(Stage::Cleanup),
            absent: &[],
            acting: Some("action-next"),
            now: START + Duration::hours(5),
        }
    }

    pub fn link(&mut self, stage: Stage) -> &mut Link {
        &mut self.drafts[stage.ordinal() as usize - 1].link
    }

    pub fn trust_yaml(&self) -> String {
        let keys = self.trusted.iter().map(|Trusted { name, signer, rest }| {
            let pem = self.signers[*signer].public_key().to_pem().replace('\n', "\n      ");
            format!("  - name: {name}\n    public_key: |\n      {}\n    {rest}\n", pem.trim_end())
        });
        std::iter::once("version: 1\nkeys:\n".to_owned()).chain(keys).collect()
    }

    /// Signs every draft and returns the files of the artifact.
    pub fn seal(&self) -> Vec<(String, Vec<u8>)> {
        self.seal_as(&Stage::ALL)
    }

    /// Signs the drafts under the paths of these stages.
    pub fn seal_as(&self, places: &[Stage]) -> Vec<(String, Vec<u8>)> {
        let mut sealed: Vec<(String, Vec<u8>)> = Vec::new();
        for ((draft, place), position) in self.drafts.iter().zip(places).zip(1..) {
            let mut link = draft.link.clone();
            let before = sealed.last().map(|(_, bytes)| Sha256::of(bytes));
            link.previous = match draft.previous {
                Previous::Right => before,
                Previous::Other(previous) => previous,
            };
            let statement = statement(draft.subject.clone(), &link).unwrap();
            let envelope = block_on(seal(&statement, &self.signers[draft.signer])).unwrap();
            sealed.push((layout::statement(position, *place), envelope.encode()));
        }
        sealed
    }

    pub fn verify(&self, sealed: &[(String, Vec<u8>)]) -> Result<Chain, ChainError> {
        let trust = TrustRoot::parse(&self.trust_yaml()).unwrap();
        self.verify_with(sealed, &trust)
    }

    pub fn verify_with(&self, sealed: &[(String, Vec<u8>)], trust: &TrustRoot) -> Result<Chain, ChainError> {
        let named: Vec<_> = sealed.iter().map(|(name, bytes)| NamedBytes { name, bytes }).collect();
        let expectation = Expectation {
            pipeline: self.pipeline,
            run_id: self.execution,
            allow_other_run: self.allow_other_run,
            last: self.last,
            absent: self.absent,
            attempt_id: self.acting,
            now: self.now,
            files: &self.files,
        };
        super::chain::verify(&named, trust, &expectation)
    }
}

/// The statement of the stage of `link` about `subject`.
pub fn statement(subject: Vec<ResourceDescriptor>, link: &Link) -> Result<Statement, StatementError> {
    match link.stage {
        Stage::Bake => Statement::new(subject, &provenance(), link),
        Stage::Test => Statement::new(subject, &test_result(), link),
        Stage::Promote => Statement::new(subject, &promotion(), link),
        Stage::Cleanup => Statement::new(subject, &cleanup(), link),
    }
}

pub fn provenance() -> Provenance {
    let recipe = "arn:aws:imagebuilder:eu-west-1:111122223333:image-recipe/web/1.0.0";
    Provenance {
        build_definition: BuildDefinition {
            build_type: "https://bakeline.dev/build-types/image-builder-recipe/v1".into(),
            external_parameters: serde_json::json!({ "recipe": recipe }),
            internal_parameters: serde_json::Value::Null,
            resolved_dependencies: vec![
                ResourceDescriptor::named("source", &Sha256::of(b"source")),
                ResourceDescriptor::at(recipe),
            ],
        },
        run_details: RunDetails {
            builder: Builder {
                id: "https://bakeline.dev/builder/image-builder/v1".into(),
                version: BTreeMap::from([("bakeline".into(), "0.2.0".into())]),
                builder_dependencies: vec![],
            },
            metadata: BuildMetadata {
                invocation_id: "arn:aws:imagebuilder:eu-west-1:111122223333:image/web/1.0.0/1".into(),
                started_on: Some(START),
                finished_on: Some(START + Duration::minutes(50)),
            },
            byproducts: vec![],
        },
    }
}

pub fn test_result() -> TestResult {
    TestResult {
        result: TestOutcome::Passed,
        configuration: vec![ResourceDescriptor::named("source/checks/smoke.sh", &Sha256::of(b"smoke"))],
        url: None,
        passed_tests: vec!["smoke".into()],
        warned_tests: vec![],
        failed_tests: vec![],
    }
}

pub fn promotion() -> Promotion {
    Promotion {
        outcome: PromotionOutcome::Promoted,
        reason: "every checkpoint held".into(),
        target: Target {
            account: "111122223333".into(),
            region: "eu-west-1".into(),
            kind: "auto_scaling_group".into(),
            name: "web".into(),
            uri: None,
        },
        previous: None,
        change: Some(Change {
            auto_scaling_group: Some(AutoScalingGroupChange {
                launch_template: "lt-0123456789abcdef0".into(),
                previous_version: "7".into(),
                version: "8".into(),
                instance_refresh_id: Some("08b91cf7-8fa6-48af-b6a6-d227f40f1b9b".into()),
            }),
        }),
        started_on: START,
        finished_on: START + Duration::hours(1),
        preflight: vec![],
        canary: None,
        decisions: vec![Decision {
            decided_on: START + Duration::minutes(30),
            wave: None,
            percent: 25,
            action: DecisionAction::Continue,
            reason: "errors stayed under the limit".into(),
            alarms: vec![],
            measurements: vec![Measurement {
                name: "errors".into(),
                statistic: "Sum".into(),
                value: Some(0.5),
                comparison: "max".into(),
                limit: 1.0,
                samples: 30,
                holds: true,
            }],
        }],
        units: None,
        waves: vec![],
    }
}

pub fn cleanup() -> Cleanup {
    Cleanup {
        service: "web".into(),
        policy: serde_json::json!({ "keep": 3 }),
        complete: true,
        observed_on: START,
        finished_on: START + Duration::minutes(1),
        kept: vec![KeptImage { image: image("eu-west-1"), reasons: vec!["current".into()] }],
        removed: vec![],
        containers: None,
    }
}

//! The resources that exist when a rehearsal starts: a service in production, its image pipeline, and a release pipeline.

mod alternate_group;
mod fleet;
mod image_builder;
mod waves;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::call::{ApiError, Call};
use super::scenario::Scenario;
use super::services::s3::{self, Bucket, Encryption};
use super::services::sts::{self, Credentials};
use super::services::{ec2, securityhub, ssm};
use super::time::Time;
use super::world::World;
use super::{other_resources, partition};

pub use fleet::{Fleet, WaveGroups};
pub use image_builder::RecipeFixtures;

/// The description of the resources to create.
#[derive(Clone, Debug)]
pub struct Setup {
    pub account: String,
    pub region: String,
    /// Name of the service: the value of the tag `bakeline:service` on its images.
    pub service: String,
    /// Name of the pipeline.
    pub pipeline: String,
    pub source: Bytes,
    /// The configuration of the first of the four actions.
    pub configuration: BTreeMap<String, String>,
    /// The ARN of the Image Builder pipeline. Default: there is no image pipeline.
    pub image_pipeline: Option<String>,
    /// The resources that an image recipe in the release spec refers to. Default: none.
    pub recipe: Option<RecipeFixtures>,
    /// Regions and accounts the image is distributed to.
    pub distribution: Vec<(String, String)>,
    pub test_environment: Option<TestEnvironment>,
    pub fleet: Option<Fleet>,
    /// Whether the pipeline has each of the four actions.
    pub actions: [bool; 4],
}

/// The resources that the test stage uses.
#[derive(Clone, Debug)]
pub struct TestEnvironment {
    pub subnets: Vec<String>,
    pub security_groups: Vec<String>,
    /// The account's Systems Manager documents, with the names of their parameters.
    pub documents: BTreeMap<String, Vec<String>>,
    /// The bucket that commands write their output to. Default: none.
    pub output_bucket: Option<String>,
    /// The name or ARN of the ECS cluster that runs test tasks. Default: none.
    pub cluster: Option<String>,
}

/// The created resources: names, ids and the public key that a client needs.
#[derive(Clone, Debug)]
pub struct Provisioned {
    pub pipeline_arn: String,
    pub execution: String,
    pub credentials: Credentials,
    pub signing_key: String,
    /// PEM.
    pub public_key: String,
    pub bucket: String,
    pub current_image: Option<String>,
}

/// AWS rejected a request of the setup.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the rehearsal: {operation} failed with {code}: {message}")]
pub struct SetupError {
    operation: String,
    code: String,
    message: String,
}

/// Creates the world and starts one execution of the pipeline.
///
/// # Errors
/// AWS rejects a name or number in the setup.
pub fn provision(setup: &Setup, scenario: &Scenario, at: Time) -> Result<(World, Provisioned), SetupError> {
    let mut world = World::new(at, scenario.seed);
    scenario.apply(&mut world);
    let credentials = sts::issue_long_term(
        &mut world,
        &setup.account,
        &format!("arn:{}:iam::{}:role/bakeline-worker", partition::id(&setup.region), setup.account),
    );
    let mut fixtures = Fixtures { world, setup };
    let (signing_key, public_key) = fixtures.signing_key()?;
    let bucket = fixtures.bucket()?;
    if let Some(arn) = &setup.image_pipeline {
        fixtures.image_pipeline(arn)?;
    }
    if let Some(recipe) = &setup.recipe {
        fixtures.recipe(recipe)?;
    }
    if scenario.aws.securityhub.enabled {
        securityhub::enable(&mut fixtures.world, &setup.account, &setup.region);
    }
    fixtures.test_environment()?;
    let current_image = match &setup.fleet {
        Some(fleet) => Some(fixtures.fleet(fleet, scenario)?),
        None => None,
    };
    if let Some(other) = &scenario.other_resources {
        let owner = other_resources::Owner {
            account: &setup.account,
            region: &setup.region,
            service: &setup.service,
        };
        other_resources::create(&mut fixtures.world, other, owner)
            .map_err(|refused| refusal("creation of the other resources", refused))?;
    }
    fixtures.action_types()?;
    let execution = fixtures.pipeline(&bucket)?;
    scenario.apply_after_setup(&mut fixtures.world);
    let provisioned = Provisioned {
        pipeline_arn: format!(
            "arn:{}:codepipeline:{}:{}:{}",
            partition::id(&setup.region),
            setup.region,
            setup.account,
            setup.pipeline
        ),
        execution,
        credentials,
        signing_key,
        public_key,
        bucket,
        current_image,
    };
    Ok((fixtures.world, provisioned))
}

/// Adds another service with its own release pipeline and starts an execution of it. Returns the execution id.
///
/// # Errors
/// AWS rejects a name or number in the setup, or a name is already in use.
pub fn provision_another(
    world: World,
    setup: &Setup,
    scenario: &Scenario,
) -> Result<(World, String), SetupError> {
    let mut fixtures = Fixtures { world, setup };
    let bucket = fixtures.bucket()?;
    if let Some(arn) = &setup.image_pipeline {
        fixtures.image_pipeline(arn)?;
    }
    if let Some(recipe) = &setup.recipe {
        fixtures.recipe(recipe)?;
    }
    fixtures.test_environment()?;
    if let Some(fleet) = &setup.fleet {
        fixtures.fleet(fleet, scenario)?;
    }
    let execution = fixtures.pipeline(&bucket)?;
    Ok((fixtures.world, execution))
}

/// The four action types: category, stage and action name, and output artifact.
const STAGES: [(&str, &str, &str); 4] = [
    ("Build", "Bake", "BakedImage"),
    ("Test", "Test", "TestedImage"),
    ("Deploy", "Promote", "PromotedImage"),
    ("Invoke", "Cleanup", "CleanedUp"),
];

struct Fixtures<'a> {
    world: World,
    setup: &'a Setup,
}

impl Fixtures<'_> {
    /// Calls an operation as the account's administrator.
    fn ask(&mut self, service: &'static str, operation: &str, input: Value) -> Result<Value, SetupError> {
        let region = &self.setup.region;
        self.ask_in(region, service, operation, input)
    }

    fn ask_in(
        &mut self,
        region: &str,
        service: &'static str,
        operation: &str,
        input: Value,
    ) -> Result<Value, SetupError> {
        let Value::Object(input) = input else { return Ok(Value::Null) };
        let call = Call {
            service,
            operation: operation.to_owned(),
            input,
            account: self.setup.account.clone(),
            region: region.to_owned(),
            access_key: String::new(),
            now: self.world.now,
        };
        self.world.call(&call).map_err(|refused| refusal(operation, refused))
    }

    fn signing_key(&mut self) -> Result<(String, String), SetupError> {
        let made =
            self.ask("kms", "CreateKey", json!({"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}))?;
        let key = text(&made, "/KeyMetadata/Arn");
        let id = text(&made, "/KeyMetadata/KeyId");
        self.ask("kms", "CreateAlias", json!({"AliasName": "alias/bakeline-signing", "TargetKeyId": id}))?;
        let public = self.ask("kms", "GetPublicKey", json!({"KeyId": key}))?;
        let lines: Vec<String> = text(&public, "/PublicKey")
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        Ok((key, pem))
    }

    fn bucket(&mut self) -> Result<String, SetupError> {
        let setup = self.setup;
        let name = format!("{}-artifacts-{}", setup.pipeline, setup.account);
        let now = self.world.now;
        s3::create_bucket(
            &mut self.world,
            &name,
            Bucket::new(&setup.account, &setup.region, now).requiring_kms(),
        );
        s3::put(&mut self.world, &name, SOURCE_KEY, setup.source.clone(), Encryption::default())
            .map_err(|refused| refusal("PutObject", refused))?;
        Ok(name)
    }

    fn test_environment(&mut self) -> Result<(), SetupError> {
        let Some(test) = &self.setup.test_environment else { return Ok(()) };
        let (account, region) = (&self.setup.account, &self.setup.region);
        for (subnet, zone) in test.subnets.iter().zip(["a", "b", "c"].into_iter().cycle()) {
            let zone = format!("{region}{zone}");
            ec2::place_subnet(&mut self.world, account, region, subnet, &zone, "vpc-staging");
        }
        for group in &test.security_groups {
            ec2::place_security_group(&mut self.world, account, region, group, "vpc-staging", "staging");
        }
        for (name, parameters) in &test.documents {
            ssm::write_document(&mut self.world, account, region, name, parameters);
        }
        if let Some(bucket) = &test.output_bucket {
            let now = self.world.now;
            s3::create_bucket(&mut self.world, bucket, Bucket::new(account, region, now));
        }
        if let Some(cluster) = &test.cluster {
            let name = cluster.rsplit('/').next().unwrap_or(cluster);
            self.ask("ecs", "CreateCluster", json!({ "clusterName": name }))?;
        }
        Ok(())
    }

    fn action_types(&mut self) -> Result<(), SetupError> {
        let property = |name: &str, description: &str| {
            json!({"name": name, "required": false, "key": name == "Spec", "secret": false,
                   "description": description})
        };
        // The same properties as in pipeline/action-types.yaml.
        let properties = [
            property("Spec", "Path of the release spec in the source artifact; bakeline.yaml unless given"),
            property(
                "Part",
                "Reserved for a later version: the part of the release spec that the action runs",
            ),
            property("Options", "Reserved for a later version: key=value, one on each line"),
        ];
        for (category, name, _) in STAGES {
            self.ask(
                "codepipeline",
                "CreateCustomActionType",
                json!({"category": category, "provider": format!("Bakeline{name}"), "version": "1",
                       "configurationProperties": properties,
                       "inputArtifactDetails": {"minimumCount": 1, "maximumCount": 5},
                       "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 1}}),
            )?;
        }
        Ok(())
    }

    /// Creates the pipeline and starts one execution.
    fn pipeline(&mut self, bucket: &str) -> Result<String, SetupError> {
        let mut stages = vec![json!({"name": "Source", "actions": [{
            "name": "Source",
            "actionTypeId": {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"},
            "configuration": {"S3Bucket": bucket, "S3ObjectKey": SOURCE_KEY, "PollForSourceChanges": "false"},
            "outputArtifacts": [{"name": "SourceArtifact"}], "runOrder": 1,
        }]})];
        // Only the first action has the path of the spec: later stages read the spec from the artifact they receive.
        let none = BTreeMap::new();
        let mut input = "SourceArtifact";
        let there = STAGES.into_iter().zip(self.setup.actions).filter(|(_, there)| *there);
        for ((category, name, output), _) in there {
            stages.push(json!({"name": name, "actions": [{
                "name": name, "namespace": name,
                "actionTypeId": {"category": category, "owner": "Custom", "provider": format!("Bakeline{name}"),
                                 "version": "1"},
                "configuration": if category == "Build" { &self.setup.configuration } else { &none },
                "inputArtifacts": [{"name": input}], "outputArtifacts": [{"name": output}], "runOrder": 1,
            }]}));
            input = output;
        }
        let role =
            format!("arn:{}:iam::{}:role/pipeline", partition::id(&self.setup.region), self.setup.account);
        self.ask(
            "codepipeline",
            "CreatePipeline",
            json!({"pipeline": {"name": self.setup.pipeline, "roleArn": role, "version": 1,
                   "artifactStore": {"type": "S3", "location": bucket}, "stages": stages}}),
        )?;
        let started =
            self.ask("codepipeline", "StartPipelineExecution", json!({"name": self.setup.pipeline}))?;
        Ok(text(&started, "/pipelineExecutionId"))
    }
}

/// The S3 key of the source action's object.
const SOURCE_KEY: &str = "source.zip";

fn refusal(operation: &str, refused: ApiError) -> SetupError {
    SetupError { operation: operation.to_owned(), code: refused.code, message: refused.message }
}

fn text(answer: &Value, pointer: &str) -> String {
    answer.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

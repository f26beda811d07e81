//! The world a spec needs: what it names is there, of the kind it expects.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_smithy_async::rt::sleep::SharedAsyncSleep;
use aws_types::SdkConfig;
use aws_types::region::Region;
use bytes::Bytes;

use crate::aws::environment::Allow;
use crate::aws::{Aws, Environment, Environments};
use crate::cli::exit::CliError;
use crate::engine::error::with_causes;
use crate::engine::network::Connection;
use crate::engine::{Clock, Network};
use crate::evidence::{Signer, Stage, TrustRoot};
use crate::spec::ReleaseSpec;
use crate::spec::promote::cloudwatch::SideMetric;
use crate::spec::promote::judge::Measured;
use crate::stage::Authority;
use crate::stage::handover::{SPEC_FILE, SPEC_PROPERTY};
use crate::stage::promote::settings::Settings;
use crate::telemetry::Telemetry;
use crate::worker::WorkerDeps;
use crate::worker::journal::Journal;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::services::cloudwatch::{Measure, Published};
use bakeline_rehearsal::setup::{Fleet, Provisioned, RecipeFixtures, Setup, TestEnvironment, WaveGroups};

/// Instances of a service in production, unless the spec's world says otherwise.
const INSTANCES: usize = 8;
/// Ages in days of the images of earlier releases.
const EARLIER_IMAGES: [u64; 6] = [16, 23, 37, 51, 65, 93];
/// The account of a rehearsal whose spec names none.
const ACCOUNT: &str = "123456789012";
const REGION: &str = "eu-west-1";

/// What a release of `spec` needs to find in AWS. `spec_path` is the spec's path inside `source`.
pub fn setup(spec: &ReleaseSpec, source: Bytes, spec_path: &str) -> Setup {
    let (region, account) = home(spec);
    let mut distribution: Vec<(String, String)> = spec
        .bake
        .iter()
        .flat_map(|bake| &bake.gates.copies)
        .map(|copy| (copy.region.clone(), copy.account.clone()))
        .collect();
    if distribution.is_empty() {
        distribution.push((region.clone(), account.clone()));
    }
    let mut configuration = BTreeMap::new();
    if spec_path != SPEC_FILE {
        configuration.insert(SPEC_PROPERTY.to_owned(), spec_path.to_owned());
    }
    Setup {
        actions: actions(spec),
        service: spec.service.clone(),
        pipeline: spec.service.clone(),
        source,
        configuration,
        image_pipeline: spec.bake.as_ref().and_then(|bake| bake.image_pipeline()).map(str::to_owned),
        recipe: spec.bake.as_ref().and_then(recipe),
        distribution,
        test_environment: spec.test.as_ref().map(|test| TestEnvironment {
            subnets: test
                .instance
                .iter()
                .flat_map(|instance| &instance.subnets)
                .chain(test.task.iter().flat_map(|task| &task.subnets))
                .cloned()
                .collect(),
            security_groups: test
                .instance
                .iter()
                .flat_map(|instance| &instance.security_groups)
                .chain(test.task.iter().flat_map(|task| &task.security_groups))
                .cloned()
                .collect(),
            documents: documents(test),
            output_bucket: test.output.as_ref().map(|output| output.bucket.clone()),
            cluster: test.task.as_ref().map(|task| task.cluster.clone()),
        }),
        fleet: spec.promote.as_ref().and_then(|promote| Settings::of(promote).ok()).map(|promote| Fleet {
            group: promote.group.clone(),
            alternate: promote.alternate.clone(),
            waves: promote
                .waves
                .iter()
                .map(|wave| WaveGroups {
                    region: wave.region.clone().filter(|other| *other != region),
                    groups: wave.groups.clone(),
                    alarms: wave.alarms.clone(),
                })
                .collect(),
            instances: INSTANCES,
            load_balancer: dimension(spec, "LoadBalancer")
                .unwrap_or_else(|| format!("app/{}/50dc6c495c0c9188", spec.service)),
            target_group: dimension(spec, "TargetGroup")
                .unwrap_or_else(|| format!("targetgroup/{}/73e2d6bc24d8a067", spec.service)),
            alarms: promote.alarms.clone(),
            published: promote.judge.iter().flat_map(published).collect(),
            earlier_images: EARLIER_IMAGES.to_vec(),
        }),
        account,
        region,
    }
}

/// The actions of a pipeline for a spec: those up to the last one that the spec has a section for. Only a promotion may be
/// left out in between.
fn actions(spec: &ReleaseSpec) -> [bool; 4] {
    let has = |stage: Stage| match stage {
        Stage::Bake => spec.bake.is_some(),
        Stage::Test => spec.test.is_some(),
        Stage::Promote => spec.promote.is_some(),
        Stage::Cleanup => spec.cleanup.is_some(),
    };
    let last = Stage::ALL.into_iter().rfind(|stage| has(*stage)).unwrap_or(Stage::Cleanup);
    Stage::ALL.map(|stage| stage <= last && (stage != Stage::Promote || has(stage)))
}

/// What the recipe of a machine image or of a container needs to find.
fn recipe(bake: &crate::spec::Bake) -> Option<RecipeFixtures> {
    bake.recipe().map(|recipe| RecipeFixtures {
        parent_image: recipe.parent_image.to_owned(),
        repository: bake.container_recipe.as_ref().map(|recipe| recipe.repository.clone()),
        infrastructure: recipe.infrastructure_configuration.to_owned(),
        distribution: recipe.distribution_configuration.map(str::to_owned),
    })
}

/// The documents that checks name, with the parameters they give. AWS's own are there.
fn documents(test: &crate::spec::Test) -> BTreeMap<String, Vec<String>> {
    let mut documents: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for document in test.checks.iter().filter_map(|check| check.document.as_ref()) {
        if !document.name.starts_with("AWS-") {
            documents.entry(document.name.clone()).or_default().extend(document.parameters.keys().cloned());
        }
    }
    documents
}

/// What the instances must publish for the judge of a trial to have numbers.
fn published(judge: &crate::spec::Judge) -> Vec<Published> {
    let publish = |source: &SideMetric, measure| Published {
        namespace: source.namespace.clone(),
        name: source.metric.clone(),
        dimensions: source.dimensions.clone(),
        measure,
    };
    let mut all = vec![publish(&judge.requests.cloudwatch, Measure::Requests)];
    for metric in &judge.metrics {
        let measure = match metric.measured() {
            Measured::Count(_) => Measure::Errors,
            Measured::Gauge(_) => Measure::Memory,
            Measured::Latency(latency) => {
                // Limits of so many seconds are no limits: those are milliseconds.
                let milliseconds = latency.thresholds.iter().any(|threshold| *threshold >= 30.0);
                Measure::Time { unit: if milliseconds { 1000.0 } else { 1.0 } }
            }
        };
        all.push(publish(&metric.cloudwatch, measure));
    }
    // AWS publishes its own.
    all.retain(|metric| !metric.namespace.starts_with("AWS/"));
    all
}

/// Region and account of the image pipeline, where the whole line runs.
fn home(spec: &ReleaseSpec) -> (String, String) {
    let of = |bake: &'_ crate::spec::Bake| {
        let built_by = || Some(recipe(bake)?.infrastructure);
        bake.image_pipeline().map(str::to_owned).or_else(built_by)
    };
    let arn = spec.bake.as_ref().and_then(of).unwrap_or_default();
    let mut parts = arn.split(':').skip(3);
    let region = parts.next().filter(|part| !part.is_empty()).unwrap_or(REGION);
    let account = parts.next().filter(|part| !part.is_empty()).unwrap_or(ACCOUNT);
    (region.to_owned(), account.to_owned())
}

/// The value the spec's metrics give a dimension.
fn dimension(spec: &ReleaseSpec, name: &str) -> Option<String> {
    let analysis = &spec.promote.as_ref()?.analysis;
    let limits = analysis.limits.iter().flat_map(|limit| limit.cloudwatch.dimension_values());
    let judged = analysis.judge.iter().flat_map(crate::spec::promote::judge::Judge::side_metrics);
    let mut all = limits.chain(judged.flat_map(|metric| &metric.dimensions));
    // A value with a placeholder is not the name of one load balancer.
    all.find_map(|(key, value)| (key == name && !value.contains('$')).then(|| value.clone()))
}

/// SDK configuration that reaches the embedded AWS without a socket, on its clock.
#[must_use]
pub fn sdk_config(cloud: &Cloud, provisioned: &Provisioned, region: &str, clock: &Clock) -> SdkConfig {
    let credentials = Credentials::new(
        provisioned.credentials.access_key_id.clone(),
        provisioned.credentials.secret_access_key.clone(),
        provisioned.credentials.session_token.clone(),
        None,
        "rehearsal",
    );
    SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .http_client(cloud.http_client())
        .credentials_provider(aws_credential_types::provider::SharedCredentialsProvider::new(credentials))
        .region(Region::new(region.to_owned()))
        .time_source(clock.time_source())
        .sleep_impl(SharedAsyncSleep::new(clock.sleep_impl()))
        .build()
}

/// A trust root that believes the rehearsal's signing key, and no other.
#[must_use]
pub fn trust_root(provisioned: &Provisioned) -> String {
    let pem: String = provisioned.public_key.lines().flat_map(|line| ["      ", line, "\n"]).collect();
    format!(
        "version: 1\nkeys:\n  - name: rehearsal\n    public_key: |\n{pem}    may_sign: [bake, test, promote, cleanup, cleanup_plan]\n"
    )
}

/// A role of the home account for every environment that a spec names.
#[must_use]
pub fn environments(spec: &ReleaseSpec) -> Environments {
    let (region, account) = home(spec);
    let partition = crate::partitions::id(&region);
    let environment = |name: &str| Environment {
        name: name.to_owned(),
        role: format!("arn:{partition}:iam::{account}:role/bakeline-environment-{name}"),
        external_id: None,
        region: None,
        allow: Allow { pipelines: vec!["*".to_owned()], stages: Stage::ALL.to_vec() },
    };
    Environments::new(spec.environments().map(environment).collect())
}

/// The network inside the embedded AWS.
fn network(cloud: &Cloud) -> Network {
    let cloud = cloud.clone();
    Network::with_connector(move |to| {
        let cloud = cloud.clone();
        Box::pin(async move { cloud.connect(to).await.map(|stream| Box::new(stream) as Connection) })
    })
}

/// A worker in the embedded AWS: the same one that works in production.
pub async fn worker_deps(
    cloud: &Cloud,
    provisioned: &Provisioned,
    region: &str,
    clock: &Clock,
    journal: Arc<Journal>,
    telemetry: Telemetry,
) -> Result<WorkerDeps, CliError> {
    let aws = Aws::new(&sdk_config(cloud, provisioned, region, clock));
    let signer = Signer::kms(&aws.kms, &provisioned.signing_key)
        .await
        .map_err(|error| CliError::bug(with_causes(&error)))?;
    let trust =
        TrustRoot::parse(&trust_root(provisioned)).map_err(|error| CliError::bug(with_causes(&error)))?;
    Ok(WorkerDeps {
        aws,
        clock: clock.clone(),
        network: network(cloud),
        authority: Arc::new(Authority { signer, trust }),
        environments: Environments::default(),
        journal,
        telemetry,
        stages: Stage::ALL.to_vec(),
        input_files: BTreeMap::new(),
        output_folder: None,
    })
}

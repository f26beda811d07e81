//! `bakeline doctor` on the embedded AWS: one where every check passes, and one for each failure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_cloudwatch::types::StateValue;
use aws_sdk_codepipeline::types::{ActionCategory, PipelineDeclaration};
use aws_sdk_kms::types::{KeySpec, KeyUsageType};
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use aws_sdk_ssm::types::ParameterType;
use bakeline::aws::{Aws, Environments};
use bakeline::cli::rehearse::fixtures;
use bakeline::doctor::{Examination, Finding, Status, worst};
use bakeline::evidence::TrustRoot;
use bakeline::spec::promote::target::{AutoScalingGroup, Target};
use bakeline::spec::{Instance, ReleaseSpec};
use bakeline_rehearsal::faults::{Fault, FaultPlan, When};

use crate::kill::{BAKELINE, Listening};
use crate::support::{Moment, in_virtual_time, plan, repository};

const SPEC: &str = "tests/it/fixtures/crash/bakeline.yaml";
const CONTAINER: &str = "examples/container/bakeline.yaml";
const GROUP: &str = "web-production";

fn examination(moment: &Moment, aws: Aws, now: bakeline::engine::Timestamp, spec: &str) -> Examination {
    let text = std::fs::read(repository(spec)).unwrap();
    Examination {
        aws,
        now,
        pipeline: moment.provisioned.pipeline_arn.rsplit(':').next().unwrap().into(),
        spec: Some((ReleaseSpec::parse(&text, spec).unwrap(), spec.into())),
        signing_key: Some(format!("kms:{}", moment.provisioned.signing_key).parse().unwrap()),
        environments: Environments::default(),
        trust: Some(TrustRoot::parse(&fixtures::trust_root(&moment.provisioned)).unwrap()),
        journal: Some(moment.provisioned.bucket.clone()),
    }
}

/// Findings that are not ok, by check.
fn not_ok(findings: &[Finding]) -> BTreeMap<&str, Status> {
    findings.iter().filter(|f| f.status != Status::Ok).map(|f| (f.check, f.status)).collect()
}

/// Findings after `change` changed AWS and `adjust` changed the input of doctor.
fn examined(change: impl AsyncFnOnce(Aws, String), adjust: impl FnOnce(&mut Examination)) -> Vec<Finding> {
    disturbed(SPEC, change, adjust, FaultPlan::default())
}

fn disturbed(
    spec: &str,
    change: impl AsyncFnOnce(Aws, String),
    adjust: impl FnOnce(&mut Examination),
    faults: FaultPlan,
) -> Vec<Finding> {
    let moment = Moment::start(&plan(spec, ""));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        // Half an hour of traffic: as long as a hold.
        clock.sleep(Duration::from_mins(30)).await;
        let aws = Aws::new(&fixtures::sdk_config(&cloud, &moment.provisioned, &moment.region, &clock));
        change(aws.clone(), moment.provisioned.signing_key.clone()).await;
        let mut examination = examination(&moment, aws, clock.now(), spec);
        adjust(&mut examination);
        let before = cloud.with_transcript(|transcript| transcript.records().len());
        cloud.set_faults(faults);
        let findings = examination.run().await;
        let mutations: Vec<String> = cloud.with_transcript(|transcript| {
            let asked = transcript.records().iter().skip(before);
            asked.filter(|record| record.mutating).map(|record| record.operation.clone()).collect()
        });
        assert!(mutations.is_empty(), "doctor changed AWS: {mutations:?}");
        findings
    })
}

async fn nothing(_: Aws, _: String) {}

async fn declared(aws: &Aws) -> PipelineDeclaration {
    aws.codepipeline.get_pipeline().name("web").send().await.unwrap().pipeline.unwrap()
}

#[test]
fn every_check_is_ok_and_nothing_is_changed() {
    let findings = examined(nothing, |_| {});
    assert_eq!(not_ok(&findings), BTreeMap::new(), "{findings:#?}");
    assert_eq!(worst(&findings), Status::Ok);
    let checked: BTreeSet<&str> = findings.iter().map(|finding| finding.check).collect();
    for check in [
        "caller_is_in_pipeline_account",
        "pipeline_exists",
        "action_type_exists",
        "action_is_polled_for",
        "artifacts_are_connected",
        "artifact_bucket_exists",
        "signing_key_can_be_used",
        "signing_key_is_trusted",
        "journal_bucket_exists",
        "spec_path_matches",
        "image_pipeline_exists",
        "parameter_data_type_matches",
        "test_network_exists",
        "instance_type_is_offered",
        "group_exists",
        "alarms_are_ok",
        "metric_has_data",
        "images_can_be_listed",
    ] {
        assert!(checked.contains(check), "{check} is missing");
    }
    assert!(!checked.contains("new_image_is_available"), "there is none yet");
}

#[test]
fn the_pipeline_must_exist_and_connect_its_artifacts() {
    let missing = examined(nothing, |e: &mut Examination| e.pipeline = "other".into());
    assert_eq!(not_ok(&missing).get("pipeline_exists"), Some(&Status::Failed));
    // The four action types are checked without the pipeline.
    assert_eq!(missing.iter().filter(|finding| finding.check == "action_type_exists").count(), 4);

    let crossed = examined(
        async |aws: Aws, _: String| {
            let mut pipeline = declared(&aws).await;
            // Promote takes the output of bake instead of that of test.
            let promote = pipeline.stages.iter_mut().find(|stage| stage.name == "Promote").unwrap();
            promote.actions[0].input_artifacts.as_mut().unwrap()[0].name = "BakedImage".into();
            aws.codepipeline.update_pipeline().pipeline(pipeline).send().await.unwrap();
        },
        |_| {},
    );
    let wrong: Vec<&Finding> = crossed.iter().filter(|finding| finding.status == Status::Failed).collect();
    let [wrong] = wrong[..] else { panic!("{crossed:#?}") };
    assert_eq!((wrong.check, wrong.subject.as_str()), ("artifacts_are_connected", "Promote/Promote"));
    assert_eq!(wrong.observed, "takes BakedImage from Bake/Bake, a bake action");
}

#[test]
fn action_types_must_exist() {
    let findings = examined(
        async |aws: Aws, _: String| {
            let call = aws.codepipeline.delete_custom_action_type().category(ActionCategory::Invoke);
            call.provider("BakelineCleanup").version("1").send().await.unwrap();
        },
        |_| {},
    );
    let wrong = findings.iter().find(|finding| finding.status == Status::Failed).unwrap();
    assert_eq!(
        (wrong.check, wrong.subject.as_str()),
        ("action_type_exists", "Custom/Invoke/BakelineCleanup/1")
    );
}

#[test]
fn the_signing_key_must_be_usable_and_trusted() {
    let disabled = examined(
        async |aws: Aws, key: String| {
            aws.kms.disable_key().key_id(key).send().await.unwrap();
        },
        |_| {},
    );
    assert_eq!(not_ok(&disabled), [("signing_key_can_be_used", Status::Failed)].into());

    let made = async |aws: Aws, _: String| {
        let call = aws.kms.create_key().key_spec(KeySpec::EccNistP256).key_usage(KeyUsageType::SignVerify);
        let made = call.send().await.unwrap().key_metadata.unwrap().key_id;
        aws.kms.create_alias().alias_name("alias/strange").target_key_id(made).send().await.unwrap();
    };
    let strange =
        examined(made, |e: &mut Examination| e.signing_key = Some("kms:alias/strange".parse().unwrap()));
    assert_eq!(not_ok(&strange), [("signing_key_is_trusted", Status::Failed)].into());

    let none = examined(nothing, |e: &mut Examination| e.signing_key = None);
    assert_eq!(not_ok(&none), [("signing_key_can_be_used", Status::Warning)].into());
    let missing =
        examined(nothing, |e: &mut Examination| e.signing_key = Some("kms:alias/nobody".parse().unwrap()));
    assert_eq!(not_ok(&missing), [("signing_key_can_be_used", Status::Failed)].into());
}

#[test]
fn buckets_must_exist_in_the_region() {
    let missing = examined(nothing, |e: &mut Examination| e.journal = Some("nowhere".into()));
    assert_eq!(not_ok(&missing), [("journal_bucket_exists", Status::Failed)].into());
    let made = async |aws: Aws, _: String| {
        let there = BucketLocationConstraint::from("ap-southeast-2");
        let place = CreateBucketConfiguration::builder().location_constraint(there).build();
        let s3 = aws_sdk_s3::Client::from_conf(
            aws.artifacts(None)
                .config()
                .to_builder()
                .region(aws_sdk_s3::config::Region::new("ap-southeast-2"))
                .build(),
        );
        s3.create_bucket().bucket("far").create_bucket_configuration(place).send().await.unwrap();
    };
    let far = examined(made, |e: &mut Examination| e.journal = Some("far".into()));
    assert_eq!(not_ok(&far), [("journal_bucket_exists", Status::Failed)].into());
}

fn instance(spec: &mut ReleaseSpec) -> &mut Instance {
    spec.test.as_mut().unwrap().instance.as_mut().unwrap()
}

#[test]
fn resources_of_the_spec_must_exist() {
    let spec = |change: fn(&mut ReleaseSpec)| {
        examined(nothing, move |e: &mut Examination| change(&mut e.spec.as_mut().unwrap().0))
    };
    type Change = fn(&mut ReleaseSpec);
    let cases: [(&str, Change); 6] = [
        ("image_pipeline_exists", |spec| {
            spec.bake.as_mut().unwrap().image_pipeline.as_mut().unwrap().arn.push_str("-other");
        }),
        ("test_network_exists", |spec| {
            instance(spec).subnets = vec!["subnet-0000000000000000f".into()];
        }),
        ("test_network_exists", |spec| {
            instance(spec).security_groups.push("sg-0000000000000000f".into());
        }),
        ("instance_type_is_offered", |spec| {
            instance(spec).instance_type = "z9.nano".into();
        }),
        ("group_exists", |spec| {
            let nobody = AutoScalingGroup { name: "nobody".into(), alternate: None };
            spec.promote.as_mut().unwrap().target = Target::AutoScalingGroup(nobody);
        }),
        ("alarms_are_ok", |spec| spec.promote.as_mut().unwrap().analysis.alarms.push("silent".into())),
    ];
    for (check, change) in cases {
        let findings = spec(change);
        assert_eq!(not_ok(&findings), [(check, Status::Failed)].into(), "{findings:#?}");
    }
    let blind = spec(|spec| {
        let query = &mut spec.promote.as_mut().unwrap().analysis.limits[0].cloudwatch.queries[1];
        query.dimensions.insert("LoadBalancer".into(), "app/other/1".into());
    });
    assert_eq!(not_ok(&blind), [("metric_has_data", Status::Warning)].into(), "{blind:#?}");
}

#[test]
fn the_preflight_of_a_promotion_is_checked() {
    let suspended = examined(
        async |aws: Aws, _: String| {
            let call = aws.autoscaling.suspend_processes().auto_scaling_group_name(GROUP);
            call.scaling_processes("InstanceRefresh").send().await.unwrap();
        },
        |_| {},
    );
    assert_eq!(not_ok(&suspended), [("no_needed_process_suspended", Status::Failed)].into());
    let alarmed = examined(
        async |aws: Aws, _: String| {
            let call = aws.cloudwatch.set_alarm_state().alarm_name("web-5xx").state_reason("test");
            call.state_value(StateValue::Alarm).send().await.unwrap();
        },
        |_| {},
    );
    assert_eq!(not_ok(&alarmed), [("alarms_are_ok", Status::Failed)].into());
    let parameter = examined(
        async |aws: Aws, _: String| {
            let call = aws.ssm.put_parameter().name("/bakeline/images/web/candidate").value("text");
            call.r#type(ParameterType::String).send().await.unwrap();
        },
        |_| {},
    );
    assert_eq!(not_ok(&parameter), [("parameter_data_type_matches", Status::Failed)].into());
}

#[test]
fn a_resource_that_cannot_be_read_is_never_ok() {
    let refused = |service: &str, operation: &str, code: &str, status: u16| {
        let fault = Fault::error(status, code);
        let plan = FaultPlan::default().rule(When::every(service, operation), fault);
        disturbed(SPEC, nothing, |_| {}, plan)
    };
    for (service, operation, code, check) in [
        ("sts", "GetCallerIdentity", "AccessDenied", "caller_is_in_pipeline_account"),
        ("codepipeline", "ListActionTypes", "AccessDeniedException", "action_type_exists"),
        ("kms", "DescribeKey", "AccessDeniedException", "signing_key_can_be_used"),
        ("imagebuilder", "GetImagePipeline", "AccessDeniedException", "image_pipeline_exists"),
        ("ssm", "GetParameter", "AccessDeniedException", "parameter_data_type_matches"),
        ("ec2", "DescribeSubnets", "UnauthorizedOperation", "test_network_exists"),
        ("autoscaling", "DescribeAutoScalingGroups", "AccessDenied", "promotion_target_can_be_read"),
    ] {
        let findings = refused(service, operation, code, 403);
        assert_eq!(not_ok(&findings), [(check, Status::Denied)].into(), "{operation}");
    }
    let silent = refused("ec2", "DescribeSubnets", "InternalError", 500);
    assert_eq!(not_ok(&silent), [("test_network_exists", Status::Unknown)].into());
}

#[test]
fn the_command_prints_a_table_or_json_and_returns_an_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let aws = Listening::start(folder.path());
    let spec = repository("tests/it/fixtures/crash/bakeline.yaml");
    let spec = spec.to_str().unwrap();
    let doctor = |arguments: &[&str]| aws.client(BAKELINE).arg("doctor").args(arguments).output().unwrap();
    // This AWS has run for less than a hold, so metrics may lack data: a warning at most.
    let passed = doctor(&["--pipeline", "web", spec, "--output", "json"]);
    assert_eq!(passed.status.code(), Some(0), "{}", String::from_utf8_lossy(&passed.stderr));
    let report: serde_json::Value = serde_json::from_slice(&passed.stdout).unwrap();
    assert_eq!((&report["pipeline"], &report["region"]), (&"web".into(), &"eu-west-1".into()));
    assert!(report["findings"].as_array().unwrap().len() > 20, "{report:#}");
    assert_eq!(report["schema"], "https://bakeline.dev/schema/doctor-report/v1");
    assert!(["ok", "warning"].contains(&report["status"].as_str().unwrap()), "{report:#}");

    let failed = doctor(&["--pipeline", "nobody"]);
    assert_eq!(failed.status.code(), Some(1));
    let table = String::from_utf8_lossy(&failed.stdout);
    let line = table.lines().find(|line| line.contains("pipeline_exists")).unwrap();
    assert!(line.trim_start().starts_with("failed") && line.contains("nobody"), "{table}");

    let mut silent = aws.client(BAKELINE);
    silent.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").args(["doctor", "--pipeline", "web"]);
    assert_eq!(silent.output().unwrap().status.code(), Some(69));
    aws.stop(folder.path());
}

#[test]
fn a_release_of_container_images_is_checked() {
    let of = |change: fn(Aws) -> futures::future::BoxFuture<'static, ()>| {
        disturbed(CONTAINER, async move |aws, _| change(aws).await, |_| (), FaultPlan::default())
    };
    let good = of(|_| Box::pin(async {}));
    assert_eq!(not_ok(&good), BTreeMap::new());
    for check in
        ["repository_exists", "cluster_is_active", "test_network_exists", "parameter_data_type_matches"]
    {
        assert!(good.iter().any(|finding| finding.check == check), "{check}: {good:?}");
    }
    let gone = of(|aws| {
        Box::pin(async move {
            aws.ecr.delete_repository().repository_name("shop").send().await.unwrap();
            aws.ecs.delete_cluster().cluster("staging").send().await.unwrap();
            let put = aws.ssm.put_parameter().name("/shop/candidate").value("ami-0123456789abcdef0");
            put.r#type(ParameterType::String).data_type("text").send().await.unwrap();
        })
    });
    let expected = [("cluster_is_active", Status::Failed), ("repository_exists", Status::Failed)];
    assert_eq!(not_ok(&gone), BTreeMap::from(expected));
}

//! Faults: the outcome of a call and its record in the transcript.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::retry::RetryConfig;

use super::super::faults::{CallMatch, Fault, RateLimit, Trigger, When};
use super::super::services::s3::{self, Bucket};
use super::super::services::sts;
use super::*;

const NOW: Time = Time(1_700_000_000_000);

fn cloud() -> Cloud {
    let mut world = World::new(NOW, 1);
    s3::create_bucket(&mut world, "bucket", Bucket::new("123456789012", "us-east-1", NOW));
    Cloud::new(world, Timeline::tokio(NOW))
}

fn client(cloud: &Cloud, attempts: u32) -> Client {
    let key = cloud.with_world(test_key);
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            key, "secret", None, None, "test",
        )))
        .retry_config(RetryConfig::standard().with_max_attempts(attempts))
        .http_client(cloud.http_client());
    Client::from_conf(config.build())
}

fn plan(operation: &str, nth: u64, fault: Fault) -> FaultPlan {
    FaultPlan::default().rule(When::nth("s3", operation, nth), fault)
}

fn stored(cloud: &Cloud) -> bool {
    cloud.with_world(|w| s3::get(w, "bucket", "k").is_some())
}

/// Puts one object. The error is the error code, or `transport` if there was no response.
async fn put(s3: &Client) -> Result<(), String> {
    let put = s3.put_object().bucket("bucket").key("k").body(ByteStream::from_static(b"x")).send().await;
    put.map(|_| ()).map_err(|e| e.code().unwrap_or("transport").to_owned())
}

#[tokio::test(start_paused = true)]
async fn each_fault_has_its_own_outcome_and_record() {
    for (fault, outcome, applied) in [
        (Fault::server_error(), Err("InternalFailure".to_owned()), false),
        (
            Fault::error(409, "ConditionalRequestConflict"),
            Err("ConditionalRequestConflict".to_owned()),
            false,
        ),
        (Fault::LoseReply, Err("transport".to_owned()), true),
        (Fault::Throttle, Err("SlowDown".to_owned()), false),
        (Fault::StaleRead, Ok(()), true),
    ] {
        let cloud = cloud();
        cloud.set_faults(plan("PutObject", 1, fault.clone()));
        assert_eq!(put(&client(&cloud, 1)).await, outcome, "{fault:?}");
        assert_eq!(stored(&cloud), applied, "{fault:?}");
        let record = cloud.transcript().records().first().cloned().unwrap();
        assert_eq!(record.applied, applied);
        let met = record.fault.unwrap();
        assert_eq!((met.took_effect, &met.fault), (fault != Fault::StaleRead, &fault));
    }
}

#[tokio::test(start_paused = true)]
async fn the_sdk_retries_transient_faults() {
    for fault in [Fault::server_error(), Fault::LoseReply, Fault::Throttle] {
        let cloud = cloud();
        cloud.set_faults(plan("PutObject", 1, fault));
        assert_eq!(put(&client(&cloud, 3)).await, Ok(()));
        assert_eq!(cloud.with_transcript(|t| t.count("s3", "PutObject")), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_caller_gets_no_response() {
    for (fault, applied) in [(Fault::KillBefore, false), (Fault::KillAfter, true)] {
        let cloud = cloud();
        cloud.set_faults(plan("PutObject", 1, fault.clone()));
        let mut kills = cloud.kills();
        let s3 = client(&cloud, 1);
        tokio::select! {
            answered = put(&s3) => panic!("answered {answered:?}"),
            killed = kills.changed() => killed.unwrap(),
        }
        assert_eq!(stored(&cloud), applied, "{fault:?}");
        assert_eq!(*kills.borrow_and_update(), 1);
        assert_eq!(put(&s3).await, Ok(()), "the next caller is not killed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_read_does_not_see_the_last_write() {
    let cloud = cloud();
    cloud.set_faults(plan("HeadObject", 1, Fault::StaleRead));
    let s3 = client(&cloud, 1);
    put(&s3).await.unwrap();
    let head = || s3.head_object().bucket("bucket").key("k").send();
    assert!(head().await.unwrap_err().into_service_error().is_not_found());
    assert!(head().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_throttles_and_refills() {
    let cloud = cloud();
    let limit = RateLimit {
        service: "s3".into(),
        operation: "PutObject".into(),
        capacity: 1.0,
        refill_per_second: 0.1,
    };
    cloud.set_faults(FaultPlan::default().rate_limit(limit));
    let s3 = client(&cloud, 1);
    assert_eq!(put(&s3).await, Ok(()));
    assert_eq!(put(&s3).await, Err("SlowDown".to_owned()));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(put(&s3).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_fork_is_independent() {
    let cloud = cloud();
    let fork = cloud.fork(Timeline::tokio(NOW));
    put(&client(&fork, 1)).await.unwrap();
    assert!(stored(&fork) && !stored(&cloud));
    assert_eq!((fork.transcript().records().len(), cloud.transcript().records().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_transcript_has_the_caller_operation_and_time_of_each_call() {
    let cloud = cloud();
    let s3 = client(&cloud, 1);
    tokio::time::advance(Duration::from_mins(1)).await;
    put(&s3).await.unwrap();
    s3.get_object().bucket("bucket").key("none").send().await.unwrap_err();
    let transcript = cloud.transcript();
    let [write, read] = transcript.records() else { panic!("two calls") };
    assert_eq!(
        (write.seq, write.at, write.status, write.mutating),
        (1, NOW + Duration::from_mins(1), Some(200), true)
    );
    assert_eq!(write.input, serde_json::json!({"Bucket": "bucket", "Key": "k", "ContentLength": 1}));
    assert_eq!(
        (read.seq, read.code.as_deref(), read.applied, read.mutating),
        (2, Some("NoSuchKey"), false, false)
    );
}

fn shared(cloud: &Cloud, key: &str) -> aws_config::SdkConfig {
    aws_config::SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            key, "secret", None, None, "test",
        )))
        .retry_config(RetryConfig::disabled())
        .http_client(cloud.http_client())
        .build()
}

#[tokio::test(start_paused = true)]
async fn keys_have_a_principal_and_an_expiry() {
    let cloud = cloud();
    let role = "arn:aws:sts::111122223333:assumed-role/worker/me";
    let key =
        cloud.with_world(|w| sts::issue(w, "111122223333", role, Duration::from_mins(15))).access_key_id;
    let (known, stranger) = (shared(&cloud, &key), shared(&cloud, "AKIASTRANGER"));
    let who = aws_sdk_sts::Client::new(&known).get_caller_identity().send().await.unwrap();
    assert_eq!((who.account(), who.arn()), (Some("111122223333"), Some(role)));

    let asked = aws_sdk_sts::Client::new(&stranger).get_caller_identity().send().await.unwrap_err();
    assert_eq!(asked.into_service_error().code(), Some("InvalidClientTokenId"));
    let asked = aws_sdk_codepipeline::Client::new(&stranger).list_pipelines().send().await.unwrap_err();
    assert_eq!(asked.into_service_error().code(), Some("UnrecognizedClientException"));
    let asked = Client::new(&stranger).list_buckets().send().await.unwrap_err();
    assert_eq!(asked.into_service_error().code(), Some("InvalidAccessKeyId"));

    tokio::time::advance(Duration::from_mins(15)).await;
    let late = Client::new(&known).list_buckets().send().await.unwrap_err();
    assert_eq!(late.into_service_error().code(), Some("ExpiredToken"));
}

#[tokio::test(start_paused = true)]
async fn keys_issued_by_a_stale_read_are_valid() {
    let cloud = cloud();
    cloud.set_faults(FaultPlan::default().rule(When::nth("sts", "GetCallerIdentity", 2), Fault::StaleRead));
    let key = cloud.with_world(test_key);
    let config = shared(&cloud, &key);
    put(&Client::new(&config)).await.unwrap();
    let before = cloud.with_world(|w| w.ids.clone().next());
    let ask = || aws_sdk_sts::Client::new(&config).get_caller_identity().send();
    ask().await.unwrap();
    ask().await.unwrap();
    assert_eq!(
        cloud.with_world(|w| w.ids.clone().next()),
        before,
        "nothing was drawn, nothing is drawn again"
    );
}

#[tokio::test(start_paused = true)]
async fn errors_use_the_protocol_of_the_service() {
    let cloud = cloud();
    let config = shared(&cloud, &cloud.with_world(test_key));
    let acknowledge =
        aws_sdk_codepipeline::Client::new(&config).acknowledge_job().job_id("no uuid").nonce("1");
    let error = acknowledge.send().await.unwrap_err();
    assert_eq!(error.into_service_error().code(), Some("ValidationException"));

    let every = When { calls: CallMatch::default(), trigger: Trigger::Every };
    cloud.set_faults(FaultPlan::default().rule(every, Fault::Throttle));
    let ec2 = aws_sdk_ec2::Client::new(&config).describe_images().send().await.unwrap_err();
    assert_eq!(ec2.raw_response().unwrap().status().as_u16(), 503);
    assert_eq!(ec2.into_service_error().code(), Some("RequestLimitExceeded"));
    let alarms = aws_sdk_cloudwatch::Client::new(&config).describe_alarms().send().await.unwrap_err();
    assert_eq!(alarms.into_service_error().code(), Some("Throttling"));
    let groups =
        aws_sdk_autoscaling::Client::new(&config).describe_auto_scaling_groups().send().await.unwrap_err();
    assert_eq!(groups.into_service_error().code(), Some("Throttling"));
    let poll = aws_sdk_codepipeline::Client::new(&config).list_pipelines().send().await.unwrap_err();
    assert_eq!(poll.into_service_error().code(), Some("ThrottlingException"));
    assert_eq!(cloud.transcript().records().len(), 5);
}

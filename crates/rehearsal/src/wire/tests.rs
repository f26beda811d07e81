//! Tests of each protocol with an SDK that uses it: requests reach the handler unchanged, and responses the client.

use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::DateTime;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use http_body_util::BodyExt as _;
use serde_json::json;

use super::*;
use crate::wire::scope::Scope;

/// Returns the same response to every call and records the calls.
#[derive(Clone, Debug)]
struct Canned {
    answer: Answer,
    seen: Arc<Mutex<Option<(String, Value)>>>,
}

impl HttpConnector for Canned {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let canned = self.clone();
        HttpConnectorFuture::new(async move {
            let (parts, body) = request.try_into_http1x().unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let model = model::signed_as(&Scope::of(&parts).unwrap().service).unwrap();
            let protocol = Protocol::of(model, &parts);
            let (named, input) = decode(model, protocol, &parts, &body).unwrap();
            validate::check(model, named.1, &input, protocol.dialect(model)).unwrap();
            *canned.seen.lock().unwrap() = Some((named.0.to_owned(), Value::Object(input)));
            let response = encode(model, protocol, named, canned.answer, "request-1");
            Ok(response.map(SdkBody::from).try_into().unwrap())
        })
    }
}

impl Canned {
    fn answering(answer: Answer) -> (Self, SdkConfig) {
        let canned = Self { answer, seen: Arc::default() };
        let connector = SharedHttpConnector::new(canned.clone());
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "AKIA", "s", None, None, "test",
            )))
            .retry_config(RetryConfig::disabled())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        (canned, config)
    }

    fn saw(&self) -> (String, Value) {
        self.seen.lock().unwrap().take().expect("a call")
    }
}

fn refusal(code: &str) -> Answer {
    Err(ApiError::new(code, "because"))
}

fn met(error: &impl ProvideErrorMetadata) -> (Option<&str>, Option<&str>) {
    (error.code(), error.message())
}

#[tokio::test(start_paused = true)]
async fn aws_json() {
    let job = json!({"jobDetails": {"id": "j", "accountId": "1", "data": {
        "continuationToken": "t", "actionConfiguration": {"configuration": {"a": "b"}}, "inputArtifacts": []}}});
    let (canned, config) = Canned::answering(Ok(job));
    let id = "11111111-2222-4333-8444-555555555555";
    let client = aws_sdk_codepipeline::Client::new(&config);
    let details = client.get_job_details().job_id(id).send().await.unwrap().job_details.unwrap();
    assert_eq!(canned.saw(), ("GetJobDetails".into(), json!({"jobId": id})));
    assert_eq!(details.data.unwrap().continuation_token.as_deref(), Some("t"));

    let (_, config) = Canned::answering(refusal("JobNotFoundException"));
    let error =
        aws_sdk_codepipeline::Client::new(&config).get_job_details().job_id(id).send().await.unwrap_err();
    let error = error.into_service_error();
    assert!(error.is_job_not_found_exception());
    assert_eq!(met(&error), (Some("JobNotFoundException"), Some("because")));
}

#[tokio::test(start_paused = true)]
async fn aws_json_blobs_and_dates() {
    let (canned, config) = Canned::answering(Ok(json!({"Signature": "AQID", "KeyId": "k"})));
    let signed = aws_sdk_kms::Client::new(&config)
        .sign()
        .key_id("k")
        .message(aws_smithy_types::Blob::new([0, 1, 2]))
        .signing_algorithm(aws_sdk_kms::types::SigningAlgorithmSpec::EcdsaSha256)
        .send()
        .await
        .unwrap();
    assert_eq!(canned.saw().1["Message"], "AAEC");
    assert_eq!(signed.signature.unwrap().as_ref(), [1, 2, 3]);

    let (_, config) = Canned::answering(Ok(json!({"Name": "n", "CreatedDate": 1_700_000_000.25})));
    let secret =
        aws_sdk_secretsmanager::Client::new(&config).get_secret_value().secret_id("n").send().await.unwrap();
    assert_eq!(secret.created_date, Some(DateTime::from_millis(1_700_000_000_250)));
    let (_, config) = Canned::answering(refusal("ResourceNotFoundException"));
    let error = aws_sdk_secretsmanager::Client::new(&config)
        .get_secret_value()
        .secret_id("n")
        .send()
        .await
        .unwrap_err();
    assert_eq!(met(&error.into_service_error()).1, Some("because"));
}

#[tokio::test(start_paused = true)]
async fn rest_json() {
    let arn = "arn:aws:imagebuilder:us-east-1:123456789012:image/recipe/1.0.0/1";
    let image = json!({"image": {"arn": arn, "state": {"status": "BUILDING"}}});
    let (canned, config) = Canned::answering(Ok(image));
    let client = aws_sdk_imagebuilder::Client::new(&config);
    let got = client.get_image().image_build_version_arn(arn).send().await.unwrap();
    assert_eq!(canned.saw(), ("GetImage".into(), json!({"imageBuildVersionArn": arn})));
    assert_eq!(got.image.unwrap().state.unwrap().status.unwrap().as_str(), "BUILDING");

    let (canned, config) = Canned::answering(Ok(json!({"tags": {"a": "b"}})));
    let client = aws_sdk_imagebuilder::Client::new(&config);
    client.list_tags_for_resource().resource_arn(arn).send().await.unwrap();
    assert_eq!(canned.saw().1, json!({"resourceArn": arn}), "a slash in a path label");

    let (canned, config) = Canned::answering(Ok(json!({"clientToken": "t", "imageBuildVersionArn": arn})));
    let pipeline = "arn:aws:imagebuilder:us-east-1:123456789012:image-pipeline/p";
    let client = aws_sdk_imagebuilder::Client::new(&config);
    let start = client.start_image_pipeline_execution().image_pipeline_arn(pipeline).client_token("t");
    start.tags("release", "7").send().await.unwrap();
    assert_eq!(
        canned.saw(),
        (
            "StartImagePipelineExecution".into(),
            json!({"clientToken": "t", "imagePipelineArn": pipeline, "tags": {"release": "7"}})
        )
    );

    let (_, config) = Canned::answering(refusal("CallRateLimitExceededException"));
    let client = aws_sdk_imagebuilder::Client::new(&config);
    let error = client.get_image().image_build_version_arn(arn).send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 429);
    assert_eq!(met(&error.into_service_error()), (Some("CallRateLimitExceededException"), Some("because")));
}

#[tokio::test(start_paused = true)]
async fn ec2_query() {
    let images = json!({"Images": [
        {"ImageId": "ami-1", "Public": false, "Name": "a & <b>", "Tags": [{"Key": "k", "Value": "v"}]},
    ], "NextToken": null});
    let (canned, config) = Canned::answering(Ok(images));
    let client = aws_sdk_ec2::Client::new(&config);
    let filter = aws_sdk_ec2::types::Filter::builder().name("tag:k").values("v").values("w").build();
    let got = client
        .describe_images()
        .image_ids("ami-1")
        .filters(filter)
        .include_disabled(true)
        .send()
        .await
        .unwrap();
    assert_eq!(
        canned.saw(),
        (
            "DescribeImages".into(),
            json!({
                "Filters": [{"Name": "tag:k", "Values": ["v", "w"]}],
                "ImageIds": ["ami-1"],
                "IncludeDisabled": true,
            })
        )
    );
    let image = got.images().first().unwrap();
    assert_eq!((image.name(), image.public()), (Some("a & <b>"), Some(false)));
    assert_eq!(image.tags().first().and_then(|t| t.value()), Some("v"));
    assert_eq!(got.next_token(), None);

    let (canned, config) = Canned::answering(Ok(Value::Null));
    let tag = aws_sdk_ec2::types::Tag::builder().key("k").value("v").build();
    aws_sdk_ec2::Client::new(&config).create_tags().resources("ami-1").tags(tag).send().await.unwrap();
    assert_eq!(canned.saw().1, json!({"Resources": ["ami-1"], "Tags": [{"Key": "k", "Value": "v"}]}));

    let (_, config) = Canned::answering(refusal("InvalidAMIID.NotFound"));
    let error = aws_sdk_ec2::Client::new(&config).describe_images().send().await.unwrap_err();
    assert_eq!(met(&error.into_service_error()), (Some("InvalidAMIID.NotFound"), Some("because")));
}

#[tokio::test(start_paused = true)]
async fn aws_query() {
    let (canned, config) = Canned::answering(Ok(json!({"InstanceRefreshId": "r"})));
    let preferences = aws_sdk_autoscaling::types::RefreshPreferences::builder()
        .min_healthy_percentage(90)
        .checkpoint_percentages(25)
        .checkpoint_percentages(100)
        .auto_rollback(true)
        .build();
    let client = aws_sdk_autoscaling::Client::new(&config);
    let refresh = client.start_instance_refresh().auto_scaling_group_name("web").preferences(preferences);
    assert_eq!(refresh.send().await.unwrap().instance_refresh_id.as_deref(), Some("r"));
    assert_eq!(
        canned.saw().1,
        json!({"AutoScalingGroupName": "web", "Preferences": {
            "AutoRollback": true, "CheckpointPercentages": [25, 100], "MinHealthyPercentage": 90}})
    );

    let refreshes = json!({"InstanceRefreshes": [{"InstanceRefreshId": "r", "StartTime": 1_700_000_000.0}]});
    let (_, config) = Canned::answering(Ok(refreshes));
    let client = aws_sdk_autoscaling::Client::new(&config);
    let got = client.describe_instance_refreshes().auto_scaling_group_name("web").send().await.unwrap();
    let started = got.instance_refreshes().first().and_then(|r| r.start_time);
    assert_eq!(started, Some(DateTime::from_secs(1_700_000_000)));

    for code in ["InstanceRefreshInProgressFault", "InstanceRefreshInProgress"] {
        let (_, config) = Canned::answering(refusal(code));
        let client = aws_sdk_autoscaling::Client::new(&config);
        let error = client.start_instance_refresh().auto_scaling_group_name("web").send().await.unwrap_err();
        let error = error.into_service_error();
        assert!(error.is_instance_refresh_in_progress_fault(), "{code}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn rpc_v2_cbor() {
    let answer = json!({"MetricDataResults": [
        {"Id": "a", "Timestamps": [1_700_000_000.0], "Values": [0.5, 2.0], "StatusCode": "Complete"},
    ]});
    let (canned, config) = Canned::answering(Ok(answer));
    let client = aws_sdk_cloudwatch::Client::new(&config);
    let request = client
        .get_metric_data()
        .start_time(DateTime::from_secs(1_699_999_000))
        .end_time(DateTime::from_secs(1_700_000_000))
        .metric_data_queries(
            aws_sdk_cloudwatch::types::MetricDataQuery::builder().id("a").expression("m1").build(),
        );
    let got = request.send().await.unwrap();
    assert_eq!(
        canned.saw(),
        (
            "GetMetricData".into(),
            json!({
                "MetricDataQueries": [{"Id": "a", "Expression": "m1"}],
                "StartTime": 1_699_999_000.0,
                "EndTime": 1_700_000_000.0,
            })
        )
    );
    let result = got.metric_data_results().first().unwrap();
    assert_eq!(result.values(), [0.5, 2.0]);
    assert_eq!(result.timestamps(), [DateTime::from_secs(1_700_000_000)]);

    let (_, config) = Canned::answering(refusal("ResourceNotFound"));
    let client = aws_sdk_cloudwatch::Client::new(&config);
    let set = client.set_alarm_state().alarm_name("a").state_reason("r");
    let error = set.state_value(aws_sdk_cloudwatch::types::StateValue::Ok).send().await.unwrap_err();
    let error = error.into_service_error();
    assert!(error.is_resource_not_found(), "{error:?}");
    assert_eq!(error.message(), Some("because"));
}

#[tokio::test(start_paused = true)]
async fn a_response_outside_the_model_is_an_internal_failure() {
    let (_, config) = Canned::answering(Ok(json!({"Acount": "1"})));
    let error = aws_sdk_sts::Client::new(&config).get_caller_identity().send().await.unwrap_err();
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 500);
    let error = error.into_service_error();
    assert!(met(&error).1.is_some_and(|m| m.contains("/Acount is not in the model")), "{error:?}");
}

fn request(headers: &[(&str, &str)], uri: &str) -> Parts {
    let mut request = http::Request::builder().method("POST").uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

/// Three generations of clients send the same call in three protocols; the handler receives the same input.
#[test]
fn cloudwatch_speaks_three_protocols() {
    let model = model::of("cloudwatch").unwrap();
    let json = json!({"Namespace": "N", "MetricData": [{"MetricName": "m", "Value": 1.5}]});
    let mut body = Vec::new();
    ciborium::into_writer(&json, &mut body).unwrap();
    let operation = "http://h/service/GraniteServiceVersion20100801/operation/PutMetricData";
    let form = "Action=PutMetricData&Version=2010-08-01&Namespace=N&MetricData.member.1.MetricName=m\
                &MetricData.member.1.Value=1.5";
    for (headers, uri, body, protocol) in [
        (&[("smithy-protocol", "rpc-v2-cbor")][..], operation, body, Protocol::Cbor),
        (
            &[("x-amz-target", "GraniteServiceVersion20100801.PutMetricData")],
            "http://h/",
            json.to_string().into_bytes(),
            Protocol::Json,
        ),
        (&[], "http://h/", form.as_bytes().to_vec(), Protocol::Query),
    ] {
        let parts = request(headers, uri);
        assert_eq!(Protocol::of(model, &parts), protocol);
        let ((name, _), input) = decode(model, protocol, &parts, &Bytes::from(body)).unwrap();
        assert_eq!((name, Value::Object(input)), ("PutMetricData", json.clone()), "{protocol:?}");
        let response = encode(model, protocol, (name, &model.operations[name]), Ok(Value::Null), "id");
        assert_eq!(response.status(), 200);
    }
}

proptest::proptest! {
    /// Any request decodes to an input or an error, without a panic.
    #[test]
    fn arbitrary_bodies_do_not_panic(body: Vec<u8>, text in "[a-zA-Z0-9.&=%+{}\\[\\]\",:]{0,80}") {
        for model in model::all() {
            let (name, operation) = model.operations.iter().next().unwrap();
            let target = format!("{}.{name}", model.metadata.target_prefix.as_deref().unwrap_or_default());
            let cbor = format!("http://h/service/x/operation/{name}");
            for (headers, uri) in [
                (vec![("x-amz-target", target.as_str())], "http://h/"),
                (vec![("smithy-protocol", "rpc-v2-cbor")], cbor.as_str()),
                (vec![], "http://h/"),
            ] {
                let mut parts = request(&headers, uri);
                if model.speaks("rest-json") {
                    let uri = operation.http.request_uri.replace(['{', '}'], "x");
                    parts.uri = uri.parse().unwrap();
                    parts.method = operation.http.method.parse().unwrap();
                }
                let protocol = Protocol::of(model, &parts);
                let form = format!("Action={name}&{text}").into_bytes();
                for body in [body.clone(), text.clone().into_bytes(), form] {
                    let decoded = decode(model, protocol, &parts, &Bytes::from(body));
                    let answer = decoded.and_then(|((_, operation), input)| {
                        validate::check(model, operation, &input, protocol.dialect(model))?;
                        Ok(Value::Null)
                    });
                    if let Err(refusal) = answer {
                        let response = errors::encode(model, protocol, &refusal, "id");
                        proptest::prop_assert!(response.status().is_client_error(), "{refusal:?}");
                    }
                }
            }
        }
    }
}

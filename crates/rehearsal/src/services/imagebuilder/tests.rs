//! Tests of the documented rules of Image Builder.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::super::call::{ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::phase::Phase;
use super::{ComponentFault, Outcome, build};

const ACCOUNT: &str = "111122223333";
const REGION: &str = "eu-west-1";

fn ask(world: &mut World, operation: &str, input: Value) -> Result<Value, ApiError> {
    let Value::Object(input) = input else { panic!("inputs are objects") };
    let call = Call {
        service: "imagebuilder",
        operation: operation.into(),
        input,
        account: ACCOUNT.into(),
        region: REGION.into(),
        access_key: "AKIATEST".into(),
        now: world.now,
    };
    world.call(&call)
}

fn wait(world: &mut World, time: Duration) {
    world.advance(world.now + time);
}

fn arn(kind: &str) -> String {
    format!("arn:aws:imagebuilder:{REGION}:{ACCOUNT}:{kind}")
}

/// A world with the pipeline `web`: two components, two Regions, two accounts.
fn world() -> World {
    let mut w = World::new(Time(1_700_000_000_000), 3);
    for (name, document) in [("nginx", "phases:\n  - name: build\n"), ("smoke", "phases:\n  - name: test\n")]
    {
        let input = json!({ "name": name, "semanticVersion": "1.0.0", "platform": "Linux", "data": document,
            "clientToken": name });
        ask(&mut w, "CreateComponent", input).unwrap();
    }
    let recipe = json!({
        "name": "Web", "semanticVersion": "2.1.0", "parentImage": "ami-0parent", "clientToken": "r",
        "components": [
            { "componentArn": arn("component/nginx/x.x.x") },
            { "componentArn": arn("component/smoke/1.0.0/1") },
            { "componentArn": "arn:aws:imagebuilder:eu-west-1:aws:component/update-linux/x.x.x" },
        ],
    });
    ask(&mut w, "CreateImageRecipe", recipe).unwrap();
    let infrastructure = json!({ "name": "infra", "instanceProfileName": "Builder", "clientToken": "i" });
    ask(&mut w, "CreateInfrastructureConfiguration", infrastructure).unwrap();
    let ami = |accounts: Value| {
        json!({ "name": "web {{ imagebuilder:buildDate }}",
        "targetAccountIds": accounts, "amiTags": { "service": "web" } })
    };
    let distribution = json!({ "name": "dist", "clientToken": "d", "distributions": [
        { "region": "eu-central-1", "amiDistributionConfiguration": ami(json!([])) },
        { "region": REGION, "amiDistributionConfiguration": ami(json!([ACCOUNT, "444455556666"])) },
    ] });
    ask(&mut w, "CreateDistributionConfiguration", distribution).unwrap();
    let pipeline = json!({
        "name": "web", "clientToken": "p",
        "imageRecipeArn": arn("image-recipe/web/2.1.0"),
        "infrastructureConfigurationArn": arn("infrastructure-configuration/infra"),
        "distributionConfigurationArn": arn("distribution-configuration/dist"),
    });
    ask(&mut w, "CreateImagePipeline", pipeline).unwrap();
    w
}

fn start(w: &mut World, token: &str, tags: &Value) -> Result<String, ApiError> {
    let input = json!({ "imagePipelineArn": arn("image-pipeline/web"), "clientToken": token, "tags": tags });
    let answer = ask(w, "StartImagePipelineExecution", input)?;
    assert_eq!(answer["clientToken"], token, "it comes back as it was sent");
    Ok(answer["imageBuildVersionArn"].as_str().unwrap().to_owned())
}

fn get(w: &mut World, arn: &str) -> Value {
    ask(w, "GetImage", json!({ "imageBuildVersionArn": arn })).unwrap()["image"].clone()
}

fn status(w: &mut World, arn: &str) -> String {
    get(w, arn)["state"]["status"].as_str().unwrap().to_owned()
}

fn fault(phase: &str, component: &str) -> Outcome {
    Outcome::Failed(ComponentFault {
        component: component.into(),
        phase: phase.into(),
        step: "Install".into(),
        action: "ExecuteBash".into(),
        message: "dnf found no package".into(),
    })
}

#[test]
fn a_build_goes_through_every_phase() {
    let mut w = world();
    let image = start(&mut w, "a", &json!({})).unwrap();
    let begun = w.now;
    let whole = w.imagebuilder.options.duration;
    for phase in [
        Phase::Pending,
        Phase::Creating,
        Phase::Building,
        Phase::Testing,
        Phase::Distributing,
        Phase::Integrating,
    ] {
        w.advance(begun + build::middle_of(phase, whole));
        assert_eq!(status(&mut w, &image), phase.name());
    }
    w.advance(begun + whole);
    assert_eq!(status(&mut w, &image), "AVAILABLE");
}

#[test]
fn the_output_has_one_ami_for_each_region_and_account() {
    let mut w = world();
    let image = start(&mut w, "a", &json!({ "run": "7" })).unwrap();
    wait(&mut w, Duration::from_mins(25));
    let shown = get(&mut w, &image);
    let mut found: Vec<(String, String)> = shown["outputResources"]["amis"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ami| {
            assert!(ami["image"].as_str().unwrap().starts_with("ami-"));
            assert!(ami["name"].as_str().unwrap().starts_with("web 2023-11-14T22-"), "{}", ami["name"]);
            assert_eq!(ami["state"]["status"], "AVAILABLE");
            (ami["region"].as_str().unwrap().into(), ami["accountId"].as_str().unwrap().into())
        })
        .collect();
    found.sort();
    let expected = [("eu-central-1", ACCOUNT), (REGION, ACCOUNT), (REGION, "444455556666")];
    assert_eq!(found, expected.map(|(r, a)| (r.to_owned(), a.to_owned())));
    assert_eq!(shown["tags"]["run"], "7");
    assert_eq!(shown["imageRecipe"]["parentImage"], "ami-0parent");
    assert_eq!(shown["sourcePipelineArn"], arn("image-pipeline/web"));
}

#[test]
fn a_client_token_identifies_one_build() {
    let mut w = world();
    let first = start(&mut w, "a", &json!({ "x": "1" })).unwrap();
    wait(&mut w, Duration::from_mins(1));
    assert_eq!(start(&mut w, "a", &json!({ "x": "1" })).unwrap(), first);
    let refused = start(&mut w, "a", &json!({ "x": "2" })).unwrap_err();
    assert_eq!(refused.code, "IdempotentParameterMismatchException");
    let second = start(&mut w, "b", &json!({ "x": "1" })).unwrap();
    assert_eq!((first.ends_with("/2.1.0/1"), second.ends_with("/2.1.0/2")), (true, true));
}

#[test]
fn a_version_arn_resolves_to_its_newest_available_build() {
    let mut w = world();
    let first = start(&mut w, "a", &json!({})).unwrap();
    for open in ["image/web/2.1.0", "image/web/x.x.x"] {
        let early = ask(&mut w, "GetImage", json!({ "imageBuildVersionArn": arn(open) })).unwrap_err();
        assert_eq!((early.code.as_str(), early.status), ("ResourceNotFoundException", Some(404)));
    }
    wait(&mut w, Duration::from_mins(25));
    start(&mut w, "b", &json!({})).unwrap();
    for open in ["image/web/2.1.0", "image/web/2.x.x", "image/web/x.x.x"] {
        assert_eq!(get(&mut w, &arn(open))["arn"], first.as_str(), "the second is not AVAILABLE");
    }
}

#[test]
fn the_reason_of_a_failed_build_names_its_component_and_step() {
    for (phase, component, status_then, step) in [
        ("build", "nginx", "BUILDING", "ApplyBuildComponents"),
        ("validate", "nginx", "BUILDING", "ApplyBuildComponents"),
        ("test", "smoke", "TESTING", "ApplyTestComponents"),
    ] {
        let mut w = world();
        w.imagebuilder.options.outcome = fault(phase, component);
        let image = start(&mut w, "a", &json!({})).unwrap();
        wait(&mut w, Duration::from_mins(25));
        let shown = get(&mut w, &image);
        assert_eq!(shown["state"]["status"], "FAILED");
        assert!(shown["state"]["reason"].as_str().unwrap().contains("dnf found no package"));
        let context = &shown["state"]["failureContext"];
        assert_eq!(context["imageStatus"], status_then);
        assert_eq!(context["failedStep"], step);
        assert_eq!(
            context["componentFailure"],
            json!({ "componentArn": arn(&format!("component/{component}/1.0.0/1")), "phaseName": phase,
                "stepName": "Install", "action": "ExecuteBash", "errorMessage": "dnf found no package" })
        );
        assert!(shown["outputResources"].get("amis").is_none());
        let workflows =
            ask(&mut w, "ListWorkflowExecutions", json!({ "imageBuildVersionArn": image })).unwrap();
        let last = workflows["workflowExecutions"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["workflowExecutionId"], context["workflowExecutionId"]);
        assert_eq!((&last["status"], &last["totalStepsFailed"]), (&json!("FAILED"), &json!(1)));
        let input = json!({ "workflowExecutionId": last["workflowExecutionId"] });
        let steps = ask(&mut w, "ListWorkflowStepExecutions", input).unwrap();
        let failed: Vec<&Value> =
            steps["steps"].as_array().unwrap().iter().filter(|s| s["status"] == "FAILED").collect();
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0]["stepExecutionId"], context["stepExecutionId"]);
        assert_eq!(failed[0]["name"], step);
    }
}

#[test]
fn workflow_steps_advance_with_the_build() {
    let mut w = world();
    let image = start(&mut w, "a", &json!({})).unwrap();
    wait(&mut w, Duration::from_mins(10));
    let workflows = ask(&mut w, "ListWorkflowExecutions", json!({ "imageBuildVersionArn": image })).unwrap();
    let build = workflows["workflowExecutions"][0].clone();
    assert_eq!((&build["type"], &build["status"]), (&json!("BUILD"), &json!("RUNNING")));
    let input = json!({ "workflowExecutionId": build["workflowExecutionId"], "maxResults": 2 });
    let page = ask(&mut w, "ListWorkflowStepExecutions", input).unwrap();
    let statuses: Vec<&Value> = page["steps"].as_array().unwrap().iter().map(|s| &s["status"]).collect();
    assert_eq!(statuses, ["COMPLETED", "RUNNING"]);
    assert!(page["nextToken"].is_string());
}

#[test]
fn a_cancelled_build_ends_a_little_later_and_keeps_its_amis() {
    let mut w = world();
    let image = start(&mut w, "a", &json!({})).unwrap();
    let whole = w.imagebuilder.options.duration;
    wait(&mut w, build::middle_of(Phase::Distributing, whole));
    let input = json!({ "imageBuildVersionArn": image, "clientToken": "c" });
    ask(&mut w, "CancelImageCreation", input.clone()).unwrap();
    assert_eq!(status(&mut w, &image), "DISTRIBUTING");
    wait(&mut w, Duration::from_secs(30));
    assert_eq!(status(&mut w, &image), "CANCELLED");
    assert_eq!(get(&mut w, &image)["outputResources"]["amis"].as_array().unwrap().len(), 3);
    wait(&mut w, whole);
    assert_eq!(status(&mut w, &image), "CANCELLED");
    assert!(ask(&mut w, "CancelImageCreation", input).is_ok(), "the token returns the first response");
    let other = json!({ "imageBuildVersionArn": image, "clientToken": "d" });
    assert_eq!(ask(&mut w, "CancelImageCreation", other).unwrap_err().code, "InvalidRequestException");
}

#[test]
fn a_retry_continues_the_same_build_from_the_test_phase() {
    let mut w = world();
    w.imagebuilder.options.outcome = fault("test", "smoke");
    w.imagebuilder.options.outcome_builds = Some(1);
    let image = start(&mut w, "a", &json!({})).unwrap();
    wait(&mut w, Duration::from_mins(25));
    assert_eq!(status(&mut w, &image), "FAILED");
    let input = json!({ "imageBuildVersionArn": image, "clientToken": "r" });
    assert_eq!(ask(&mut w, "RetryImage", input).unwrap()["imageBuildVersionArn"], image);
    assert_eq!(status(&mut w, &image), "TESTING");
    wait(&mut w, Duration::from_mins(25));
    assert_eq!(status(&mut w, &image), "AVAILABLE");
    let workflows = ask(&mut w, "ListWorkflowExecutions", json!({ "imageBuildVersionArn": image })).unwrap();
    let seen: Vec<_> = workflows["workflowExecutions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|x| (x["type"].as_str().unwrap(), x["status"].as_str().unwrap(), x["retried"] == true))
        .collect();
    assert_eq!(
        seen,
        [
            ("BUILD", "COMPLETED", false),
            ("TEST", "FAILED", true),
            ("TEST", "COMPLETED", false),
            ("DISTRIBUTION", "COMPLETED", false),
        ]
    );
}

#[test]
fn events_of_a_cancelled_run_do_not_affect_its_retry() {
    let mut w = world();
    let whole = w.imagebuilder.options.duration;
    let image = start(&mut w, "a", &json!({})).unwrap();
    wait(&mut w, build::middle_of(Phase::Testing, whole));
    ask(&mut w, "CancelImageCreation", json!({ "imageBuildVersionArn": image, "clientToken": "c" })).unwrap();
    let cancelling = Duration::from_secs(30);
    wait(&mut w, cancelling);
    assert_eq!(status(&mut w, &image), "CANCELLED");
    ask(&mut w, "RetryImage", json!({ "imageBuildVersionArn": image, "clientToken": "r" })).unwrap();
    // The first run's tests would have ended by now; those of the retry take their full time.
    let tests = Phase::Testing.duration(whole);
    wait(&mut w, tests.checked_sub(cancelling).unwrap());
    assert_eq!(status(&mut w, &image), "TESTING");
    wait(&mut w, cancelling);
    assert_eq!(status(&mut w, &image), "DISTRIBUTING");
}

#[test]
fn a_build_that_has_not_failed_cannot_be_retried() {
    let mut w = world();
    w.imagebuilder.options.outcome = fault("build", "nginx");
    let image = start(&mut w, "a", &json!({})).unwrap();
    let retry = |token: &str| json!({ "imageBuildVersionArn": image, "clientToken": token });
    assert_eq!(ask(&mut w, "RetryImage", retry("1")).unwrap_err().code, "InvalidRequestException");
    wait(&mut w, Duration::from_mins(25));
    let refused = ask(&mut w, "RetryImage", retry("2")).unwrap_err();
    assert!(refused.message.contains("before its test phase"), "{refused:?}");
}

#[test]
fn builds_end_with_the_outcome_of_the_scenario() {
    for (outcome, expected) in [(Outcome::Hangs, "BUILDING"), (Outcome::Cancelled, "CANCELLED")] {
        let mut w = world();
        w.imagebuilder.options.outcome = outcome;
        w.imagebuilder.options.outcome_builds = Some(1);
        let first = start(&mut w, "a", &json!({})).unwrap();
        let second = start(&mut w, "b", &json!({})).unwrap();
        wait(&mut w, Duration::from_hours(24));
        assert_eq!(status(&mut w, &first), expected);
        assert_eq!(status(&mut w, &second), "AVAILABLE", "only the first build is scripted");
    }
}

#[test]
fn a_scan_can_be_abandoned_although_the_image_is_available() {
    for (abandoned, expected) in [(false, "COMPLETED"), (true, "ABANDONED")] {
        let mut w = world();
        w.imagebuilder.options.scan_abandoned = abandoned;
        let input = json!({
            "imageRecipeArn": arn("image-recipe/web/2.1.0"), "clientToken": "x",
            "infrastructureConfigurationArn": arn("infrastructure-configuration/infra"),
            "imageScanningConfiguration": { "imageScanningEnabled": true },
        });
        let image = ask(&mut w, "CreateImage", input).unwrap()["imageBuildVersionArn"].clone();
        wait(&mut w, Duration::from_mins(25));
        let shown = get(&mut w, image.as_str().unwrap());
        assert_eq!(shown["scanState"]["status"], expected);
        assert_eq!(shown["outputResources"]["amis"].as_array().unwrap().len(), 1, "no distribution: one AMI");
    }
}

#[test]
fn deleting_an_image_removes_its_record_only_when_it_has_ended() {
    let mut w = world();
    let image = start(&mut w, "a", &json!({})).unwrap();
    let input = json!({ "imageBuildVersionArn": image });
    assert_eq!(ask(&mut w, "DeleteImage", input.clone()).unwrap_err().code, "InvalidRequestException");
    wait(&mut w, Duration::from_mins(25));
    ask(&mut w, "DeleteImage", input.clone()).unwrap();
    assert_eq!(ask(&mut w, "GetImage", input).unwrap_err().code, "ResourceNotFoundException");
}

#[test]
fn a_recipe_or_component_in_use_cannot_be_deleted() {
    let mut w = world();
    let recipe = json!({ "imageRecipeArn": arn("image-recipe/web/2.1.0") });
    let component = json!({ "componentBuildVersionArn": arn("component/smoke/1.0.0/1") });
    let code = |w: &mut World, operation: &str, input: &Value| {
        ask(w, operation, input.clone()).map_or_else(|refused| refused.code, |_| "deleted".to_owned())
    };
    assert_eq!(code(&mut w, "DeleteComponent", &component), "ResourceDependencyException");
    assert_eq!(code(&mut w, "DeleteImageRecipe", &recipe), "ResourceDependencyException", "its pipeline");
    w.imagebuilder.resources.retain(|_, resource| resource.kind != super::resource::Kind::ImagePipeline);
    assert_eq!(code(&mut w, "DeleteImageRecipe", &recipe), "deleted");
    assert_eq!(code(&mut w, "DeleteImageRecipe", &recipe), "ResourceNotFoundException");
    assert_eq!(code(&mut w, "DeleteComponent", &component), "deleted");
}

#[test]
fn resources_are_validated_returned_and_listed() {
    let mut w = world();
    let recipe = ask(&mut w, "GetImageRecipe", json!({ "imageRecipeArn": arn("image-recipe/web/2.1.0") }));
    assert_eq!(recipe.unwrap()["imageRecipe"]["components"].as_array().unwrap().len(), 3);
    let open = json!({ "componentBuildVersionArn": arn("component/smoke/x.x.x") });
    let component = ask(&mut w, "GetComponent", open).unwrap()["component"].clone();
    assert_eq!((&component["type"], &component["version"]), (&json!("TEST"), &json!("1.0.0")));
    let listed = ask(&mut w, "ListDistributionConfigurations", json!({})).unwrap();
    assert_eq!(
        listed["distributionConfigurationSummaryList"][0]["regions"],
        json!(["eu-central-1", "eu-west-1"])
    );
    for (operation, input, code) in [
        (
            "GetImagePipeline",
            json!({ "imagePipelineArn": arn("image-pipeline/none") }),
            "ResourceNotFoundException",
        ),
        (
            "CreateImagePipeline",
            json!({ "name": "x", "clientToken": "1", "imageRecipeArn": arn("image-recipe/none/1.0.0") }),
            "InvalidRequestException",
        ),
        (
            "CreateComponent",
            json!({ "name": "x", "clientToken": "2", "semanticVersion": "one", "data": "d" }),
            "InvalidVersionNumberException",
        ),
        (
            "CreateDistributionConfiguration",
            json!({ "name": "x", "clientToken": "3", "distributions":
                [{ "region": REGION, "amiDistributionConfiguration": { "name": "fixed" } }] }),
            "InvalidRequestException",
        ),
        (
            "CreateImageRecipe",
            json!({ "name": "web", "clientToken": "4", "semanticVersion": "2.1.0", "parentImage": "ami-1" }),
            "ResourceAlreadyExistsException",
        ),
    ] {
        assert_eq!(ask(&mut w, operation, input).unwrap_err().code, code, "{operation}");
    }
    let pipeline = arn("image-pipeline/web");
    ask(&mut w, "TagResource", json!({ "resourceArn": pipeline, "tags": { "a": "1", "b": "2" } })).unwrap();
    ask(&mut w, "UntagResource", json!({ "resourceArn": pipeline, "tagKeys": ["a"] })).unwrap();
    let tags = ask(&mut w, "ListTagsForResource", json!({ "resourceArn": pipeline })).unwrap();
    assert_eq!(tags["tags"], json!({ "b": "2" }));
}

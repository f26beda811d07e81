//! Metrics, alarms and queries behave as CloudWatch documents.
#![allow(clippy::needless_pass_by_value, reason = "`json!` values are written where they are used")]

use serde_json::{Value, json};

use super::super::super::instance_behavior::InstanceBehavior;
use super::super::test_aws::{ACCOUNT, REGION, START, TestAws};
use super::alarms::AlarmState::{self, Alarm, InsufficientData};
use super::alarms::{Missing, judge};
use super::composite::Rule;
use super::expression::{Expression, Series, Value as Math};
use super::seed_alarm;

fn dimensions(arn: &str) -> Value {
    json!([{ "Name": "TargetGroup", "Value": arn.rsplit(':').next().unwrap() }])
}

fn metric(id: &str, arn: &str, name: &str, stat: &str, period: u64) -> Value {
    json!({
        "Id": id,
        "MetricStat": {
            "Metric": { "Namespace": "AWS/ApplicationELB", "MetricName": name, "Dimensions": dimensions(arn) },
            "Period": period, "Stat": stat,
        },
    })
}

fn data(aws: &mut TestAws, queries: Vec<Value>, more: &Value) -> Value {
    let mut input = json!({
        "MetricDataQueries": queries,
        "StartTime": START.epoch_seconds(),
        "EndTime": aws.world.now.epoch_seconds(),
    });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    aws.ok("cloudwatch", "GetMetricData", input)
}

fn sum(result: &Value) -> f64 {
    result["Values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).sum()
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

fn custom_alarm(aws: &mut TestAws, name: &str, more: &Value) {
    let mut members = json!({
        "AlarmName": name, "Namespace": "App", "MetricName": "Errors", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 2, "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold",
    });
    members.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    seed_alarm(&mut aws.world, ACCOUNT, REGION, members.as_object().unwrap().clone()).unwrap();
}

fn state(aws: &mut TestAws, name: &str) -> String {
    let input = json!({ "AlarmNames": [name], "AlarmTypes": ["MetricAlarm", "CompositeAlarm"] });
    let answer = aws.ok("cloudwatch", "DescribeAlarms", input);
    let found = answer["MetricAlarms"]
        .as_array()
        .unwrap()
        .iter()
        .chain(answer["CompositeAlarms"].as_array().unwrap());
    found.map(|a| a["StateValue"].as_str().unwrap().to_owned()).next().unwrap()
}

fn put(aws: &mut TestAws, value: f64) {
    let data = json!([{ "MetricName": "Errors", "Value": value }]);
    aws.ok("cloudwatch", "PutMetricData", json!({ "Namespace": "App", "MetricData": data }));
}

#[test]
fn requests_and_errors_add_up_exactly() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(10, InstanceBehavior::default());
    aws.pass(6 * 3600);
    let answer = data(
        &mut aws,
        vec![
            metric("requests", &fleet.target_group, "RequestCount", "Sum", 60),
            metric("errors", &fleet.target_group, "HTTPCode_Target_5XX_Count", "Sum", 60),
            metric("good", &fleet.target_group, "HTTPCode_Target_2XX_Count", "Sum", 60),
        ],
        &json!({}),
    );
    let results = answer["MetricDataResults"].as_array().unwrap();
    let (requests, errors, good) = (sum(&results[0]), sum(&results[1]), sum(&results[2]));
    assert!(near(requests, 360.0 * 600.0) && near(errors, 360.0 * 600.0 * 0.0005), "{requests} {errors}");
    assert!(near(good, requests - errors));
    // Minutes without errors have no point.
    assert_eq!(results[0]["Timestamps"].as_array().unwrap().len(), 360);
    assert_eq!(results[1]["Timestamps"].as_array().unwrap().len(), 108);
    assert!(results.iter().all(|r| r["StatusCode"] == "Complete"));
}

#[test]
fn a_metric_can_be_queried_by_target_group_by_load_balancer_and_by_both() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(2, InstanceBehavior::default());
    aws.pass(180);
    let group = fleet.target_group.rsplit(':').next().unwrap().to_owned();
    let balancers = aws.ok("elbv2", "DescribeLoadBalancers", json!({}));
    let arn = balancers["LoadBalancers"][0]["LoadBalancerArn"].as_str().unwrap().to_owned();
    let balancer = arn.split_once("loadbalancer/").unwrap().1.to_owned();
    let (by_group, by_balancer) = (
        json!({ "Name": "TargetGroup", "Value": group }),
        json!({ "Name": "LoadBalancer", "Value": balancer }),
    );
    let wrong = json!({ "Name": "LoadBalancer", "Value": "app/other/1" });
    for (dimensions, expected) in [
        (json!([by_group]), 1800.0),
        (json!([by_balancer]), 1800.0),
        (json!([by_group, by_balancer]), 1800.0),
        (json!([wrong]), 0.0),
        (json!([by_group, wrong]), 0.0),
        (json!([]), 0.0),
    ] {
        let answer = aws.ok(
            "cloudwatch",
            "GetMetricStatistics",
            json!({
                "Namespace": "AWS/ApplicationELB", "MetricName": "RequestCount", "Dimensions": dimensions,
                "StartTime": START.epoch_seconds(), "EndTime": aws.world.now.epoch_seconds(),
                "Period": 60, "Statistics": ["Sum"],
            }),
        );
        let total: f64 =
            answer["Datapoints"].as_array().unwrap().iter().map(|p| p["Sum"].as_f64().unwrap()).sum();
        assert!(near(total, expected), "{dimensions}: {total}");
    }
}

#[test]
fn response_times_spread_around_their_mean() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(2, InstanceBehavior::default());
    aws.pass(300);
    let stats = ["Average", "p50", "p90", "p99", "SampleCount"];
    let queries = stats
        .iter()
        .enumerate()
        .map(|(i, s)| metric(&format!("q{i}"), &fleet.target_group, "TargetResponseTime", s, 300));
    let answer = data(&mut aws, queries.collect(), &json!({}));
    let value = |i: usize| answer["MetricDataResults"][i]["Values"][0].as_f64().unwrap();
    assert!((value(0) - 0.042).abs() < 1e-6, "{}", value(0));
    assert!(value(1) < value(0) && value(0) < value(2) && value(2) < value(3));
    assert!((value(4) - 3000.0).abs() < 1e-6);
}

#[test]
fn points_are_newest_first_by_default_and_paginated() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(1, InstanceBehavior::default());
    aws.pass(600);
    let query = vec![metric("m", &fleet.target_group, "RequestCount", "Sum", 60)];
    let times = |answer: &Value| -> Vec<f64> {
        let list = answer["MetricDataResults"][0]["Timestamps"].as_array().unwrap();
        list.iter().map(|t| t.as_f64().unwrap()).collect()
    };
    let newest = times(&data(&mut aws, query.clone(), &json!({})));
    let oldest = times(&data(&mut aws, query.clone(), &json!({ "ScanBy": "TimestampAscending" })));
    assert_eq!(newest.len(), 10);
    assert!(newest.iter().rev().eq(oldest.iter()) && newest[0] > newest[1]);
    let (mut gathered, mut token, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let more = if token.is_null() {
            json!({ "MaxDatapoints": 4 })
        } else {
            json!({ "MaxDatapoints": 4, "NextToken": token })
        };
        let answer = data(&mut aws, query.clone(), &more);
        gathered.extend(times(&answer));
        pages += 1;
        token = answer["NextToken"].clone();
        let status = &answer["MetricDataResults"][0]["StatusCode"];
        assert_eq!(status, if token.is_null() { "Complete" } else { "PartialData" });
        if token.is_null() {
            break;
        }
    }
    assert_eq!((gathered, pages), (newest, 3));
}

#[test]
fn metric_math_has_a_point_where_every_series_has_one() {
    let series = |points: &[(i64, f64)]| Math::Series(points.iter().copied().collect::<Series>());
    let (a, b) = (series(&[(0, 6.0), (60, 8.0), (120, 1.0)]), series(&[(0, 2.0), (60, 0.0)]));
    let cases = [
        ("a / b", series(&[(0, 3.0)])),
        ("a + b * 2", series(&[(0, 10.0), (60, 8.0)])),
        ("(a + b) * 2", series(&[(0, 16.0), (60, 16.0)])),
        ("100 * FILL(b, 0) / a", series(&[(0, 200.0 / 6.0), (60, 0.0), (120, 0.0)])),
        ("-a - -1", series(&[(0, -5.0), (60, -7.0), (120, 0.0)])),
        ("8 / 4 / 2", Math::Number(1.0)),
    ];
    for (text, expected) in cases {
        let found = Expression::parse(text).unwrap().evaluate(&[0, 60, 120], &mut |id: &str| {
            Ok::<_, ()>(if id == "a" { a.clone() } else { b.clone() })
        });
        assert_eq!(found, Ok(expected), "{text}");
    }
    for bad in ["", "a +", "(a", "a b", "SUM(a)", "1..2", "FILL(a)", "a $ b"] {
        assert!(Expression::parse(bad).is_err(), "{bad}");
    }
    assert!(
        Expression::parse(&"(".repeat(10_000)).is_err(),
        "deep nesting is rejected, without a stack overflow"
    );
}

#[test]
fn invalid_queries_are_rejected() {
    let mut aws = TestAws::new();
    for bad in [
        json!([{ "Id": "e", "Expression": "e + 1" }]),
        json!([{ "Id": "e", "Expression": "f" }, { "Id": "f", "Expression": "e" }]),
        json!([{ "Id": "e", "Expression": "missing * 2" }]),
        json!([{ "Id": "Upper", "Expression": "1" }]),
        json!([{ "Id": "e", "Expression": "1 + 2" }]),
        json!([{ "Id": "e" }]),
    ] {
        let input = json!({ "MetricDataQueries": bad, "StartTime": 0, "EndTime": START.epoch_seconds() });
        assert_eq!(aws.refused("cloudwatch", "GetMetricData", input), "ValidationError", "{bad}");
    }
}

#[test]
fn missing_data_is_treated_as_the_alarm_declares() {
    let points = |text: &str| -> Vec<Option<bool>> {
        // Newest first: X breaches, 0 does not, - is missing.
        text.chars()
            .map(|c| match c {
                'X' => Some(true),
                '0' => Some(false),
                _ => None,
            })
            .collect()
    };
    // Three of three, with two more datapoints in the evaluation range.
    for (text, missing, ignore, breaching, not_breaching) in [
        ("X-X-0", Some(AlarmState::Ok), Some(AlarmState::Ok), Some(AlarmState::Ok), Some(AlarmState::Ok)),
        ("----0", Some(AlarmState::Ok), Some(AlarmState::Ok), Some(AlarmState::Ok), Some(AlarmState::Ok)),
        ("-----", Some(InsufficientData), None, Some(Alarm), Some(AlarmState::Ok)),
        ("X-XX0", Some(Alarm), Some(Alarm), Some(Alarm), Some(Alarm)),
        ("--X--", Some(Alarm), None, Some(Alarm), Some(AlarmState::Ok)),
    ] {
        let found = [Missing::Unknown, Missing::Ignore, Missing::Breaching, Missing::NotBreaching]
            .map(|treatment| judge(&points(text), 3, 3, treatment));
        assert_eq!(found, [missing, ignore, breaching, not_breaching], "{text}");
    }
    assert_eq!(judge(&points("X0X00"), 3, 2, Missing::Unknown), Some(Alarm), "two of three");
    assert_eq!(
        judge(&points("X00XX"), 3, 2, Missing::Unknown),
        Some(AlarmState::Ok),
        "older ones do not count"
    );
}

#[test]
fn an_alarm_follows_its_metric() {
    let mut aws = TestAws::new();
    custom_alarm(&mut aws, "errors", &json!({ "TreatMissingData": "notBreaching" }));
    assert_eq!(state(&mut aws, "errors"), "INSUFFICIENT_DATA");
    let mut seen = Vec::new();
    for value in [1.0, 9.0, 9.0, 9.0, 0.0, 0.0] {
        put(&mut aws, value);
        aws.pass(60);
        seen.push(state(&mut aws, "errors"));
    }
    assert_eq!(seen, ["OK", "OK", "ALARM", "ALARM", "OK", "OK"]);
    aws.ok(
        "cloudwatch",
        "SetAlarmState",
        json!({ "AlarmName": "errors", "StateValue": "ALARM", "StateReason": "drill" }),
    );
    assert_eq!(state(&mut aws, "errors"), "ALARM");
    aws.pass(60);
    assert_eq!(state(&mut aws, "errors"), "OK", "the next evaluation replaces the state");
}

#[test]
fn an_alarm_on_the_error_rate_goes_into_alarm_for_a_bad_release() {
    for (error_rate, expected) in [(0.0005, "OK"), (0.08, "ALARM")] {
        let mut aws = TestAws::new();
        let fleet = aws.fleet(4, InstanceBehavior { error_rate, ..InstanceBehavior::default() });
        let members = json!({
            "AlarmName": "rate", "EvaluationPeriods": 2, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
            "Metrics": [
                { "Id": "rate", "Expression": "100 * FILL(errors, 0) / requests" },
                with_no_data(metric("errors", &fleet.target_group, "HTTPCode_Target_5XX_Count", "Sum", 60)),
                with_no_data(metric("requests", &fleet.target_group, "RequestCount", "Sum", 60)),
            ],
        });
        aws.ok("cloudwatch", "PutMetricAlarm", members);
        aws.pass(300);
        assert_eq!(state(&mut aws, "rate"), "OK");
        aws.start_refresh(
            json!({ "MinHealthyPercentage": 100, "MaxHealthyPercentage": 200, "InstanceWarmup": 30 }),
        );
        aws.pass(1800);
        assert_eq!(state(&mut aws, "rate"), expected, "at {error_rate}");
    }
}

fn with_no_data(mut query: Value) -> Value {
    query["ReturnData"] = json!(false);
    query
}

#[test]
fn a_composite_follows_its_children() {
    let mut aws = TestAws::new();
    for name in ["a", "b"] {
        custom_alarm(&mut aws, name, &json!({}));
    }
    let set = |aws: &mut TestAws, name: &str, state: &str| {
        let input = json!({ "AlarmName": name, "StateValue": state, "StateReason": "test" });
        aws.ok("cloudwatch", "SetAlarmState", input);
    };
    aws.ok(
        "cloudwatch",
        "PutCompositeAlarm",
        json!({ "AlarmName": "both", "AlarmRule": "ALARM(a) AND NOT OK(\"b\")" }),
    );
    let mut seen = Vec::new();
    for (name, to) in [("a", "ALARM"), ("b", "OK"), ("b", "ALARM"), ("a", "OK")] {
        set(&mut aws, name, to);
        seen.push(state(&mut aws, "both"));
    }
    assert_eq!(seen, ["ALARM", "OK", "ALARM", "OK"]);
    let answer = aws.ok("cloudwatch", "DescribeAlarms", json!({ "AlarmNames": ["both", "a", "nothing"] }));
    assert_eq!(answer["MetricAlarms"].as_array().unwrap().len(), 1, "unknown names are omitted");
    assert_eq!(answer["CompositeAlarms"].as_array().unwrap().len(), 0, "composites only on request");
    let bad = json!({ "AlarmName": "c", "AlarmRule": "ALARM(nothing)" });
    assert_eq!(aws.refused("cloudwatch", "PutCompositeAlarm", bad), "ValidationError");
    assert_eq!(
        aws.refused("cloudwatch", "DeleteAlarms", json!({ "AlarmNames": ["a", "nothing"] })),
        "ResourceNotFound"
    );
}

#[test]
fn composite_rules_are_parsed_with_their_precedence() {
    for (text, expected) in [
        ("ALARM(x)", true),
        ("OK(x) OR ALARM(x)", true),
        ("ALARM(x) AND OK(x)", false),
        ("NOT ALARM(x) OR TRUE", true),
        ("ALARM(x) OR OK(x) AND FALSE", true),
        ("(ALARM(x) OR OK(x)) AND FALSE", false),
        ("INSUFFICIENT_DATA(y)", true),
        ("ALARM(\"arn:aws:cloudwatch:eu-west-1:1:alarm:x\")", true),
    ] {
        let rule = Rule::parse(text).unwrap();
        assert_eq!(rule.holds(&|name: &str| (name == "x").then_some(AlarmState::Alarm)), expected, "{text}");
    }
    for bad in ["", "ALARM", "ALARM(x", "ALARM(x) AND", "WAT(x)", "ALARM(\"x)"] {
        assert!(Rule::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn extreme_numbers_are_rejected_or_harmless() {
    let mut aws = TestAws::new();
    let query = |period: i64| {
        json!([{ "Id": "m", "MetricStat": {
        "Metric": { "Namespace": "App", "MetricName": "Errors" }, "Period": period, "Stat": "Sum" } }])
    };
    for (period, start, end, fine) in [
        (60, -1e300, 1e300, true),
        (60, 0.0, 1e300, true),
        (60, -1e300, -1e299, false),
        (i64::MAX / 60 * 60, 0.0, 1e12, false),
        (-60, 0.0, 1e12, false),
        (0, 0.0, 1e12, false),
    ] {
        let input = json!({ "MetricDataQueries": query(period), "StartTime": start, "EndTime": end });
        assert_eq!(aws.call("cloudwatch", "GetMetricData", input).is_ok(), fine, "{period} {start} {end}");
    }
    for at in [-1e300, 1e300] {
        let data = json!([{ "MetricName": "Errors", "Value": 1.0, "Timestamp": at }]);
        aws.ok("cloudwatch", "PutMetricData", json!({ "Namespace": "App", "MetricData": data }));
    }
    let alarm = json!({
        "AlarmName": "a", "Namespace": "App", "MetricName": "Errors", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": u64::MAX, "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold",
    });
    assert_eq!(aws.refused("cloudwatch", "PutMetricAlarm", alarm), "ValidationError");
}

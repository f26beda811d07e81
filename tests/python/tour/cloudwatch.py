"""CloudWatch: metrics that come in and go out, and alarms that follow them."""

import datetime

from .embedded_aws import pages, refused, until

ALARM = {
    "AlarmName": "tour", "Namespace": "Tour", "MetricName": "Errors", "Statistic": "Sum", "Period": 60,
    "EvaluationPeriods": 1, "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "notBreaching",
}


def tour(aws):
    watch = aws.client("cloudwatch")
    metrics(watch)
    alarms(watch)


def now(watch):
    """The virtual moment: this AWS dates its answers."""
    date = watch.list_metrics()["ResponseMetadata"]["HTTPHeaders"]["date"]
    return datetime.datetime.strptime(date, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=datetime.timezone.utc)


def metrics(watch):
    at = now(watch) - datetime.timedelta(minutes=30)
    for index, value in enumerate((1.0, 2.0, 6.0)):
        watch.put_metric_data(Namespace="Tour", MetricData=[
            {"MetricName": "Errors", "Value": value, "Timestamp": at + datetime.timedelta(minutes=index),
             "Dimensions": [{"Name": "Of", "Value": "tour"}], "Unit": "Count"}])
    span = {"StartTime": at - datetime.timedelta(minutes=5), "EndTime": at + datetime.timedelta(minutes=10)}
    metric = {"Namespace": "Tour", "MetricName": "Errors", "Dimensions": [{"Name": "Of", "Value": "tour"}]}
    points = watch.get_metric_statistics(**metric, **span, Period=60, Statistics=["Sum", "Maximum"])["Datapoints"]
    assert sorted(p["Sum"] for p in points) == [1.0, 2.0, 6.0], points
    data = watch.get_metric_data(**span, ScanBy="TimestampAscending", MetricDataQueries=[
        {"Id": "e", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}},
        {"Id": "twice", "Expression": "e * 2"}])["MetricDataResults"]
    assert {r["Id"]: r["Values"] for r in data} == {"e": [1.0, 2.0, 6.0], "twice": [2.0, 4.0, 12.0]}, data
    assert "Tour" in {m["Namespace"] for m in watch.list_metrics(Namespace="Tour")["Metrics"]}
    refused("ValidationException", 400, watch.get_metric_data, **span, MetricDataQueries=[
        {"Id": "Upper", "Expression": "1"}])
    refused("InvalidParameterValueException", 400, watch.put_metric_data, Namespace="AWS/Tour", MetricData=[
        {"MetricName": "Errors", "Value": 1.0}])
    refused("InvalidParameterValueException", 400, watch.get_metric_statistics, **metric, Period=60, Statistics=["Sum"],
            StartTime=span["EndTime"], EndTime=span["StartTime"])


def alarms(watch):
    watch.put_metric_alarm(**ALARM)
    watch.put_metric_alarm(**{**ALARM, "AlarmName": "tour-2"})
    watch.put_composite_alarm(AlarmName="tour-any", AlarmRule="ALARM(tour) OR ALARM(\"tour-2\")")
    named = pages(watch, "describe_alarms", "MetricAlarms", 1, AlarmNamePrefix="tour")
    assert {a["AlarmName"] for a in named} == {"tour", "tour-2"}
    watch.set_alarm_state(AlarmName="tour", StateValue="ALARM", StateReason="the tour says so")

    def composite():
        found = watch.describe_alarms(AlarmNames=["tour-any"], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
        return found[0]["StateValue"]
    # The alarm goes back by itself when its next minute is judged; so does the composite.
    until(lambda: composite() == "OK", "the composite alarm follows")
    refused("ResourceNotFound", 404, watch.set_alarm_state, AlarmName="none", StateValue="OK", StateReason="x")
    refused("ValidationException", 400, watch.put_metric_alarm, **{**ALARM, "ComparisonOperator": "Equals"})
    refused("ValidationException", 400, watch.put_metric_alarm, **{**ALARM, "Period": 0})
    refused("ValidationException", 400, watch.set_alarm_state, AlarmName="tour", StateValue="BAD", StateReason="x")
    refused("ValidationException", 400, watch.put_composite_alarm, AlarmName="tour-bad", AlarmRule="ALARM(")
    refused("ValidationException", 400, watch.put_composite_alarm, AlarmName="tour-bad", AlarmRule="ALARM(none)")
    refused("ResourceNotFound", 404, watch.delete_alarms, AlarmNames=["none"])
    watch.delete_alarms(AlarmNames=["tour-any"])
    watch.delete_alarms(AlarmNames=["tour", "tour-2"])
    assert watch.describe_alarms(AlarmNamePrefix="tour")["MetricAlarms"] == []

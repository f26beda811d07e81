//! The worker service on the embedded AWS, in virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_codepipeline::types::{ExecutionMode, PipelineType};
use bakeline::engine::{Clock, Outcome, Progress, StageError, Timestamp};
use bakeline::evidence::Stage;
use bakeline::stage::Cx;
use bakeline::telemetry::Telemetry;
use bakeline::worker::WorkerDeps;
use bakeline::worker::journal::{BucketJournal, Journal};
use bakeline::worker::service::{Runner, Service, Settings, Stop, Summary, stages};
use bakeline::worker::slice::Answer;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::services::codepipeline::{self, ActionStatus};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::crash::applied_twice;
use crate::support::{Moment, in_virtual_time, plan};
use crate::unwinding::delete;

const SPEC: &str = "tests/it/fixtures/crash/bakeline.yaml";

fn draining() -> Settings {
    Settings { drain: true, ..Settings::default() }
}

async fn worker(moment: &Moment, cloud: &Cloud, clock: &Clock, stages: &[Stage]) -> WorkerDeps {
    // The source action has ended: the first job is waiting.
    clock.sleep(Duration::from_secs(5)).await;
    moment.worker(cloud, clock, &Arc::new(Journal::in_memory()), stages, Telemetry::default()).await
}

/// Runs a draining worker until it ends.
async fn run_to_end(service: Service) -> Summary {
    let (_stop, receiver) = watch::channel(Stop::No);
    service.run(receiver).await.unwrap()
}

/// A runner that replaces the stages.
fn runner<F>(run: F) -> Runner
where
    F: Fn(Arc<Cx>) -> BoxFuture<'static, Result<Answer, StageError>> + Send + Sync + 'static,
{
    Arc::new(move |_, cx| run(cx))
}

fn succeeded() -> Answer {
    Answer::End(Outcome::Succeeded {
        summary: "done".into(),
        external_id: None,
        variables: std::collections::BTreeMap::default(),
    })
}

fn continues_at(cx: &Cx, not_before: Timestamp) -> Answer {
    let execution = &cx.key().attempt_id;
    let token = format!("{{\"execution\":\"{execution}\",\"not_before\":{},\"faults\":0}}", not_before.0);
    Answer::Continue { token, not_before, progress: Progress::default() }
}

/// Creates pipelines like an existing one, each with a number of executions that wait for a worker.
async fn pipelines(deps: &WorkerDeps, like: &str, wanted: &[(&str, usize)]) -> Vec<(String, String)> {
    let client = &deps.aws.codepipeline;
    let found = client.get_pipeline().name(like).send().await.unwrap().pipeline.unwrap();
    let mut executions = Vec::new();
    for (name, count) in wanted {
        let mut pipeline = found.clone();
        pipeline.name = (*name).to_owned();
        pipeline.execution_mode = Some(ExecutionMode::Parallel);
        pipeline.pipeline_type = Some(PipelineType::V2);
        client.create_pipeline().pipeline(pipeline).send().await.unwrap();
        for _ in 0..*count {
            let started = client.start_pipeline_execution().name(*name).send().await.unwrap();
            executions.push(((*name).to_owned(), started.pipeline_execution_id.unwrap()));
        }
    }
    deps.clock.sleep(Duration::from_secs(5)).await;
    executions
}

/// The status of the bake action of an execution.
fn bake_status(cloud: &Cloud, execution: &str) -> Option<ActionStatus> {
    cloud.with_world(|world| {
        let execution = codepipeline::execution(world, execution)?;
        execution.runs.iter().rev().find(|run| run.type_id.category == "Build").map(|run| run.status)
    })
}

fn called(cloud: &Cloud, operation: &str) -> usize {
    cloud.with_transcript(|transcript| {
        transcript.records().iter().filter(|r| r.operation == operation).count()
    })
}

#[test]
fn a_draining_worker_runs_a_whole_release_and_ends() {
    let moment = Moment::start(&plan(SPEC, ""));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let service = Service::new(worker(&moment, &cloud, &clock, &Stage::ALL).await, draining());
        let summary = run_to_end(service).await;
        assert!(summary.unfinished.is_empty() && summary.slices > 8, "{summary:?}");
        for stage in Stage::ALL {
            assert_eq!(
                cloud.with_world(|world| moment.action(world, stage)),
                Some(ActionStatus::Succeeded),
                "{stage}"
            );
        }
        let twice = cloud.with_transcript(|transcript| applied_twice(transcript.records()));
        assert!(twice.is_empty(), "{twice:#?}");
    });
}

#[test]
fn a_draining_worker_without_jobs_ends_soon() {
    let moment = Moment::start(&plan(SPEC, ""));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let began = clock.now();
        let summary =
            run_to_end(Service::new(worker(&moment, &cloud, &clock, &[Stage::Cleanup]).await, draining()))
                .await;
        assert_eq!(summary, Summary::default());
        assert_eq!(called(&cloud, "PollForJobs"), 2);
        assert!(clock.now().since(began) < Duration::from_secs(10));
    });
}

#[test]
fn two_workers_on_the_same_jobs_make_each_call_once() {
    // CodePipeline offers every acknowledged job again after a second.
    let moment = Moment::start(&plan(SPEC, "aws: {codepipeline: {redelivery_delay: 1s}}"));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let one = Service::new(worker(&moment, &cloud, &clock, &Stage::ALL).await, draining());
        let two = Service::new(
            worker(&moment, &cloud, &clock, &Stage::ALL).await,
            Settings { seed: 9, ..draining() },
        );
        tokio::join!(run_to_end(one), run_to_end(two));
        for stage in Stage::ALL {
            assert_eq!(
                cloud.with_world(|world| moment.action(world, stage)),
                Some(ActionStatus::Succeeded),
                "{stage}"
            );
        }
        let claims = called(&cloud, "AcknowledgeJob");
        let results = called(&cloud, "PutJobSuccessResult");
        assert!(claims > results, "{claims} claims, {results} results: some jobs were claimed twice");
        let twice = cloud.with_transcript(|transcript| applied_twice(transcript.records()));
        assert!(twice.is_empty(), "{twice:#?}");
    });
}

#[test]
fn parked_jobs_use_no_slot_and_their_credentials_are_renewed() {
    let moment = Moment::start(&plan(SPEC, ""));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, &[Stage::Bake]).await;
        let executions =
            pipelines(&deps, moment.provisioned.pipeline_arn.rsplit(':').next().unwrap(), &[("many", 30)])
                .await;
        let began = clock.now();
        let first_slices_done: Arc<Mutex<Vec<Timestamp>>> = Arc::default();
        let seen = Arc::clone(&first_slices_done);
        let run = runner(move |cx| {
            let seen = Arc::clone(&seen);
            async move {
                if cx.job.continuation_token.is_some() {
                    return Ok(succeeded());
                }
                seen.lock().unwrap().push(cx.now());
                Ok(continues_at(&cx, cx.now().plus(Duration::from_hours(1))))
            }
            .boxed()
        });
        let service = Service::with_runner(deps, Settings { slots: 1, ..draining() }, run);
        let summary = run_to_end(service).await;
        assert!(summary.unfinished.is_empty());
        let last = first_slices_done.lock().unwrap().iter().max().copied().unwrap();
        assert!(
            last.since(began) < Duration::from_mins(2),
            "one slot was enough for all first slices: {:?}",
            last.since(began)
        );
        for (_, execution) in &executions {
            assert_eq!(bake_status(&cloud, execution), Some(ActionStatus::Succeeded));
        }
        assert!(called(&cloud, "GetJobDetails") >= 30, "old credentials are renewed");
        let polls = called(&cloud, "PollForJobs");
        assert!(polls < 1000, "{polls} polls in an hour");
    });
}

#[test]
fn a_pipeline_with_many_jobs_does_not_starve_one_with_a_single_job() {
    let moment = Moment::start(&plan(SPEC, ""));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, &[Stage::Bake]).await;
        let like = moment.provisioned.pipeline_arn.rsplit(':').next().unwrap();
        pipelines(&deps, like, &[("busy", 45), ("quiet", 1)]).await;
        let order: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&order);
        let run = runner(move |cx| {
            seen.lock().unwrap().push(cx.job.key.pipeline.clone());
            async move {
                cx.clock.sleep(Duration::from_mins(1)).await;
                Ok(succeeded())
            }
            .boxed()
        });
        run_to_end(Service::with_runner(deps, Settings { slots: 2, ..draining() }, run)).await;
        let order = order.lock().unwrap();
        let place = order.iter().position(|pipeline| pipeline == "quiet").unwrap();
        assert!(order.len() >= 46 && place <= 5, "{place} of {}", order.len());
    });
}

#[test]
fn short_jobs_do_not_wait_for_the_next_idle_poll() {
    let moment = Moment::start(&plan(SPEC, ""));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, &[Stage::Bake]).await;
        let like = moment.provisioned.pipeline_arn.rsplit(':').next().unwrap();
        // The maximum number of executions of a pipeline, and the one that exists already.
        pipelines(&deps, like, &[("busy", 49)]).await;
        let moments: Arc<Mutex<Vec<std::time::SystemTime>>> = Arc::default();
        let seen = Arc::clone(&moments);
        let run = runner(move |cx| {
            seen.lock().unwrap().push(cx.clock.time_source().now());
            async { Ok(succeeded()) }.boxed()
        });
        run_to_end(Service::with_runner(deps, Settings { slots: 4, ..draining() }, run)).await;
        let moments = moments.lock().unwrap();
        assert_eq!(moments.len(), 50);
        let took = moments[49].duration_since(moments[0]).unwrap();
        assert!(took < Duration::from_millis(500), "13 polls took {took:?}");
    });
}

#[test]
fn a_panic_fails_its_own_action_and_no_other() {
    let moment = Moment::start(&plan(SPEC, ""));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, &[Stage::Bake]).await;
        let like = moment.provisioned.pipeline_arn.rsplit(':').next().unwrap();
        let executions = pipelines(&deps, like, &[("bad", 2), ("good", 5)]).await;
        let run = runner(|cx| {
            async move {
                cx.clock.sleep(Duration::from_secs(3)).await;
                assert!(cx.job.key.pipeline != "bad", "poisoned");
                Ok(succeeded())
            }
            .boxed()
        });
        run_to_end(Service::with_runner(deps, draining(), run)).await;
        for (pipeline, execution) in &executions {
            let expected = if pipeline == "bad" { ActionStatus::Failed } else { ActionStatus::Succeeded };
            assert_eq!(bake_status(&cloud, execution), Some(expected), "{pipeline}");
        }
    });
}

#[test]
fn a_hanging_slice_is_aborted_and_continues_later() {
    let moment = Moment::start(&plan(SPEC, ""));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, &[Stage::Bake]).await;
        let run = runner(|cx| {
            async move {
                match cx.job.continuation_token.as_deref() {
                    None => Ok(continues_at(&cx, cx.now())),
                    Some(token) if token.contains("\"faults\":0") => std::future::pending().await,
                    Some(_) => Ok(succeeded()),
                }
            }
            .boxed()
        });
        let summary = run_to_end(Service::with_runner(deps, draining(), run)).await;
        assert_eq!(summary.slices, 3);
        assert_eq!(bake_status(&cloud, &moment.provisioned.execution), Some(ActionStatus::Succeeded));
    });
}

/// A worker with three running slices and twenty parked jobs.
async fn busy(
    moment: &Moment,
    cloud: &Cloud,
    clock: &Clock,
) -> (watch::Sender<Stop>, tokio::task::JoinHandle<Summary>) {
    let deps = worker(moment, cloud, clock, &[Stage::Bake]).await;
    let like = moment.provisioned.pipeline_arn.rsplit(':').next().unwrap();
    pipelines(&deps, like, &[("parked", 20), ("running", 3)]).await;
    let run = runner(|cx| {
        async move {
            match (cx.job.key.pipeline.as_str(), &cx.job.continuation_token) {
                ("running", Some(_)) => {
                    cx.clock.sleep(Duration::from_secs(30)).await;
                    Ok(continues_at(&cx, cx.now().plus(Duration::from_secs(1))))
                }
                ("running", None) => Ok(continues_at(&cx, cx.now())),
                _ => Ok(continues_at(&cx, cx.now().plus(Duration::from_hours(1)))),
            }
        }
        .boxed()
    });
    let (stop, receiver) = watch::channel(Stop::No);
    let service = Service::with_runner(deps, Settings { slots: 8, ..Settings::default() }, run);
    let ended = tokio::spawn(async move { service.run(receiver).await.unwrap() });
    clock.sleep(Duration::from_secs(90)).await;
    (stop, ended)
}

#[test]
fn a_graceful_stop_reports_running_slices_and_returns_parked_jobs() {
    let moment = Moment::start(&plan(SPEC, ""));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let (stop, ended) = busy(&moment, &cloud, &clock).await;
        let stopped = clock.now();
        let polls = called(&cloud, "PollForJobs");
        stop.send_replace(Stop::Graceful);
        let summary = ended.await.unwrap();
        assert_eq!(summary.unfinished, Vec::<String>::new());
        assert!(clock.now().since(stopped) <= Duration::from_secs(31));
        assert!(called(&cloud, "PollForJobs") <= polls + 1, "no new polls");
        // Every claimed job has a result: no job stays in progress.
        assert_eq!(called(&cloud, "AcknowledgeJob"), called(&cloud, "PutJobSuccessResult"));
    });
}

#[test]
fn an_immediate_stop_ends_at_once_and_lists_the_unfinished_jobs() {
    let moment = Moment::start(&plan(SPEC, ""));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let (stop, ended) = busy(&moment, &cloud, &clock).await;
        let stopped = clock.now();
        stop.send_replace(Stop::Immediate);
        let summary = ended.await.unwrap();
        assert!(summary.unfinished.len() >= 20, "{}", summary.unfinished.len());
        assert_eq!(clock.now(), stopped);
    });
}

#[test]
fn one_worker_takes_over_an_expired_lease_and_finishes_the_job() {
    let moment = Moment::start(&plan(SPEC, ""));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let first = worker(&moment, &cloud, &clock, &[Stage::Bake]).await;
        let s3 = first.aws.artifacts(None);
        s3.create_bucket()
            .bucket("journal")
            .create_bucket_configuration(
                aws_sdk_s3::types::CreateBucketConfiguration::builder()
                    .location_constraint(moment.region.as_str().into())
                    .build(),
            )
            .send()
            .await
            .unwrap();
        let journal =
            |name: &str| Arc::new(Journal::Bucket(BucketJournal::new(s3.clone(), "journal", "jobs", name)));
        let with = |name: &str| WorkerDeps { journal: journal(name), ..first.clone() };
        let hangs = runner(|_| std::future::pending().boxed());
        let (stop, receiver) = watch::channel(Stop::No);
        let dying = tokio::spawn(Service::with_runner(with("a"), Settings::default(), hangs).run(receiver));
        clock.sleep(Duration::from_secs(20)).await;
        stop.send_replace(Stop::Immediate);
        let left = dying.await.unwrap().unwrap().unfinished;
        assert_eq!(left.len(), 1);

        let ran: Arc<Mutex<Vec<(Timestamp, String)>>> = Arc::default();
        let took = |name: &'static str| {
            let ran = Arc::clone(&ran);
            let run = runner(move |cx| {
                ran.lock().unwrap().push((cx.now(), cx.job.id.clone()));
                async { Ok(succeeded()) }.boxed()
            });
            Service::with_runner(with(name), Settings::default(), run)
        };
        let died = clock.now();
        let (stop, receiver) = watch::channel(Stop::No);
        let others = [tokio::spawn(took("b").run(receiver.clone())), tokio::spawn(took("c").run(receiver))];
        clock.sleep(Duration::from_mins(4)).await;
        let ran = ran.lock().unwrap().clone();
        assert_eq!(ran.len(), 1, "one of two workers ran it: {ran:?}");
        assert_eq!(ran[0].1, left[0]);
        assert!(ran[0].0.since(died) >= Duration::from_mins(1), "not before the lease expires");
        assert_eq!(bake_status(&cloud, &moment.provisioned.execution), Some(ActionStatus::Succeeded));
        stop.send_replace(Stop::Graceful);
        for other in others {
            other.await.unwrap().unwrap();
        }
        let kept = s3.list_objects_v2().bucket("journal").send().await.unwrap().contents.unwrap_or_default();
        assert!(kept.is_empty(), "{kept:?}");
    });
}

/// Abandons the execution some time after the test instance was launched, and checks that the instance is terminated.
fn abandon_test(after: Duration) {
    let moment = Moment::before(&plan(SPEC, ""), Stage::Test);
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, &[Stage::Test]).await;
        let client = deps.aws.codepipeline.clone();
        let (stop, receiver) = watch::channel(Stop::No);
        let works = tokio::spawn(Service::new(deps, Settings::default()).run(receiver));
        while called(&cloud, "RunInstances") == 0 {
            clock.sleep(Duration::from_secs(1)).await;
        }
        clock.sleep(after).await;
        let pipeline = moment.provisioned.pipeline_arn.rsplit(':').next().unwrap();
        client
            .stop_pipeline_execution()
            .pipeline_name(pipeline)
            .pipeline_execution_id(&moment.provisioned.execution)
            .abandon(true)
            .send()
            .await
            .unwrap();
        clock.sleep(Duration::from_mins(15)).await;
        assert_eq!(
            cloud.with_world(|world| moment.action(world, Stage::Test)),
            Some(ActionStatus::Abandoned)
        );
        assert!(
            called(&cloud, "TerminateInstances") >= 1,
            "the instance is terminated, abandoned {after:?} after its launch"
        );
        assert_eq!(called(&cloud, "PutJobFailureResult"), 0, "an abandoned action gets no result");
        stop.send_replace(Stop::Graceful);
        assert!(works.await.unwrap().unwrap().unfinished.is_empty());
    });
}

#[test]
fn an_abandoned_test_terminates_its_instance() {
    // While CodePipeline has the job, and while the worker has it.
    for after in [0, 4, 15] {
        abandon_test(Duration::from_secs(after));
    }
}

/// A worker crashes after the first slice and before its report, the execution is abandoned, and the inputs are deleted; then
/// another worker takes over the journal.
fn recover_lost_first_slice(stage: Stage, input: &str, creates: &str, undoes: &str) {
    let moment = Moment::before(&plan(SPEC, ""), stage);
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, &[stage]).await;
        let crashing: Runner = Arc::new(|stage, cx| {
            async move {
                drop((stages())(stage, cx).await);
                std::future::pending().await
            }
            .boxed()
        });
        let (stop, receiver) = watch::channel(Stop::No);
        let first = tokio::spawn(
            Service::with_runner(deps.clone(), Settings::default(), crashing).run(receiver.clone()),
        );
        while called(&cloud, creates) == 0 {
            clock.sleep(Duration::from_secs(1)).await;
        }
        first.abort();
        assert_eq!(called(&cloud, "PutJobSuccessResult"), 0, "the first slice was not reported");
        let pipeline = moment.provisioned.pipeline_arn.rsplit(':').next().unwrap();
        let stopped = deps.aws.codepipeline.stop_pipeline_execution().pipeline_name(pipeline);
        let stopped = stopped.pipeline_execution_id(&moment.provisioned.execution).abandon(true);
        stopped.send().await.unwrap();
        delete(&deps, &moment, input).await;
        let second = tokio::spawn(Service::new(deps, Settings::default()).run(receiver));
        clock.sleep(Duration::from_mins(20)).await;
        assert_eq!((called(&cloud, creates), called(&cloud, undoes)), (1, 1), "{creates}, {undoes}");
        stop.send_replace(Stop::Graceful);
        assert!(second.await.unwrap().unwrap().unfinished.is_empty());
    });
}

#[test]
fn an_unreported_first_slice_of_an_abandoned_action_is_undone() {
    recover_lost_first_slice(
        Stage::Bake,
        "SourceArtifact",
        "StartImagePipelineExecution",
        "CancelImageCreation",
    );
    recover_lost_first_slice(Stage::Test, "BakedImage", "RunInstances", "TerminateInstances");
}

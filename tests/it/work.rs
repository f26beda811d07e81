//! The worker as it runs in production, on the embedded AWS in virtual time.

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
    // The source has been fetched: the first job waits.
    clock.sleep(Duration::from_secs(5)).await;
    moment.worker(cloud, clock, &Arc::new(Journal::in_memory()), stages, Telemetry::default()).await
}

/// Runs until it ends by itself.
async fn to_the_end(service: Service) -> Summary {
    let (_stop, told) = watch::channel(Stop::No);
    service.run(told).await.unwrap()
}

/// Something that stands in for the stages.
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

fn rests_until(cx: &Cx, not_before: Timestamp) -> Answer {
    let execution = &cx.key().attempt_id;
    let token = format!("{{\"execution\":\"{execution}\",\"not_before\":{},\"faults\":0}}", not_before.0);
    Answer::Continue { token, not_before, progress: Progress::default() }
}

/// Pipelines like the founded one, each with so many executions whose first action waits for a worker.
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

/// How the first action of bakeline's in an execution stands.
fn bake_of(cloud: &Cloud, execution: &str) -> Option<ActionStatus> {
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
fn a_draining_worker_takes_a_release_down_the_line_and_ends() {
    let moment = Moment::start(&plan(SPEC, "{}"));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let service = Service::new(worker(&moment, &cloud, &clock, &Stage::ALL).await, draining());
        let summary = to_the_end(service).await;
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
fn a_draining_worker_with_nothing_to_do_ends_soon() {
    let moment = Moment::start(&plan(SPEC, "{}"));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let began = clock.now();
        let summary =
            to_the_end(Service::new(worker(&moment, &cloud, &clock, &[Stage::Cleanup]).await, draining()))
                .await;
        assert_eq!(summary, Summary::default());
        assert_eq!(called(&cloud, "PollForJobs"), 2);
        assert!(clock.now().since(began) < Duration::from_secs(10));
    });
}

#[test]
fn two_workers_on_every_job_act_once() {
    // Every acknowledged job is offered again after a second, to whoever asks.
    let moment = Moment::start(&plan(SPEC, "codepipeline: {redeliver_acknowledged_seconds: 1}"));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let one = Service::new(worker(&moment, &cloud, &clock, &Stage::ALL).await, draining());
        let two = Service::new(
            worker(&moment, &cloud, &clock, &Stage::ALL).await,
            Settings { seed: 9, ..draining() },
        );
        tokio::join!(to_the_end(one), to_the_end(two));
        for stage in Stage::ALL {
            assert_eq!(
                cloud.with_world(|world| moment.action(world, stage)),
                Some(ActionStatus::Succeeded),
                "{stage}"
            );
        }
        let claims = called(&cloud, "AcknowledgeJob");
        let results = called(&cloud, "PutJobSuccessResult");
        assert!(claims > results, "{claims} claims, {results} results: jobs were in two hands");
        let twice = cloud.with_transcript(|transcript| applied_twice(transcript.records()));
        assert!(twice.is_empty(), "{twice:#?}");
    });
}

#[test]
fn jobs_that_are_not_due_take_no_slot_and_their_credentials_are_renewed() {
    let moment = Moment::start(&plan(SPEC, "{}"));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, &[Stage::Bake]).await;
        let executions =
            pipelines(&deps, moment.founded.pipeline_arn.rsplit(':').next().unwrap(), &[("many", 30)]).await;
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
                Ok(rests_until(&cx, cx.now().plus(Duration::from_hours(1))))
            }
            .boxed()
        });
        let service = Service::with_runner(deps, Settings { slots: 1, ..draining() }, run);
        let summary = to_the_end(service).await;
        assert!(summary.unfinished.is_empty());
        let last = first_slices_done.lock().unwrap().iter().max().copied().unwrap();
        assert!(
            last.since(began) < Duration::from_mins(2),
            "one slot served all at once: {:?}",
            last.since(began)
        );
        for (_, execution) in &executions {
            assert_eq!(bake_of(&cloud, execution), Some(ActionStatus::Succeeded));
        }
        assert!(called(&cloud, "GetJobDetails") >= 30, "credentials an hour old are not used");
        let polls = called(&cloud, "PollForJobs");
        assert!(polls < 1000, "{polls} polls in an hour");
    });
}

#[test]
fn a_pipeline_with_many_jobs_does_not_starve_one_with_a_single_job() {
    let moment = Moment::start(&plan(SPEC, "{}"));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, &[Stage::Bake]).await;
        let like = moment.founded.pipeline_arn.rsplit(':').next().unwrap();
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
        to_the_end(Service::with_runner(deps, Settings { slots: 2, ..draining() }, run)).await;
        let order = order.lock().unwrap();
        let place = order.iter().position(|pipeline| pipeline == "quiet").unwrap();
        assert!(order.len() >= 46 && place <= 5, "{place} of {}", order.len());
    });
}

#[test]
fn a_queue_of_short_jobs_does_not_wait_for_the_next_poll() {
    let moment = Moment::start(&plan(SPEC, "{}"));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, &[Stage::Bake]).await;
        let like = moment.founded.pipeline_arn.rsplit(':').next().unwrap();
        // As many as a pipeline may have under way, and the one that the moment comes with.
        pipelines(&deps, like, &[("busy", 49)]).await;
        let moments: Arc<Mutex<Vec<std::time::SystemTime>>> = Arc::default();
        let seen = Arc::clone(&moments);
        let run = runner(move |cx| {
            seen.lock().unwrap().push(cx.clock.time_source().now());
            async { Ok(succeeded()) }.boxed()
        });
        to_the_end(Service::with_runner(deps, Settings { slots: 4, ..draining() }, run)).await;
        let moments = moments.lock().unwrap();
        assert_eq!(moments.len(), 50);
        let took = moments[49].duration_since(moments[0]).unwrap();
        assert!(took < Duration::from_millis(500), "13 polls took {took:?}");
    });
}

#[test]
fn a_panic_fails_its_own_action_and_no_other() {
    let moment = Moment::start(&plan(SPEC, "{}"));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, &[Stage::Bake]).await;
        let like = moment.founded.pipeline_arn.rsplit(':').next().unwrap();
        let executions = pipelines(&deps, like, &[("bad", 2), ("good", 5)]).await;
        let run = runner(|cx| {
            async move {
                cx.clock.sleep(Duration::from_secs(3)).await;
                assert!(cx.job.key.pipeline != "bad", "poisoned");
                Ok(succeeded())
            }
            .boxed()
        });
        to_the_end(Service::with_runner(deps, draining(), run)).await;
        for (pipeline, execution) in &executions {
            let expected = if pipeline == "bad" { ActionStatus::Failed } else { ActionStatus::Succeeded };
            assert_eq!(bake_of(&cloud, execution), Some(expected), "{pipeline}");
        }
    });
}

#[test]
fn a_slice_that_hangs_is_cut_off_and_goes_on_later() {
    let moment = Moment::start(&plan(SPEC, "{}"));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, &[Stage::Bake]).await;
        let run = runner(|cx| {
            async move {
                match cx.job.continuation_token.as_deref() {
                    None => Ok(rests_until(&cx, cx.now())),
                    Some(token) if token.contains("\"faults\":0") => std::future::pending().await,
                    Some(_) => Ok(succeeded()),
                }
            }
            .boxed()
        });
        let summary = to_the_end(Service::with_runner(deps, draining(), run)).await;
        assert_eq!(summary.slices, 3);
        assert_eq!(bake_of(&cloud, &moment.founded.execution), Some(ActionStatus::Succeeded));
    });
}

/// A worker with three slices under way and twenty jobs that are not due.
async fn busy(
    moment: &Moment,
    cloud: &Cloud,
    clock: &Clock,
) -> (watch::Sender<Stop>, tokio::task::JoinHandle<Summary>) {
    let deps = worker(moment, cloud, clock, &[Stage::Bake]).await;
    let like = moment.founded.pipeline_arn.rsplit(':').next().unwrap();
    pipelines(&deps, like, &[("parked", 20), ("running", 3)]).await;
    let run = runner(|cx| {
        async move {
            match (cx.job.key.pipeline.as_str(), &cx.job.continuation_token) {
                ("running", Some(_)) => {
                    cx.clock.sleep(Duration::from_secs(30)).await;
                    Ok(rests_until(&cx, cx.now().plus(Duration::from_secs(1))))
                }
                ("running", None) => Ok(rests_until(&cx, cx.now())),
                _ => Ok(rests_until(&cx, cx.now().plus(Duration::from_hours(1)))),
            }
        }
        .boxed()
    });
    let (stop, told) = watch::channel(Stop::No);
    let service = Service::with_runner(deps, Settings { slots: 8, ..Settings::default() }, run);
    let ended = tokio::spawn(async move { service.run(told).await.unwrap() });
    clock.sleep(Duration::from_secs(90)).await;
    (stop, ended)
}

#[test]
fn a_stop_reports_what_runs_and_gives_back_what_waits() {
    let moment = Moment::start(&plan(SPEC, "{}"));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let (stop, ended) = busy(&moment, &cloud, &clock).await;
        let told = clock.now();
        let polls = called(&cloud, "PollForJobs");
        stop.send_replace(Stop::Graceful);
        let summary = ended.await.unwrap();
        assert_eq!(summary.unfinished, Vec::<String>::new());
        assert!(clock.now().since(told) <= Duration::from_secs(31));
        assert!(called(&cloud, "PollForJobs") <= polls + 1, "no new polls");
        // Every claim was answered: nothing is left in progress in the dead worker's hands.
        assert_eq!(called(&cloud, "AcknowledgeJob"), called(&cloud, "PutJobSuccessResult"));
    });
}

#[test]
fn a_second_signal_ends_at_once_and_names_what_is_left() {
    let moment = Moment::start(&plan(SPEC, "{}"));
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let (stop, ended) = busy(&moment, &cloud, &clock).await;
        let told = clock.now();
        stop.send_replace(Stop::Immediate);
        let summary = ended.await.unwrap();
        assert!(summary.unfinished.len() >= 20, "{}", summary.unfinished.len());
        assert_eq!(clock.now(), told);
    });
}

#[test]
fn an_expired_lease_is_taken_over_by_one_worker_that_finishes_the_job() {
    let moment = Moment::start(&plan(SPEC, "{}"));
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
        let (stop, told) = watch::channel(Stop::No);
        let dying = tokio::spawn(Service::with_runner(with("a"), Settings::default(), hangs).run(told));
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
        let (stop, told) = watch::channel(Stop::No);
        let others = [tokio::spawn(took("b").run(told.clone())), tokio::spawn(took("c").run(told))];
        clock.sleep(Duration::from_mins(4)).await;
        let ran = ran.lock().unwrap().clone();
        assert_eq!(ran.len(), 1, "one of two took it: {ran:?}");
        assert_eq!(ran[0].1, left[0]);
        assert!(ran[0].0.since(died) >= Duration::from_mins(1), "not while the lease stands");
        assert_eq!(bake_of(&cloud, &moment.founded.execution), Some(ActionStatus::Succeeded));
        stop.send_replace(Stop::Graceful);
        for other in others {
            other.await.unwrap().unwrap();
        }
        let kept = s3.list_objects_v2().bucket("journal").send().await.unwrap().contents.unwrap_or_default();
        assert!(kept.is_empty(), "{kept:?}");
    });
}

/// Abandons the execution so long after an instance was launched in staging; the instance must go.
fn abandoned(after: Duration) {
    let moment = Moment::before(&plan(SPEC, "{}"), Stage::Test);
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, &[Stage::Test]).await;
        let client = deps.aws.codepipeline.clone();
        let (stop, told) = watch::channel(Stop::No);
        let works = tokio::spawn(Service::new(deps, Settings::default()).run(told));
        while called(&cloud, "RunInstances") == 0 {
            clock.sleep(Duration::from_secs(1)).await;
        }
        clock.sleep(after).await;
        let pipeline = moment.founded.pipeline_arn.rsplit(':').next().unwrap();
        client
            .stop_pipeline_execution()
            .pipeline_name(pipeline)
            .pipeline_execution_id(&moment.founded.execution)
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
            "the instance is gone, {after:?} after its launch"
        );
        assert_eq!(called(&cloud, "PutJobFailureResult"), 0, "an abandoned action is not answered");
        stop.send_replace(Stop::Graceful);
        assert!(works.await.unwrap().unwrap().unfinished.is_empty());
    });
}

#[test]
fn an_abandoned_test_leaves_no_instance_in_staging() {
    // While the job lies with CodePipeline, and while the worker has it.
    for after in [0, 4, 15] {
        abandoned(Duration::from_secs(after));
    }
}

/// A worker acts in an action's first slice and is gone before anyone hears of it, the execution is abandoned, the inputs
/// are deleted; only then another worker takes over its journal.
fn recover_lost_first_slice(stage: Stage, input: &str, makes: &str, undoes: &str) {
    let moment = Moment::before(&plan(SPEC, "{}"), stage);
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = worker(&moment, &cloud, &clock, &[stage]).await;
        let gone: Runner = Arc::new(|stage, cx| {
            async move {
                drop((stages())(stage, cx).await);
                std::future::pending().await
            }
            .boxed()
        });
        let (stop, told) = watch::channel(Stop::No);
        let first =
            tokio::spawn(Service::with_runner(deps.clone(), Settings::default(), gone).run(told.clone()));
        while called(&cloud, makes) == 0 {
            clock.sleep(Duration::from_secs(1)).await;
        }
        first.abort();
        assert_eq!(called(&cloud, "PutJobSuccessResult"), 0, "no one heard of it");
        let pipeline = moment.founded.pipeline_arn.rsplit(':').next().unwrap();
        let stopped = deps.aws.codepipeline.stop_pipeline_execution().pipeline_name(pipeline);
        let stopped = stopped.pipeline_execution_id(&moment.founded.execution).abandon(true);
        stopped.send().await.unwrap();
        delete(&deps, &moment, input).await;
        let second = tokio::spawn(Service::new(deps, Settings::default()).run(told));
        clock.sleep(Duration::from_mins(20)).await;
        assert_eq!((called(&cloud, makes), called(&cloud, undoes)), (1, 1), "{makes}, {undoes}");
        stop.send_replace(Stop::Graceful);
        assert!(second.await.unwrap().unwrap().unfinished.is_empty());
    });
}

#[test]
fn what_an_abandoned_first_slice_made_unheard_is_undone() {
    recover_lost_first_slice(
        Stage::Bake,
        "SourceArtifact",
        "StartImagePipelineExecution",
        "CancelImageCreation",
    );
    recover_lost_first_slice(Stage::Test, "BakedImage", "RunInstances", "TerminateInstances");
}

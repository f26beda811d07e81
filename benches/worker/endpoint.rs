//! CodePipeline's job protocol from templates: a thread for each connection, no parsing beyond what is asked for.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::process::Measured;

/// What an endpoint has seen since it was last told what to offer.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    pub polls: u64,
    pub acknowledged: u64,
    pub done: u64,
    /// Calls that a slice made beside the job protocol.
    pub others: u64,
}

#[derive(Default)]
struct State {
    stats: Stats,
    /// Jobs without work still to be offered.
    jobs: u64,
    /// Jobs that are not due for a year still to be offered.
    waiting: u64,
    /// Jobs of bakes whose image is still being built, to be offered: a slice looks at the build and rests again.
    building: u64,
    /// The source artifact of every job.
    source: Arc<[u8]>,
    /// Jobs without work that become available so many nanoseconds after one another, from when, how many are left.
    paced: Option<(Instant, u64, u64, u64)>,
    number: u64,
    /// When each paced job became available.
    available: HashMap<String, Instant>,
    /// Nanoseconds from available to acknowledged.
    claims: Vec<u64>,
}

/// The endpoint's side: serves until it is killed.
pub fn serve(source: &Path) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    println!("{}", listener.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    let source = std::fs::read(source).unwrap().into();
    let state = Arc::new(Mutex::new(State { source, ..State::default() }));
    for stream in listener.incoming() {
        let (stream, state) = (stream.unwrap(), Arc::clone(&state));
        std::thread::spawn(move || connection(stream, &state));
    }
}

fn connection(stream: TcpStream, state: &Mutex<State>) {
    stream.set_nodelay(true).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::with_capacity(16 << 10, stream);
    let (mut line, mut body) = (String::new(), Vec::new());
    loop {
        let (mut operation, mut length, mut first, mut range) = (String::new(), 0, true, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            if first {
                first = false;
                text.split(' ').nth(1).unwrap_or_default().clone_into(&mut operation);
            } else if let Some((name, value)) = text.split_once(':') {
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().unwrap_or(0);
                } else if name.eq_ignore_ascii_case("x-amz-target") {
                    value.rsplit('.').next().unwrap_or_default().clone_into(&mut operation);
                } else if name.eq_ignore_ascii_case("range") {
                    value.trim().clone_into(&mut range);
                }
            }
        }
        body.resize(length, 0);
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let whole = if operation.starts_with(BUCKET) {
            state.lock().unwrap_or_else(PoisonError::into_inner).stats.others += 1;
            object(&state.lock().unwrap_or_else(PoisonError::into_inner).source, &range)
        } else {
            let answer = answer(&operation, &body, state);
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            [head.as_bytes(), answer.as_bytes()].concat()
        };
        if writer.write_all(&whole).is_err() {
            return;
        }
    }
}

const BUCKET: &str = "/codepipeline-eu-west-1-123456789012/";

/// The object, or the part of it that `range` names: `bytes=5-9`, `bytes=5-` or `bytes=-5`.
fn object(bytes: &[u8], range: &str) -> Vec<u8> {
    let (size, tag) = (bytes.len(), "etag: \"0123456789abcdef0123456789abcdef\"\r\n");
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return [format!("HTTP/1.1 200 OK\r\n{tag}content-length: {size}\r\n\r\n").as_bytes(), bytes]
            .concat();
    };
    let (first, end) = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => (first, size.min(last + 1)),
        (Ok(first), Err(_)) => (first, size),
        (Err(_), last) => (size.saturating_sub(last.unwrap_or(0)), size),
    };
    let part = &bytes[first..end];
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\n{tag}content-range: bytes {first}-{}/{size}\r\ncontent-length: {}\r\n\r\n",
        end - 1,
        part.len()
    );
    [head.as_bytes(), part].concat()
}

fn answer(operation: &str, body: &[u8], state: &Mutex<State>) -> String {
    let now = Instant::now();
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    let state = &mut *state;
    match operation {
        "PollForJobs" => {
            state.stats.polls += 1;
            offer(state, number(body, "maxBatchSize").unwrap_or(1), now)
        }
        "AcknowledgeJob" => {
            state.stats.acknowledged += 1;
            if let Some(since) = text(body, "jobId").and_then(|id| state.available.remove(&id)) {
                state.claims.push(u64::try_from((now - since).as_nanos()).unwrap());
            }
            "{\"status\":\"InProgress\"}".to_owned()
        }
        "PutJobSuccessResult" | "PutJobFailureResult" => {
            state.stats.done += 1;
            "{}".to_owned()
        }
        "GetPipelineExecution" => {
            state.stats.others += 1;
            "{\"pipelineExecution\":{\"status\":\"InProgress\"}}".to_owned()
        }
        // A build that goes on.
        path if path.starts_with("/GetImage?") => {
            state.stats.others += 1;
            let image =
                path.split_once('=').map_or("", |(_, image)| image).replace("%3A", ":").replace("%2F", "/");
            format!(
                "{{\"requestId\":\"r\",\"image\":{{\"arn\":\"{image}\",\"state\":{{\"status\":\"BUILDING\"}}}}}}"
            )
        }
        "/ListWorkflowExecutions" => {
            state.stats.others += 1;
            WORKFLOWS.to_owned()
        }
        "/ListWorkflowStepExecutions" => {
            state.stats.others += 1;
            "{\"steps\":[{\"name\":\"ExecuteComponents\",\"status\":\"RUNNING\"}]}".to_owned()
        }
        "/stats" => serde_json::to_string(&state.stats).unwrap(),
        "/claims" => serde_json::to_string(&state.claims).unwrap(),
        told => {
            let numbers: Vec<u64> = told.split('/').filter_map(|part| part.parse().ok()).collect();
            let number = state.number;
            *state = State { number, source: Arc::clone(&state.source), ..State::default() };
            match (told.split('/').nth(1), numbers.as_slice()) {
                (Some("offer"), [jobs, waiting, building]) => {
                    (state.jobs, state.waiting, state.building) = (*jobs, *waiting, *building);
                }
                (Some("pace"), [rate, jobs]) => state.paced = Some((now, 1_000_000_000 / rate, 0, *jobs)),
                _ => return "{}".to_owned(),
            }
            "{}".to_owned()
        }
    }
}

fn offer(state: &mut State, most: u64, now: Instant) -> String {
    let mut jobs = Vec::new();
    while (jobs.len() as u64) < most {
        if state.jobs > 0 {
            state.jobs -= 1;
            jobs.push(job(state, None).1);
        } else if state.waiting > 0 {
            state.waiting -= 1;
            jobs.push(job(state, Some(FAR)).1);
        } else if state.building > 0 {
            state.building -= 1;
            jobs.push(job(state, Some(0)).1);
        } else if let Some((began, apart, given, all)) = state.paced
            && given < all
            && began + Duration::from_nanos(apart * given) <= now
        {
            let (id, text) = job(state, None);
            state.available.insert(id, began + Duration::from_nanos(apart * given));
            state.paced = Some((began, apart, given + 1, all));
            jobs.push(text);
        } else {
            break;
        }
    }
    format!("{{\"jobs\":[{}]}}", jobs.join(","))
}

/// A moment that no benchmark sees, in seconds since the epoch.
const FAR: u64 = 4_000_000_000;

/// What `ListWorkflowExecutions` says of a build under way.
const WORKFLOWS: &str = "{\"requestId\":\"r\",\"workflowExecutions\":[{\"workflowExecutionId\":\"wf-1\",\"type\":\"BUILD\",\
                         \"status\":\"RUNNING\",\"totalStepCount\":7,\"totalStepsSucceeded\":3}]}";

/// A job of one of a hundred pipelines: with a token that is due at a moment, or the first of its action, without an input
/// artifact, which is answered as soon as it is looked at.
fn job(state: &mut State, due: Option<u64>) -> (String, String) {
    state.number += 1;
    let number = state.number;
    let id = format!("{number:08x}-0000-4000-8000-000000000001");
    let execution = format!("{number:08x}-0000-4000-8000-000000000002");
    let pipeline = number % 100;
    let token = if let Some(due) = due {
        format!(
            ",\"continuationToken\":\"{{\\\"v\\\":1,\\\"execution\\\":\\\"{execution}\\\",\\\"started\\\":1700000000,\
             \\\"not_before\\\":{due},\\\"deadline\\\":4000000000,\\\"slices\\\":3,\\\"faults\\\":0,\\\"state\\\":\
             {{\\\"at\\\":\\\"building\\\",\\\"image\\\":\\\"arn:aws:imagebuilder:eu-west-1:123456789012:image/web/1.0.0/{number}\\\"}}}}\""
        )
    } else {
        String::new()
    };
    let inputs = if due.is_some() {
        format!(
            "{{\"name\":\"SourceArtifact\",\"location\":{{\"type\":\"S3\",\"s3Location\":{{\"bucketName\":\
             \"codepipeline-eu-west-1-123456789012\",\"objectKey\":\"web-{pipeline}/SourceArti/{number:07}\"}}}}}}"
        )
    } else {
        String::new()
    };
    let text = format!(
        "{{\"id\":\"{id}\",\"nonce\":\"3\",\"accountId\":\"123456789012\",\"data\":{{\"actionTypeId\":{{\"category\":\
         \"Build\",\"owner\":\"Custom\",\"provider\":\"BakelineBake\",\"version\":\"1\"}},\"actionConfiguration\":\
         {{\"configuration\":{{\"Spec\":\"bakeline.yaml\"}}}},\"pipelineContext\":{{\"pipelineName\":\"web-{pipeline}\",\
         \"pipelineArn\":\"arn:aws:codepipeline:eu-west-1:123456789012:web-{pipeline}\",\"pipelineExecutionId\":\
         \"{execution}\",\"stage\":{{\"name\":\"Bake\"}},\"action\":{{\"name\":\"Image\",\"actionExecutionId\":\
         \"{execution}\"}}}},\"inputArtifacts\":[{inputs}],\"outputArtifacts\":[{{\"name\":\"BakedImage\",\"location\":\
         {{\"type\":\"S3\",\"s3Location\":{{\"bucketName\":\"codepipeline-eu-west-1-123456789012\",\"objectKey\":\
         \"web-{pipeline}/BakedImage/{number:07}\"}}}}}}],\"artifactCredentials\":{{\"accessKeyId\":\
         \"ASIAIOSFODNN7EXAMPLE\",\"secretAccessKey\":\"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\",\"sessionToken\":\
         \"{}\"}}{token}}}}}",
        "t".repeat(700)
    );
    (id, text)
}

/// The value of a string member, found without parsing.
fn text(body: &[u8], member: &str) -> Option<String> {
    let body = std::str::from_utf8(body).ok()?;
    let rest = body.split_once(&format!("\"{member}\""))?.1;
    rest.split('"').nth(1).map(str::to_owned)
}

fn number(body: &[u8], member: &str) -> Option<u64> {
    let body = std::str::from_utf8(body).ok()?;
    let rest = body.split_once(&format!("\"{member}\""))?.1.trim_start_matches([':', ' ']);
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

/// The driver's side: an endpoint in a process of its own.
pub struct Control {
    process: Child,
    pub address: SocketAddr,
}

impl Control {
    pub fn start(source: &Path) -> Self {
        let own = std::env::current_exe().unwrap();
        let mut process =
            Command::new(own).arg("endpoint").arg(source).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, address: line.trim().parse().unwrap() }
    }

    fn ask(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        String::from_utf8(body).unwrap()
    }

    /// Offers so many jobs without work, so many that are not due, and so many that look at a build, and begins to count
    /// anew.
    pub fn offer(&self, jobs: u64, waiting: u64, building: u64) {
        self.ask(&format!("/offer/{jobs}/{waiting}/{building}"));
    }

    /// Makes so many jobs without work available, so many a second.
    pub fn pace(&self, rate: u64, jobs: u64) {
        self.ask(&format!("/pace/{rate}/{jobs}"));
    }

    pub fn stats(&self) -> Stats {
        serde_json::from_str(&self.ask("/stats")).unwrap()
    }

    /// Nanoseconds from available to acknowledged, of the paced jobs.
    pub fn claims(&self) -> Vec<u64> {
        serde_json::from_str(&self.ask("/claims")).unwrap()
    }

    pub fn measured(&self) -> Measured {
        Measured::of(self.process.id())
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! CodePipeline's job protocol from templates: a thread for each connection, no parsing beyond what is asked for.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
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
}

#[derive(Default)]
struct State {
    stats: Stats,
    /// Jobs without work still to be offered.
    jobs: u64,
    /// Jobs that are not due for a year still to be offered.
    waiting: u64,
    /// Jobs without work that become available so many nanoseconds after one another, from when, how many are left.
    paced: Option<(Instant, u64, u64, u64)>,
    number: u64,
    /// When each paced job became available.
    available: HashMap<String, Instant>,
    /// Nanoseconds from available to acknowledged.
    claims: Vec<u64>,
}

/// The endpoint's side: serves until it is killed.
pub fn serve() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    println!("{}", listener.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    let state = Arc::new(Mutex::new(State::default()));
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
        let (mut operation, mut length, mut first) = (String::new(), 0, true);
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
                operation = text.split(' ').nth(1).unwrap_or_default().to_owned();
            } else if let Some((name, value)) = text.split_once(':') {
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().unwrap_or(0);
                } else if name.eq_ignore_ascii_case("x-amz-target") {
                    operation = value.rsplit('.').next().unwrap_or_default().to_owned();
                }
            }
        }
        body.resize(length, 0);
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let answer = answer(&operation, &body, state);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        if writer.write_all(&[head.as_bytes(), answer.as_bytes()].concat()).is_err() {
            return;
        }
    }
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
        "/stats" => serde_json::to_string(&state.stats).unwrap(),
        "/claims" => serde_json::to_string(&state.claims).unwrap(),
        told => {
            let numbers: Vec<u64> = told.split('/').filter_map(|part| part.parse().ok()).collect();
            let number = state.number;
            *state = State { number, ..State::default() };
            match (told.split('/').nth(1), numbers.as_slice()) {
                (Some("offer"), [jobs, waiting]) => (state.jobs, state.waiting) = (*jobs, *waiting),
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
            jobs.push(job(state, false).1);
        } else if state.waiting > 0 {
            state.waiting -= 1;
            jobs.push(job(state, true).1);
        } else if let Some((began, apart, given, all)) = state.paced
            && given < all
            && began + Duration::from_nanos(apart * given) <= now
        {
            let (id, text) = job(state, false);
            state.available.insert(id, began + Duration::from_nanos(apart * given));
            state.paced = Some((began, apart, given + 1, all));
            jobs.push(text);
        } else {
            break;
        }
    }
    format!("{{\"jobs\":[{}]}}", jobs.join(","))
}

/// A job of one of a hundred pipelines. One without an input artifact is answered as soon as it is looked at.
fn job(state: &mut State, waiting: bool) -> (String, String) {
    state.number += 1;
    let number = state.number;
    let id = format!("{number:08x}-0000-4000-8000-000000000001");
    let execution = format!("{number:08x}-0000-4000-8000-000000000002");
    let pipeline = number % 100;
    let token = if waiting {
        format!(
            ",\"continuationToken\":\"{{\\\"v\\\":1,\\\"execution\\\":\\\"{execution}\\\",\\\"started\\\":1700000000,\
             \\\"not_before\\\":4000000000,\\\"deadline\\\":4000000000,\\\"slices\\\":3,\\\"faults\\\":0,\\\"state\\\":\
             {{\\\"at\\\":\\\"building\\\",\\\"image\\\":\\\"arn:aws:imagebuilder:eu-west-1:123456789012:image/web/1.0.0/{number}\\\"}}}}\""
        )
    } else {
        String::new()
    };
    let inputs = if waiting {
        format!(
            "{{\"name\":\"SourceArtifact\",\"location\":{{\"type\":\"S3\",\"s3Location\":{{\"bucketName\":\
             \"codepipeline-eu-west-1-123456789012\",\"objectKey\":\"web-{pipeline}/SourceArti/{number:07}\"}}}}}}"
        )
    } else {
        String::new()
    };
    let text = format!(
        "{{\"id\":\"{id}\",\"nonce\":\"3\",\"accountId\":\"123456789012\",\"data\":{{\"actionTypeId\":{{\"category\":\
         \"Build\",\"owner\":\"Custom\",\"provider\":\"Bakeline\",\"version\":\"1\"}},\"actionConfiguration\":\
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
    pub fn start() -> Self {
        let own = std::env::current_exe().unwrap();
        let mut process = Command::new(own).arg("endpoint").stdout(Stdio::piped()).spawn().unwrap();
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

    /// Offers so many jobs without work, and so many that are not due, and begins to count anew.
    pub fn offer(&self, jobs: u64, waiting: u64) {
        self.ask(&format!("/offer/{jobs}/{waiting}"));
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

//! What a call costs with no worker around it. A job without work is two calls: below twice this no worker comes that
//! makes them in this way.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use futures::StreamExt as _;

/// Calls under way at once, as many as a worker makes.
const AT_ONCE: usize = 8;

/// Acknowledges so many jobs that are none: with the SDK's client as it comes, or else with bytes over a socket.
pub fn call(how: &str, calls: u64) {
    match how {
        "sdk" => sdk(calls),
        _ => socket(calls),
    }
    // What was used is read off the process, which must not end before.
    std::thread::park();
}

fn sdk(calls: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = aws_config::defaults(aws_config::BehaviorVersion::latest()).load().await;
        let client = aws_sdk_codepipeline::Client::new(&config);
        let calls = futures::stream::iter(0..calls).map(|number| {
            let call = client.acknowledge_job().job_id(format!("{number:08x}-0000-4000-8000-000000000001"));
            async { call.nonce("3").send().await.unwrap() }
        });
        calls.buffer_unordered(AT_ONCE).for_each(|_| async {}).await;
    });
}

/// One call after the other: neither signed nor parsed.
fn socket(calls: u64) {
    let address = std::env::var("AWS_ENDPOINT_URL").unwrap();
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let body = "{\"jobId\":\"00000001-0000-4000-8000-000000000001\",\"nonce\":\"3\"}";
    let request = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\nx-amz-target: CodePipeline_20150709.AcknowledgeJob\r\n\
         content-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut line = String::new();
    for _ in 0..calls {
        stream.write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        loop {
            line.clear();
            answers.read_line(&mut line).unwrap();
            if let Some(told) = line.strip_prefix("content-length: ") {
                length = told.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut answer = vec![0; length];
        answers.read_exact(&mut answer).unwrap();
    }
}

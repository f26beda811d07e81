//! The embedded AWS on a loopback port, for clients in other processes such as the AWS CLI or boto3.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::net::TcpListener;

use super::cloud::{Cloud, Reply};
use super::timeline::Timeline;
use super::wire::respond;

/// The path of the clock endpoint, which returns the settings of virtual time.
pub const CLOCK_PATH: &str = "/_rehearsal/clock";

/// The size limit of a request body. A larger body closes the connection.
const LARGEST_BODY: usize = 1 << 30;

/// An error opening the port of the embedded AWS.
#[derive(Debug, Error)]
pub enum ListenError {
    #[error("{0} is not a loopback address: the embedded AWS checks no signatures and must not be reachable")]
    NotLoopback(SocketAddr),
    #[error("cannot listen on {address}")]
    Bind {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// A bound port that does not serve requests yet.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

/// The error that closes a connection without a response.
#[derive(Debug, Error)]
#[error("the connection is dropped on purpose")]
struct Dropped;

impl Listener {
    /// Binds a port; with port 0 the operating system chooses one.
    ///
    /// # Errors
    /// [`ListenError`]: only loopback addresses are allowed.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        if !address.ip().is_loopback() {
            return Err(ListenError::NotLoopback(address));
        }
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bound.await.map_err(|source| ListenError::Bind { address, source })
    }

    /// The address with the port in use.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves requests until `stop` is ready. Open connections stay open until their clients close them.
    pub async fn serve(self, cloud: Cloud, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let stream = tokio::select! {
                () = &mut stop => return,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    // One connection could not be accepted (out of file descriptors, reset by the peer). The next one
                    // may succeed.
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::task::yield_now().await;
                        continue;
                    }
                },
            };
            let cloud = cloud.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(cloud.clone(), request));
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service);
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended early");
                }
            });
        }
    }
}

async fn answer(cloud: Cloud, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Dropped> {
    if request.method() == Method::GET && request.uri().path() == CLOCK_PATH {
        return Ok(clock(&cloud).map(Full::new));
    }
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, LARGEST_BODY).collect().await.map_err(|_| Dropped)?.to_bytes();
    match cloud.handle(Request::from_parts(parts, body)).await {
        Reply::Answer(response) => Ok(response.map(Full::new)),
        Reply::Lost | Reply::Killed => Err(Dropped),
    }
}

/// The clock endpoint: lets a client compute virtual time as `now = epoch + (real - real_epoch_ms) * speed`, all but
/// `speed` in milliseconds.
fn clock(cloud: &Cloud) -> Response<Bytes> {
    let mut terms = serde_json::json!({ "now": cloud.now().0 });
    match cloud.timeline() {
        Timeline::Scaled { real_epoch_ms, epoch, speed } => {
            terms["epoch"] = epoch.0.into();
            terms["speed"] = speed.into();
            terms["real_epoch_ms"] = real_epoch_ms.into();
        }
        Timeline::Tokio { epoch, .. } => terms["epoch"] = epoch.0.into(),
    }
    respond(200, "application/json", Bytes::from(terms.to_string()))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::super::faults::{Fault, FaultPlan, When};
    use super::super::time::Time;
    use super::super::world::World;
    use super::*;

    async fn exchange(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn listening() -> (Cloud, SocketAddr) {
        let timeline = Timeline::Scaled { real_epoch_ms: i64::MAX, epoch: Time(5_000), speed: 60.0 };
        let cloud = Cloud::new(World::new(Time(5_000), 1), timeline);
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.address();
        tokio::spawn(listener.serve(cloud.clone(), std::future::pending()));
        (cloud, address)
    }

    #[tokio::test]
    async fn addresses_other_than_loopback_are_refused() {
        let refused = Listener::bind(([0, 0, 0, 0], 0).into()).await.unwrap_err();
        assert!(matches!(refused, ListenError::NotLoopback(_)));
    }

    #[tokio::test]
    async fn the_clock_endpoint_has_the_timelines_settings() {
        let (_, address) = listening().await;
        let answer =
            exchange(address, "GET /_rehearsal/clock HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        let body = answer.split("\r\n\r\n").nth(1).unwrap();
        let terms: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            terms,
            serde_json::json!({"now": 5_000, "epoch": 5_000, "speed": 60.0, "real_epoch_ms": i64::MAX})
        );
    }

    #[tokio::test]
    async fn an_unsigned_request_is_rejected_and_a_lost_response_closes_the_connection() {
        let (cloud, address) = listening().await;
        let unsigned = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        assert!(exchange(address, unsigned).await.contains("MissingAuthenticationToken"));
        cloud.set_faults(FaultPlan::default().rule(When::index(1), Fault::LoseReply));
        let key = cloud.with_world(super::super::cloud::test_key);
        let signed = &format!(
            "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: AWS4-HMAC-SHA256 \
             Credential={key}/20231114/us-east-1/s3/aws4_request, Signature=0\r\n\r\n"
        );
        assert_eq!(exchange(address, signed).await, "");
        assert!(exchange(address, signed).await.contains("ListAllMyBucketsResult"));
    }
}

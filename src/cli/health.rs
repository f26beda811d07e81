//! `GET /live` and `GET /ready` for a container's health check.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::exit::CliError;

/// Answers a health check: whether the worker lives, and whether it takes work.
pub type Asked = Arc<dyn Fn() -> (bool, bool) + Send + Sync>;

/// Connections at once; a health check needs one.
const CONNECTIONS: usize = 16;
/// A client that has not sent its request by then is cut off.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens the port.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(|error| {
        CliError::unavailable(
            format!("cannot listen on {address}: {error}"),
            "give a free address with --health",
        )
    })
}

/// Answers for as long as the future is polled.
pub async fn serve(listener: TcpListener, asked: Asked) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a health check could not be accepted");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let asked = Arc::clone(&asked);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&request, &asked);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a health check broke off");
            }
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, asked: &Asked) -> Response<Full<Bytes>> {
    let (live, ready) = asked();
    let well = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/live") => Some(live),
        (&Method::GET | &Method::HEAD, "/ready") => Some(live && ready),
        _ => None,
    };
    let (status, text) = match well {
        Some(true) => (StatusCode::OK, "yes\n"),
        Some(false) => (StatusCode::SERVICE_UNAVAILABLE, "no\n"),
        None => (StatusCode::NOT_FOUND, "ask GET /live or GET /ready\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}

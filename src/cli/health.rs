//! The health endpoint of `bakeline work`: `GET /livez` and `GET /readyz`.

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

/// Liveness and readiness of the worker.
#[derive(Clone, Copy, Debug)]
pub struct State {
    pub is_live: bool,
    pub is_ready: bool,
}

/// Reads the state of the worker.
pub type ReadState = Arc<dyn Fn() -> State + Send + Sync>;

/// The maximum number of concurrent connections; a health check needs one.
const MAX_CONNECTIONS: usize = 16;
/// How long a client may take to send its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Binds the address.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(|error| {
        CliError::unavailable(format!("cannot listen on {address}"), "give a free address with `--health`")
            .caused_by(&error)
    })
}

/// Serves requests until the future is dropped.
pub async fn serve(listener: TcpListener, read_state: ReadState) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection of a health check");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let read_state = Arc::clone(&read_state);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&request, &read_state);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a health check ended early");
            }
            drop(permit);
        });
    }
}

fn answer(request: &Request<Incoming>, read_state: &ReadState) -> Response<Full<Bytes>> {
    let State { is_live, is_ready } = read_state();
    let ok = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/livez") => Some(is_live),
        (&Method::GET | &Method::HEAD, "/readyz") => Some(is_live && is_ready),
        _ => None,
    };
    let (status, text) = match ok {
        Some(true) => (StatusCode::OK, "ok\n"),
        Some(false) => (StatusCode::SERVICE_UNAVAILABLE, "not ok\n"),
        None => (StatusCode::NOT_FOUND, "use GET /livez or GET /readyz\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}

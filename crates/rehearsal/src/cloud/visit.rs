//! TCP connections to containers that run in the embedded AWS.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;

use super::super::services::ecs::{Reached, knock};
use super::Cloud;

/// The buffer size in bytes, per direction.
const BUFFER: usize = 16 << 10;

impl Cloud {
    /// Connects to an address inside a VPC. If no task has the address, the connection attempt never completes.
    ///
    /// # Errors
    /// `ConnectionRefused` if nothing listens on the port.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<DuplexStream> {
        match self.knock(to, "/") {
            Reached::Nobody => std::future::pending().await,
            Reached::Refused => Err(io::ErrorKind::ConnectionRefused.into()),
            Reached::Answer { .. } => {
                let (ours, theirs) = tokio::io::duplex(BUFFER);
                let cloud = self.clone();
                tokio::spawn(async move {
                    let serve = service_fn(move |request| {
                        std::future::ready(Ok::<_, Infallible>(cloud.serve(to, &request)))
                    });
                    // A client that only opens a connection and closes it is not an error.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(theirs), serve).await;
                });
                Ok(ours)
            }
        }
    }

    fn knock(&self, to: SocketAddr, path: &str) -> Reached {
        self.with_world(|world| knock(world, &to.ip().to_string(), to.port(), path))
    }

    fn serve(&self, to: SocketAddr, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, body) = match self.knock(to, request.uri().path()) {
            Reached::Answer { status, body } => (status, body),
            // The container stopped after the connection was made.
            Reached::Nobody | Reached::Refused => (503, String::new()),
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response
    }
}

//! TCP connections to a container under test. Rehearsals connect to the embedded AWS instead.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A bidirectional byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// An open connection.
pub type Connection = Box<dyn Stream>;

type Connect = dyn Fn(SocketAddr) -> BoxFuture<'static, io::Result<Connection>> + Send + Sync;

/// Opens TCP connections, over the real network or through a function that replaces it.
#[derive(Clone)]
pub struct Network(Arc<Connect>);

impl Network {
    /// The real network.
    #[must_use]
    pub fn direct() -> Self {
        Self::with_connector(|to| {
            Box::pin(async move {
                let stream = TcpStream::connect(to).await?;
                Ok(Box::new(stream) as Connection)
            })
        })
    }

    /// A network that opens connections with `connect`.
    pub fn with_connector(
        connect: impl Fn(SocketAddr) -> BoxFuture<'static, io::Result<Connection>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(connect))
    }

    /// Connects to an address. It has no timeout of its own: the caller limits it.
    ///
    /// # Errors
    /// The address refuses the connection or cannot be reached.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<Connection> {
        (self.0)(to).await
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

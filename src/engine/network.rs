//! How the product reaches what is no AWS API: the ports of a container under test.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection, whatever it runs over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that was made.
pub type Connection = Box<dyn Stream>;

type Connect = dyn Fn(SocketAddr) -> BoxFuture<'static, io::Result<Connection>> + Send + Sync;

/// Makes connections. A rehearsal's lead into its embedded AWS.
#[derive(Clone)]
pub struct Network(Arc<Connect>);

impl Network {
    /// The machine's own network.
    #[must_use]
    pub fn direct() -> Self {
        Self::through(|to| {
            Box::pin(async move {
                let stream = TcpStream::connect(to).await?;
                Ok(Box::new(stream) as Connection)
            })
        })
    }

    /// A network whose connections are made so.
    pub fn through(
        connect: impl Fn(SocketAddr) -> BoxFuture<'static, io::Result<Connection>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(connect))
    }

    /// Connects. It may take for ever: the caller's clock bounds it.
    ///
    /// # Errors
    /// Nothing takes the connection.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<Connection> {
        (self.0)(to).await
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

//! Questions to the ports of a task, at its private address.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use http::Uri;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::judge::Seen;
use crate::engine::network::Connection;
use crate::spec::Check;
use crate::spec::test::kinds::Http;
use crate::stage::Cx;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of a body that are looked at.
const BODY_BYTES: usize = 256 << 10;

/// Asks once. A question never fails: what comes back is the answer.
pub async fn ask(cx: &Cx, address: IpAddr, check: &Check) -> Seen {
    let question = Box::pin(async {
        match (&check.http, &check.tcp) {
            (Some(http), _) => get(cx, address, http).await,
            (None, Some(tcp)) => match cx.network.connect(SocketAddr::new(address, tcp.port)).await {
                Ok(_) => Seen::Good,
                Err(_) => Seen::Refused,
            },
            // The rules of the spec let no other check in.
            (None, None) => Seen::Unread,
        }
    });
    match select(question, Box::pin(cx.clock.sleep(PATIENCE))).await {
        Either::Left((seen, _)) => seen,
        Either::Right(_) => Seen::Silent,
    }
}

async fn get(cx: &Cx, address: IpAddr, http: &Http) -> Seen {
    let Ok(url) = http.url.parse::<Uri>() else { return Seen::Unread };
    let to = SocketAddr::new(address, url.port_u16().unwrap_or(80));
    let Ok(connection) = cx.network.connect(to).await else { return Seen::Refused };
    match exchange(connection, &url).await {
        Ok((status, _)) if status != http.status => Seen::Status(status),
        Ok((_, body)) => {
            let holds = |text: &String| body.windows(text.len()).any(|part| part == text.as_bytes());
            if http.contains.as_ref().is_none_or(holds) { Seen::Good } else { Seen::Lacks }
        }
        Err(_) => Seen::Unread,
    }
}

/// The status and the body of the answer, as far as it is looked at.
async fn exchange(
    connection: Connection,
    url: &Uri,
) -> Result<(u16, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, driver) = http1::handshake(TokioIo::new(connection)).await?;
    let path = url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let request = http::Request::get(path)
        .header(HOST, url.authority().map_or("localhost", http::uri::Authority::as_str))
        .header(USER_AGENT, "bakeline")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let answer = Box::pin(async move {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_BYTES).collect().await;
        // Of a longer body nothing is known but the status.
        Ok((status, body.map(http_body_util::Collected::to_bytes).unwrap_or_default()))
    });
    match select(answer, Box::pin(driver)).await {
        Either::Left((answered, _)) => answered,
        // The connection was closed after the answer had been read from it.
        Either::Right((_, answer)) => answer.await,
    }
}

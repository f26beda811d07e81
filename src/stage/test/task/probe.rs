//! Requests to the ports of a task, at its private address.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use http::Uri;
use http::header::{CONNECTION, HOST, USER_AGENT};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::super::state::task::ProbeAnswer;
use crate::engine::network::Connection;
use crate::spec::Check;
use crate::spec::test::kinds::Http;
use crate::stage::Cx;

/// The timeout of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Max bytes of a body. A longer body counts as empty.
const BODY_BYTES: usize = 256 << 10;

/// Sends one request. It never fails: every result is an answer.
pub async fn request(cx: &Cx, address: IpAddr, check: &Check) -> ProbeAnswer {
    let request = Box::pin(async {
        match (&check.http, &check.tcp) {
            (Some(http), _) => get(cx, address, http).await,
            (None, Some(tcp)) => match cx.network.connect(SocketAddr::new(address, tcp.port)).await {
                Ok(_) => ProbeAnswer::Expected,
                Err(_) => ProbeAnswer::Refused,
            },
            // The spec allows no other kind of check.
            (None, None) => ProbeAnswer::NotHttp,
        }
    });
    match select(request, Box::pin(cx.clock.sleep(REQUEST_TIMEOUT))).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => ProbeAnswer::Timeout,
    }
}

async fn get(cx: &Cx, address: IpAddr, http: &Http) -> ProbeAnswer {
    let Ok(url) = http.url.parse::<Uri>() else { return ProbeAnswer::NotHttp };
    let to = SocketAddr::new(address, url.port_u16().unwrap_or(80));
    let Ok(connection) = cx.network.connect(to).await else { return ProbeAnswer::Refused };
    match exchange(connection, &url).await {
        Ok((status, _)) if status != http.status => ProbeAnswer::Status(status),
        Ok((_, body)) => {
            let contains = |text: &String| body.windows(text.len()).any(|part| part == text.as_bytes());
            if http.contains.as_ref().is_none_or(contains) {
                ProbeAnswer::Expected
            } else {
                ProbeAnswer::TextMissing
            }
        }
        Err(_) => ProbeAnswer::NotHttp,
    }
}

/// Sends the request; returns the status and the body of the response.
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
        Ok((status, body.map(http_body_util::Collected::to_bytes).unwrap_or_default()))
    });
    match select(answer, Box::pin(driver)).await {
        Either::Left((response, _)) => response,
        // The connection was closed after the response was read.
        Either::Right((_, answer)) => answer.await,
    }
}

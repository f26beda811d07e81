//! An HTTP connector for the AWS SDKs that needs no sockets.

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt as _;

use super::{Cloud, Reply};

#[derive(Clone, Debug)]
struct Connector(Cloud);

pub(super) fn client(cloud: Cloud) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Connector(cloud));
    http_client_fn(move |_, _| connector.clone())
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let cloud = self.0.clone();
        HttpConnectorFuture::new(async move { answer(&cloud, request).await })
    }
}

async fn answer(cloud: &Cloud, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let request = request.try_into_http1x().map_err(|e| ConnectorError::user(e.into()))?;
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(ConnectorError::io)?.to_bytes();
    match cloud.handle(http::Request::from_parts(parts, body)).await {
        Reply::Answer(response) => response
            .map(SdkBody::from)
            .try_into()
            .map_err(|e: aws_smithy_runtime_api::http::HttpError| ConnectorError::other(e.into(), None)),
        Reply::Lost => Err(ConnectorError::io("connection reset by peer before the response arrived".into())),
        Reply::Killed => std::future::pending().await,
    }
}

//! One call: a route, its parameters, a body, an answer.

use std::time::Duration;

use api::v1::watch::{LAST_EVENT_ID, MEDIA_TYPE};
use api::{Problem, Route};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::connect::Server;
use crate::{Client, Error};

/// What requests carry.
pub(crate) type Body = Full<Bytes>;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Far above any list netmaster can give; a broken server must not fill our memory.
const ANSWER_LIMIT: usize = 256 << 20;

/// What goes with a call besides its route.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extra<'a> {
    /// Values of the path's parameters.
    pub parameters: &'a [(&'a str, &'a str)],
    /// The query; values need no escaping.
    pub query: &'a [(&'a str, &'a str)],
    /// Only if the object is at this version.
    pub if_match: Option<&'a str>,
    /// Where a watch goes on.
    pub last_event_id: Option<&'a str>,
}

impl Client {
    /// Calls a route.
    pub(crate) async fn call<B: Serialize, R: DeserializeOwned>(
        &self,
        route: &Route,
        extra: Extra<'_>,
        body: Option<&B>,
    ) -> Result<R, Error> {
        self.call_within(route, ANSWER_TIMEOUT, extra, body).await
    }

    /// Calls a route that may take so long.
    pub(crate) async fn call_within<B: Serialize, R: DeserializeOwned>(
        &self,
        route: &Route,
        patience: Duration,
        extra: Extra<'_>,
        body: Option<&B>,
    ) -> Result<R, Error> {
        let (server, bytes, status) = self.exchange(route, patience, extra, body).await?;
        // A deletion has no content, which reads as null.
        let json = if bytes.is_empty() { &b"null"[..] } else { &bytes };
        serde_json::from_slice(json).map_err(|e| strange(&server, status, &e))
    }

    async fn exchange<B: Serialize>(
        &self,
        route: &Route,
        patience: Duration,
        extra: Extra<'_>,
        body: Option<&B>,
    ) -> Result<(Server, Bytes, StatusCode), Error> {
        let (server, mut sender) = self.connect().await?;
        let request = self.request(&server, route, extra, body)?;
        let no_answer = |reason: String| Error::NoAnswer { server: server.authority.clone(), reason };
        let answer = async {
            let response: Response<Incoming> =
                sender.send_request(request).await.map_err(|e| e.to_string())?;
            let (head, body) = response.into_parts();
            let bytes =
                Limited::new(body, ANSWER_LIMIT).collect().await.map_err(|e| e.to_string())?.to_bytes();
            Ok((head.status, bytes))
        };
        let answer = tokio::time::timeout(patience, answer).await;
        let answer = answer.map_err(|_| no_answer(format!("none within {} s", patience.as_secs())))?;
        let (status, bytes) = answer.map_err(no_answer)?;
        if status.is_success() {
            return Ok((server, bytes, status));
        }
        Err(problem(&server, status, &bytes))
    }

    /// Calls a route whose answer has no end.
    pub(crate) async fn stream(&self, route: &Route, extra: Extra<'_>) -> Result<Incoming, Error> {
        let (server, mut sender) = self.connect().await?;
        let request = self.request::<()>(&server, route, extra, None)?;
        let no_answer = |reason: String| Error::NoAnswer { server: server.authority.clone(), reason };
        let late = |_| no_answer(format!("none within {} s", ANSWER_TIMEOUT.as_secs()));
        let response = tokio::time::timeout(ANSWER_TIMEOUT, sender.send_request(request)).await;
        let response = response.map_err(late)?.map_err(|e| no_answer(e.to_string()))?;
        let (head, body) = response.into_parts();
        if head.status.is_success() {
            return Ok(body);
        }
        let bytes = tokio::time::timeout(ANSWER_TIMEOUT, Limited::new(body, ANSWER_LIMIT).collect()).await;
        let bytes = bytes.map_err(late)?.map_err(|e| no_answer(e.to_string()))?.to_bytes();
        Err(problem(&server, head.status, &bytes))
    }

    fn request<B: Serialize>(
        &self,
        server: &Server,
        route: &Route,
        extra: Extra<'_>,
        body: Option<&B>,
    ) -> Result<Request<Body>, Error> {
        let unfit = |reason: String| Error::Setting { what: "request", value: route.path.to_owned(), reason };
        // Names need no escaping; anything else would be another path.
        let is_name =
            |v: &str| !v.is_empty() && v.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        let wrong = |(what, v): &&(&str, &str)| {
            route.parameters().any(|p| p == *what) && (!is_name(v) || v.contains(".."))
        };
        if let Some((what, value)) = extra.parameters.iter().find(wrong) {
            return Err(Error::Setting {
                what: "name",
                value: (*value).to_owned(),
                reason: format!("is no {what}"),
            });
        }
        let mut uri = route.path_with(extra.parameters);
        for (n, (name, value)) in extra.query.iter().enumerate() {
            uri.push_str(&format!("{}{name}={value}", if n == 0 { '?' } else { '&' }));
        }
        let mut request = Request::builder().method(route.method.as_str()).uri(uri);
        let accept = if extra.last_event_id.is_some() { MEDIA_TYPE } else { "application/json" };
        request = request.header(header::HOST, &server.authority).header(header::ACCEPT, accept);
        request = request.header(header::USER_AGENT, concat!("selvage-client/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            let mut value =
                header::HeaderValue::try_from(token.header()).map_err(|e| unfit(e.to_string()))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        if let Some(version) = extra.if_match {
            request = request.header(header::IF_MATCH, format!("\"{version}\""));
        }
        if let Some(place) = extra.last_event_id {
            request = request.header(LAST_EVENT_ID, place);
        }
        let json = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                serde_json::to_vec(body).map_err(|e| unfit(e.to_string()))?
            }
            None => Vec::new(),
        };
        request.body(Full::new(Bytes::from(json))).map_err(|e| unfit(e.to_string()))
    }
}

fn problem(server: &Server, status: StatusCode, bytes: &[u8]) -> Error {
    match serde_json::from_slice::<Problem>(bytes) {
        Ok(problem) => Error::Refused(Box::new(problem)),
        Err(e) => strange(server, status, &e),
    }
}

fn strange(server: &Server, status: StatusCode, reason: &serde_json::Error) -> Error {
    Error::Strange { server: server.authority.clone(), status: status.as_u16(), reason: reason.to_string() }
}

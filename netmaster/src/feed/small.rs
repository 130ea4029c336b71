//! Calls are small: a caller who sends more is refused before it is known who it is.
//!
//! gRPC reads the whole of a call's message and only then asks the service, which looks at the certificate: without a
//! limit, whoever reaches the port makes us keep four megabytes for each of the calls a connection may have open. A
//! session is read message by message, after its certificate was looked at; its limit is that of one message.

use std::task::{Context, Poll};

use http::Request;
use http_body_util::Limited;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

/// Bytes of a call: a certificate request is below one kilobyte, names are shorter.
const MAX_CALL: usize = 16 * 1024;

/// The one call that goes on: gRPC's path is `/SERVICE/METHOD`.
const SESSION: &str = "/Session";

/// A service whose calls have small messages.
#[derive(Clone, Debug)]
pub(super) struct Small<S>(pub S);

impl<S: NamedService> NamedService for Small<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Small<S>
where
    S: Service<Request<Body>> + NamedService,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        if request.uri().path().ends_with(SESSION) {
            return self.0.call(request);
        }
        self.0.call(request.map(|body| Body::new(Limited::new(body, MAX_CALL))))
    }
}

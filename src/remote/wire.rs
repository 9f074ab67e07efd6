//! Sending the requests of some work, which can be ended.

use super::http::{Answer, Body, Http, HttpError, Request};
use super::stop::Stop;

/// Connections for the requests of some work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire<'a> {
    pub(super) http: &'a Http,
    pub(super) stop: &'a Stop,
}

impl Wire<'_> {
    /// Sends a request, unless the work has ended.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub(crate) fn send(&self, request: &Request<'_>, body: Body<'_>) -> Result<Answer, HttpError> {
        self.http.send(request, body, self.stop)
    }
}

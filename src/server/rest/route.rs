//! What a route is: where it is, who may use it, what it takes, what it answers, and what it does.

use std::sync::Arc;

use crate::{auth::Permission, domain::DocumentId, server::Shared};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::{Ask, answer::Answer};

/// One method of one address. It is described by what it is made of: `/openapi.json` says nothing else.
pub(in crate::server) struct Route {
    pub(in crate::server) method: Method,
    /// With `{id}` where the id of a document stands.
    pub(in crate::server) path: &'static str,
    /// A line about it.
    pub(in crate::server) does: &'static str,
    pub(in crate::server) needs: Needs,
    pub(in crate::server) takes: Vec<Parameter>,
    /// What has to be sent, in each form that it may have.
    pub(in crate::server) body: Vec<(&'static str, Describe)>,
    /// How many bytes that may have.
    pub(in crate::server) longest: Longest,
    /// What comes back when it works.
    pub(in crate::server) gives: Vec<Reply>,
    /// What it may be refused with, besides [`Self::refusals`].
    pub(in crate::server) fails: &'static [u16],
    pub(in crate::server) run: Run,
}

/// How something looks as JSON.
pub(in crate::server) type Describe = fn(&mut SchemaGenerator) -> Schema;

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Needs {
    /// Whoever comes.
    Nothing,
    /// Whoever has a good token.
    Token,
    /// Whoever may do this with the document that is in the path.
    On(Permission),
    /// Whoever may do this with the document that is in the body; what the route does asks for it.
    OnTold(Permission),
    /// Whoever may do this with everything.
    Everywhere(Permission),
}

/// What a route does.
#[derive(Clone, Copy)]
pub(in crate::server) enum Run {
    /// It answers everybody.
    Plain(fn(&Arc<Shared>, &HeaderMap) -> BoxFuture<'static, warp::reply::Response>),
    /// It answers who may ask.
    Asked(for<'a> fn(&'a Ask, &'a Bytes) -> BoxFuture<'a, Answer>),
    /// It answers who may ask about a document.
    About(for<'a> fn(&'a Ask, &'a DocumentId, &'a Bytes) -> BoxFuture<'a, Answer>),
    /// It becomes a WebSocket, and has been taken before it comes here.
    Socket,
}

/// How long the body of a request may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Longest {
    /// There is none.
    Nothing,
    /// `limits.message_bytes`.
    Message,
    /// `limits.import_bytes`.
    Import,
}

/// A parameter in the query or in a header.
#[derive(Clone)]
pub(in crate::server) struct Parameter {
    pub(in crate::server) place: &'static str,
    pub(in crate::server) name: &'static str,
    pub(in crate::server) says: &'static str,
    pub(in crate::server) schema: Value,
}

/// An answer that was hoped for.
pub(in crate::server) struct Reply {
    pub(in crate::server) status: u16,
    pub(in crate::server) says: &'static str,
    /// Each form that it may have.
    pub(in crate::server) forms: Vec<(&'static str, Option<Describe>)>,
    pub(in crate::server) headers: &'static [&'static str],
}

impl Route {
    fn new(method: Method, path: &'static str, does: &'static str, needs: Needs, run: Run) -> Self {
        Self {
            method,
            path,
            does,
            needs,
            takes: vec![],
            body: vec![],
            longest: Longest::Nothing,
            gives: vec![],
            fails: &[],
            run,
        }
    }

    pub(super) fn get(path: &'static str, does: &'static str, needs: Needs, run: Run) -> Self {
        Self::new(Method::GET, path, does, needs, run)
    }

    pub(super) fn delete(path: &'static str, does: &'static str, needs: Needs, run: Run) -> Self {
        Self::new(Method::DELETE, path, does, needs, run)
    }

    pub(super) fn post<Body: JsonSchema>(path: &'static str, does: &'static str, needs: Needs, run: Run) -> Self {
        let route = Self::new(Method::POST, path, does, needs, run);
        Self { body: vec![("application/json", describe::<Body>)], longest: Longest::Message, ..route }
    }

    /// Other forms of the body, which is a whole document.
    pub(super) fn or_as(mut self, forms: &[&'static str], looks: Describe) -> Self {
        self.body.extend(forms.iter().map(|form| (*form, looks)));
        Self { longest: Longest::Import, ..self }
    }

    /// Parameters.
    pub(super) fn takes(mut self, parameters: impl IntoIterator<Item = Parameter>) -> Self {
        self.takes.extend(parameters);
        self
    }

    /// JSON as an answer.
    pub(super) fn gives<T: JsonSchema>(self, status: u16, says: &'static str) -> Self {
        self.gives_as(status, says, "application/json", Some(describe::<T>))
    }

    /// An answer of any kind; of the same status again, another form of it.
    pub(super) fn gives_as(
        mut self,
        status: u16,
        says: &'static str,
        form: &'static str,
        as_: Option<Describe>,
    ) -> Self {
        match self.gives.iter_mut().find(|reply| reply.status == status) {
            Some(reply) => reply.forms.push((form, as_)),
            None => self.gives.push(Reply { status, says, forms: vec![(form, as_)], headers: &[] }),
        }
        self
    }

    /// An answer without a body.
    pub(super) fn gives_nothing(mut self, status: u16, says: &'static str) -> Self {
        self.gives.push(Reply { status, says, forms: vec![], headers: &[] });
        self
    }

    /// Headers of the answer that was told last.
    pub(super) fn with_headers(mut self, headers: &'static [&'static str]) -> Self {
        if let Some(reply) = self.gives.last_mut() {
            reply.headers = headers;
        }
        self
    }

    /// What it may be refused with, besides what every route of its kind may be.
    pub(super) const fn fails(mut self, with: &'static [u16]) -> Self {
        self.fails = with;
        self
    }

    /// Every problem that it may be answered with.
    pub(in crate::server) fn refusals(&self) -> Vec<u16> {
        let of_kind: &[u16] = match self.run {
            Run::Plain(_) | Run::Socket => &[421],
            Run::Asked(_) => &[400, 401, 403, 408, 413, 421, 429, 500, 503],
            Run::About(_) => &[400, 401, 403, 404, 408, 410, 413, 421, 429, 500, 503],
        };
        let of_body: &[u16] = if self.body.is_empty() { &[] } else { &[415, 422] };
        let mut all = [of_kind, of_body, self.fails].concat();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The parameters that its query may have.
    pub(in crate::server) fn query_parameters(&self) -> Vec<&'static str> {
        let own = self.takes.iter().filter(|it| it.place == "query").map(|it| it.name);
        let of_asker: &[&str] = match self.run {
            Run::Asked(_) | Run::About(_) => &["token", "user_id"],
            Run::Plain(_) | Run::Socket => &[],
        };
        own.chain(of_asker.iter().copied()).collect()
    }

    /// What stands in the place of the parameter of the path, if this is the address of this route: `""` if there is
    /// none.
    pub(in crate::server) fn at<'a>(&self, address: &'a str) -> Option<&'a str> {
        let (mut ours, mut theirs) = (self.path.split('/'), address.trim_end_matches('/').split('/'));
        let mut found = "";
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return Some(found),
                (Some(name), Some(segment)) if name.starts_with('{') => found = segment,
                (Some(name), Some(segment)) if name == segment => (),
                _ => return None,
            }
        }
    }
}

/// How a type looks as JSON.
pub(in crate::server) fn describe<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A parameter of the query.
pub(super) const fn query(name: &'static str, says: &'static str, schema: Value) -> Parameter {
    Parameter { place: "query", name, says, schema }
}

/// A header.
pub(super) const fn header(name: &'static str, says: &'static str, schema: Value) -> Parameter {
    Parameter { place: "header", name, says, schema }
}

/// The length of a page.
pub(super) fn limit(default: u64, most: u64) -> Parameter {
    let schema = json!({"type": "integer", "minimum": 1, "maximum": most, "default": default});
    query("limit", "So many at most.", schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_by_its_segments() {
        let at = |path, address| Route::get(path, "", Needs::Nothing, Run::Socket).at(address).map(str::to_owned);
        assert_eq!(at("/v1/documents/{id}/events", "/v1/documents/a%2Fb/events"), Some("a%2Fb".to_owned()));
        assert_eq!(at("/v1/documents/{id}/events", "/v1/documents/a/events/"), Some("a".to_owned()));
        assert_eq!(at("/v1/documents/{id}/events", "/v1/documents//events"), Some(String::new()));
        assert_eq!(at("/v1/documents", "/v1/documents/"), Some(String::new()));
        for other in ["/v1/documents/a", "/v1/documents/a/events/1", "/v1/documents/a/b/events", "/", ""] {
            assert_eq!(at("/v1/documents/{id}/events", other), None, "{other}");
        }
    }
}

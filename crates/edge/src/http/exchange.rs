//! One request: whose name it is for, whether it may come in, who serves it, and what goes back.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::body::{Answer, Question};
use super::connection::{Came, Upgraded};
use super::frame::{BadRequest, TARGET_BYTES};
use super::load::Loads;
use super::stall;
use super::stay::Stay;
use super::upstream::{Said, Through, Unsaid, Way};
use super::worker::Worker;
use crate::error_page::{self, Cause};
use crate::header::{self, Told};
use crate::host;
use crate::route::{Balance, Route};
use crate::visitor::Endpoint;

/// Under this path certificates are proved (RFC 8555 section 8.3); it is never a tenant's (security rule G64).
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// Answers one request.
///
/// # Cancel safety
/// Dropping the future ends what the request began.
pub(crate) async fn exchange(
    worker: Arc<Worker>,
    came: Arc<Came>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let (head, body) = request.into_parts();
    let began = came.line.as_ref().map_or(Ok(()), |line| line.begin());
    let mut stay = Box::new(Stay::new(
        Arc::clone(&worker.core),
        Arc::clone(&came),
        &head,
    ));
    let is_http2 = head.version >= Version::HTTP_2;
    let is_head = head.method == Method::HEAD;
    let wishes_html = error_page::wishes_html(&head.headers);
    let asks_protocol = head.headers.contains_key(UPGRADE) && body.is_end_stream();
    let found = match began {
        Err(bad) => Err(Cause::Bad(bad)),
        Ok(()) => lead(&worker, &came, &mut stay, head, body).await,
    };
    let is_granted =
        matches!(&found, Ok((response, _)) if response.status() == StatusCode::SWITCHING_PROTOCOLS);
    let response = match found {
        Ok((response, _)) if is_granted => switch(&came, stay, response).await,
        Ok((response, place)) => {
            let (mut head, body) = response.into_parts();
            header::to_visitor(&mut head.headers, &stay.host);
            head.version = Version::default();
            stay.answers(head.status);
            Response::from_parts(head, Answer::upstream(body, place, stay))
        }
        Err(cause) => {
            let page = error_page::page(&cause, wishes_html, is_http2);
            stay.refused(cause);
            if is_head {
                without_body(page).map(|()| Answer::head(stay))
            } else {
                page.map(|text| Answer::page(text, stay))
            }
        }
    };
    // From here on it is the visitor who is waited for.
    stall::waits_for_visitor();
    if asks_protocol && let Some(line) = &came.line {
        line.decide(response.status() == StatusCode::SWITCHING_PROTOCOLS);
    }
    Ok(response)
}

/// The head of a page alone, which says how long it would be.
fn without_body(mut page: Response<String>) -> Response<()> {
    let length = HeaderValue::from(page.body().len());
    page.headers_mut().insert(CONTENT_LENGTH, length);
    page.map(drop)
}

async fn lead(
    worker: &Arc<Worker>,
    came: &Came,
    stay: &mut Stay,
    head: http::request::Parts,
    body: Incoming,
) -> Result<Said, Cause> {
    let core = &worker.core;
    if head.method == Method::CONNECT {
        return Err(Cause::Bad(BadRequest::Connect));
    }
    has_one_reading(&head).map_err(Cause::Bad)?;
    stay.host = host::host(head.version, &head.uri, &head.headers).map_err(Cause::Host)?;
    let peer = came.peer.ip().unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    let visitor = header::visitor(&head.headers, peer, &core.settings.trusted);
    stay.visitor = Some(visitor);
    if head.uri.path().starts_with(CHALLENGES) {
        return Err(Cause::Reserved);
    }
    let routes = Arc::clone(&core.routes.borrow());
    let route = routes.find(&stay.host).ok_or(Cause::NoRoute)?;
    if let Some(name) = &came.server_name
        && *name != stay.host
        && !routes
            .find(name)
            .is_some_and(|other| is_alike(other, route))
    {
        return Err(Cause::Misdirected);
    }
    let origin = origin(came.peer, visitor);
    if !route.access.admits(origin) {
        return Err(Cause::Denied);
    }
    let request = prepare(worker, came, stay, route, head, body, peer)?;
    let is_shared = request.version() == Version::HTTP_2;
    let asks_protocol = request.headers().contains_key(UPGRADE);
    let way = |holding| Way {
        tenant: route.tenant,
        holding,
        origin,
        came,
    };
    let mut request = Some(request);
    let mut why = Cause::NoRoute;
    for holding in worker.order(&route.upstream) {
        let Some(asked) = request.take() else {
            break;
        };
        let load = (route.upstream.balance == Balance::LeastStreams)
            .then(|| Loads::carry(&core.loads, holding));
        let said: Result<Said, Unsaid> = if is_shared {
            worker.upstreams.ask_shared(way(holding), asked).await
        } else {
            worker.upstreams.ask(way(holding), asked).await
        };
        match said {
            Ok((response, _))
                if response.status() == StatusCode::SWITCHING_PROTOCOLS && !asks_protocol =>
            {
                return Err(Cause::Unasked);
            }
            Ok(said) => {
                stay.load = load;
                return Ok(said);
            }
            // Another member may be asked as long as this one has seen nothing of it.
            Err((unsent, cause)) => {
                request = unsent;
                why = cause;
            }
        }
    }
    Err(why)
}

/// What frames a request in HTTP/1.1 is judged before it is read (module `frame`); the same holds for the others.
fn has_one_reading(head: &http::request::Parts) -> Result<(), BadRequest> {
    // A host alone is what CONNECT asks for (RFC 9112 section 3.2.3).
    if head.uri.scheme().is_none() && head.uri.authority().is_some() {
        return Err(BadRequest::Malformed);
    }
    if head.headers.get_all(CONTENT_LENGTH).iter().count() > 1 {
        return Err(BadRequest::Length);
    }
    let target = head.uri.path_and_query().map_or(0, |it| it.as_str().len());
    if target > TARGET_BYTES {
        return Err(BadRequest::LongTarget);
    }
    Ok(())
}

/// Whether two names are one tenant's and under one rule, so that a connection for the one may carry requests for
/// the other (RFC 9113 section 9.1.1; security rule G66).
fn is_alike(one: &Route, other: &Route) -> bool {
    one.tenant.is_some() && one.tenant == other.tenant && one.access == other.access
}

/// Where the visitor comes from, as a target may know.
fn origin(peer: Endpoint, visitor: IpAddr) -> Endpoint {
    match peer {
        Endpoint::Tcp(address) if address.ip() == visitor => peer,
        // The port is the proxy's.
        Endpoint::Tcp(_) => Endpoint::Tcp(SocketAddr::new(visitor, 0)),
        Endpoint::Unix => peer,
    }
}

/// The request as the upstream sees it.
fn prepare(
    worker: &Worker,
    came: &Came,
    stay: &Stay,
    route: &Route,
    mut head: http::request::Parts,
    body: Incoming,
    peer: IpAddr,
) -> Result<Request<Question>, Cause> {
    let settings = &worker.core.settings;
    // Only HTTP/2 has all that it needs, on both sides.
    let is_shared = head.version == Version::HTTP_2 && header::is_grpc(&head.headers);
    let body = Question::new(body, is_shared, settings.stall_time, Arc::clone(&stay.sent));
    let protocol = wanted_protocol(route, &head, body.is_empty())?;
    let told = Told {
        host: &stay.host,
        is_secure: came.is_secure,
        trusted: &settings.trusted,
        peer,
    };
    header::to_upstream(&mut head.headers, &told).map_err(Cause::Connection)?;
    if let Some(protocol) = protocol {
        head.headers
            .insert(CONNECTION, HeaderValue::from_static("upgrade"));
        head.headers.insert(UPGRADE, protocol);
    }
    if is_shared {
        // It tells a server that nobody on the way drops what stands behind a body.
        head.headers
            .insert(TE, HeaderValue::from_static("trailers"));
    } else if !body.is_empty() && body.size_hint().exact().is_none() {
        // hyper drops such a body of GET and HEAD where it is not said.
        head.headers
            .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = target(&head.uri, &stay.host, is_shared)?;
    *request.headers_mut() = head.headers;
    if is_shared {
        *request.version_mut() = Version::HTTP_2;
    }
    Ok(request)
}

/// The protocol that a visitor asks for instead, if it may.
fn wanted_protocol(
    route: &Route,
    head: &http::request::Parts,
    has_no_body: bool,
) -> Result<Option<HeaderValue>, Cause> {
    let Some(wanted) = head.headers.get(UPGRADE) else {
        return Ok(None);
    };
    let is_websocket = header::is_websocket(head.version, &head.headers);
    if is_websocket && !has_no_body {
        return Err(Cause::Protocol);
    }
    let is_any = route.any_upgrade
        && has_no_body
        && header::lists_upgrade(&head.headers)
        && head.version == Version::HTTP_11
        && !wanted
            .as_bytes()
            .get(..2)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"h2"));
    // What is not granted is not told, and the request goes on without (RFC 9110 section 7.8).
    Ok((is_websocket || is_any).then(|| wanted.clone()))
}

/// The target without scheme and host, byte for byte. HTTP/2 needs them.
fn target(uri: &Uri, host: &str, is_shared: bool) -> Result<Uri, Cause> {
    let path = uri.path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    if !is_shared {
        return Ok(Uri::from(path));
    }
    let whole = Uri::builder()
        .scheme("http")
        .authority(host)
        .path_and_query(path);
    whole.build().map_err(|_| Cause::Bad(BadRequest::Malformed))
}

/// Another protocol begins: both ends are handed to whoever copies.
async fn switch(
    came: &Came,
    mut stay: Box<Stay>,
    mut response: Response<Incoming>,
) -> Response<Answer> {
    let upgraded = hyper::upgrade::on(&mut response).await;
    let through = upgraded
        .ok()
        .and_then(|upgraded| upgraded.downcast::<TokioIo<Through>>().ok());
    let Some(through) = through else {
        let page = error_page::page(&Cause::Protocol, false, false);
        stay.refused(Cause::Protocol);
        return page.map(|text| Answer::page(text, stay));
    };
    let (mut head, _) = response.into_parts();
    let protocol = head.headers.get(UPGRADE).cloned();
    header::to_visitor(&mut head.headers, &stay.host);
    head.headers
        .insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        head.headers.insert(UPGRADE, protocol);
    }
    stay.answers(StatusCode::SWITCHING_PROTOCOLS);
    came.switch(Upgraded {
        carrier: through.io.into_inner().0,
        ahead: through.read_buf,
        stay,
    });
    Response::from_parts(head, Answer::empty())
}

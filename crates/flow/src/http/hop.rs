//! One request of several that redirects make.

use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
};

use super::body::{self, Body};
use super::error::{AskError, RedirectError};
use super::header;
use super::request::Request;
use super::url::Url;

/// What is asked now.
pub(super) struct Hop {
    method: reqwest::Method,
    pub(super) url: Url,
    headers: HeaderMap,
    body: Body,
    /// Whether the body was a stream, which has been sent.
    is_spent: bool,
}

impl Hop {
    pub(super) fn new(request: &Request) -> Result<Self, AskError> {
        let method = reqwest::Method::from_bytes(request.method.as_str().as_bytes());
        // Each method of the model is one of the library's.
        let method = method.unwrap_or_default();
        let refused = |reason| AskError::Request {
            asked: format!("{} {}", request.method.as_str(), request.url),
            reason,
        };
        let url = request.url.clone().with_params(&request.params);
        let url = url.map_err(refused)?;
        let mut headers = header::map(&request.headers).map_err(refused)?;
        if let Some(login) = url.login()
            && !headers.contains_key(AUTHORIZATION)
            && let Ok(mut login) = HeaderValue::from_str(login)
        {
            login.set_sensitive(true);
            headers.insert(AUTHORIZATION, login);
        }
        let body = body::write(request.body.as_ref(), &mut headers).map_err(refused)?;
        Ok(Self {
            method,
            url,
            headers,
            body,
            is_spent: false,
        })
    }

    /// The method and the URL.
    pub(super) fn asked(&self) -> String {
        format!("{} {}", self.method, self.url)
    }

    pub(super) fn not_followed(&self, reason: RedirectError) -> AskError {
        let asked = self.asked();
        AskError::Redirect { asked, reason }
    }

    /// What is sent. A body that is a stream goes with it.
    pub(super) fn request(&mut self) -> reqwest::Request {
        let url = self.url.as_sent().clone();
        let mut request = reqwest::Request::new(self.method.clone(), url);
        *request.headers_mut() = self.headers.clone();
        match &self.body {
            Body::Empty => {}
            Body::Bytes(bytes) => *request.body_mut() = Some(bytes.clone().into()),
            Body::Stream { .. } => {
                let body = std::mem::replace(&mut self.body, Body::Empty);
                if let Body::Stream { chunks, length } = body {
                    if let Some(length) = length {
                        request.headers_mut().insert(CONTENT_LENGTH, length.into());
                    }
                    *request.body_mut() = Some(reqwest::Body::wrap_stream(chunks));
                }
                self.is_spent = true;
            }
        }
        request
    }

    /// Becomes what a redirect asks for, if the answer is one.
    pub(super) fn follow(&mut self, response: &reqwest::Response) -> Result<bool, AskError> {
        let status = response.status().as_u16();
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return Ok(false);
        }
        let Some(location) = response.headers().get(LOCATION) else {
            return Ok(false);
        };
        // Some servers send it in UTF-8 as it is.
        let location = String::from_utf8_lossy(location.as_bytes());
        let next = self.url.redirected(&location);
        let next = next.map_err(|error| self.not_followed(RedirectError::Location(error)))?;
        if self.url.is_https() && !next.is_https() {
            return Err(self.not_followed(RedirectError::Downgrade));
        }
        let is_read = matches!(self.method, reqwest::Method::GET | reqwest::Method::HEAD);
        let is_post = self.method == reqwest::Method::POST;
        if (status == 303 && !is_read) || (matches!(status, 301 | 302) && is_post) {
            self.method = reqwest::Method::GET;
            self.body = Body::Empty;
            self.is_spent = false;
            self.headers.remove(CONTENT_TYPE);
            self.headers.remove(CONTENT_ENCODING);
        }
        if self.is_spent {
            return Err(self.not_followed(RedirectError::Body));
        }
        if !next.is_origin_of(&self.url) {
            header::strip_for_another_origin(&mut self.headers);
        }
        self.url = next;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::method::Method;

    fn redirected(from: &str, location: &str) -> Result<Hop, AskError> {
        let url = Url::endpoint(from).unwrap();
        let mut request = Request::new(Method::Get, url);
        request.headers = vec![("Authorization".to_owned(), "Bearer hush".into())];
        let mut hop = Hop::new(&request)?;
        let response = axum::http::Response::builder();
        let response = response.status(302).header("location", location);
        let followed = hop.follow(&response.body("").unwrap().into())?;
        assert!(followed);
        Ok(hop)
    }

    #[test]
    fn a_redirect_may_lead_into_tls_and_not_out_of_it() {
        for (from, to, has_login) in [
            ("http://h/", "https://h/", false),
            ("http://h/", "http://h:80/x", true),
            ("https://h/", "//h:443/x", true),
            ("https://h/", "https://h:444/x", false),
            ("https://h/", "https://other/", false),
            ("https://h/", "https://sub.h/", false),
        ] {
            let hop = redirected(from, to).unwrap();
            assert_eq!(
                hop.headers.contains_key(AUTHORIZATION),
                has_login,
                "{from} {to}"
            );
        }
        let error = redirected("https://h/x?hush", "http://h/x").err().unwrap();
        let text = "GET https://h/x: the redirect is not followed: it leads from https to http";
        assert_eq!(error.to_string(), text);
    }
}

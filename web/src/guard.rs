//! Who may ask: a browser that shows this page, and programs. What each of them may do is not judged here.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// Everything comes from this program; nothing may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// An answer begins within it, or the request is given up: its body does not come.
const ANSWER: Duration = Duration::from_secs(10);

/// The names by which browsers may reach the page. Another site's page can reach the port too, by a name of its own
/// for this address (DNS rebinding) or blindly; it must neither read nor change anything.
#[derive(Clone)]
pub struct Guard {
    /// `Host` as a browser on this machine sends it.
    local: Arc<[String]>,
    /// `Host` as a proxy passes it on.
    proxied: Arc<[String]>,
    /// Where this program speaks TLS itself: the names of its certificate.
    certified: Option<Arc<Certified>>,
}

/// Whether the certificate is for a host of this name.
type Certified = dyn Fn(&str) -> bool + Send + Sync;

/// By which name a request came. Every request that is let in has it as an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// By a name of this machine for itself.
    Local,
    /// By a name of a proxy.
    Proxied,
    /// By a name of the certificate.
    Certified,
}

impl Guard {
    /// Lets browsers on this machine in, which reach the page on `port`.
    pub fn local(port: u16) -> Self {
        Self::behind(port, &[])
    }

    /// Lets in those, and browsers that reach the page through a proxy by one of the names `proxied`.
    pub fn behind(port: u16, proxied: &[String]) -> Self {
        let mut local: Vec<_> =
            ["127.0.0.1", "localhost", "[::1]"].iter().map(|name| format!("{name}:{port}")).collect();
        if port == 80 {
            // Browsers leave the scheme's own port out.
            local.extend(["127.0.0.1", "localhost", "[::1]"].map(String::from));
        }
        let proxied = proxied.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self { local: local.into(), proxied, certified: None }
    }

    /// The same where this program speaks TLS itself, by every name that its certificate is for.
    pub fn certified(mut self, is_named: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.certified = Some(Arc::new(is_named));
        self
    }

    fn door(&self, host: &str) -> Option<Door> {
        if self.local.iter().any(|name| name == host) {
            return Some(Door::Local);
        }
        if self.proxied.iter().any(|name| name == host) {
            return Some(Door::Proxied);
        }
        let is_certified = self.certified.as_ref()?(name_of(host));
        is_certified.then_some(Door::Certified)
    }

    fn judge(&self, method: &Method, headers: &HeaderMap) -> Result<Door, &'static str> {
        let value = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("\0"));
        let host = value(header::HOST).unwrap_or_default().to_ascii_lowercase();
        let Some(door) = self.door(&host) else {
            return Err(
                "this page does not answer by that name, only as 127.0.0.1 and by the names it was given",
            );
        };
        let has_tls = self.certified.is_some();
        let is_own = |origin: &str| {
            let origin = origin.to_ascii_lowercase();
            match origin.split_once("://") {
                Some(("http", from)) => !has_tls && from == host,
                // The proxy may speak TLS where this program does not.
                Some(("https", from)) => (has_tls || door == Door::Proxied) && from == host,
                _ => false,
            }
        };
        // No other site's page can send one without asking first, and is told no.
        let has_token = value(header::AUTHORIZATION)
            .and_then(|sent| sent.split_once(' '))
            .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        match value(header::ORIGIN) {
            Some(origin) if !is_own(origin) => return Err("another site's page may not do this"),
            None if !method.is_safe() && !has_token => {
                return Err(
                    "only the page itself and programs with a token may do this: the request names no \
                            origin and has no token",
                );
            }
            _ => {}
        }
        // Pictures, scripts and frames of other sites name no origin, but browsers say whence they ask. A link that a
        // person follows leads to the page from anywhere.
        let from = value(HeaderName::from_static("sec-fetch-site")).unwrap_or("none");
        let is_link = value(HeaderName::from_static("sec-fetch-mode")) == Some("navigate")
            && value(HeaderName::from_static("sec-fetch-dest")) == Some("document");
        match from {
            "none" | "same-origin" => Ok(door),
            _ if is_link && method.is_safe() => Ok(door),
            _ => Err("another site's page may not ask for this"),
        }
    }
}

/// A host's name or address, without brackets and port.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// Answers what [`Guard`] lets in, and tells the browser to be as careful.
pub async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let mut response = match guard.judge(request.method(), request.headers()) {
        Err(why) => Problem::new(StatusCode::FORBIDDEN, "wrong_host_or_origin", why).into_response(),
        Ok(door) => {
            request.extensions_mut().insert(door);
            match tokio::time::timeout(ANSWER, next.run(request)).await {
                Ok(response) => response,
                Err(_) => Problem::of(StatusCode::REQUEST_TIMEOUT, "the request did not come to its end")
                    .into_response(),
            }
        }
    };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Answers who does not speak TLS where that is spoken. Nobody is sent on to the right address: a token would have gone over
/// the network for everybody to read.
pub async fn without_tls() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "tls_required",
        "this port speaks TLS: write https:// instead of http://. A token that was sent was not protected; revoke it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(guard: &Guard, method: &Method, headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        guard.judge(method, &map).is_ok()
    }

    #[test]
    fn only_the_page_itself_may_change_anything() {
        let guard = Guard::local(8322);
        let allowed = |method: &Method, host: Option<&str>, origin: Option<&str>| {
            let headers: Vec<_> =
                host.map(|h| ("host", h)).into_iter().chain(origin.map(|o| ("origin", o))).collect();
            judged(&guard, method, &headers)
        };
        let (own, here) = (Some("127.0.0.1:8322"), Some("http://127.0.0.1:8322"));
        assert!(allowed(&Method::GET, own, None) && allowed(&Method::PUT, own, here));
        assert!(allowed(&Method::POST, Some("localhost:8322"), Some("http://localhost:8322")));
        assert!(allowed(&Method::GET, Some("[::1]:8322"), None));
        for (host, origin) in [
            (own, None),
            (own, Some("http://evil.example")),
            (own, Some("null")),
            (own, Some("http://127.0.0.1:9000")),
            (own, Some("https://127.0.0.1:8322")),
            // A name that an outsider points at 127.0.0.1.
            (Some("evil.example:8322"), Some("http://evil.example:8322")),
            (None, here),
        ] {
            for method in [Method::PUT, Method::POST, Method::DELETE] {
                assert!(!allowed(&method, host, origin), "{method} {host:?} {origin:?}");
            }
        }
        assert!(!allowed(&Method::GET, Some("evil.example:8322"), None), "nor read patients' pictures");
        assert!(!allowed(&Method::GET, own, Some("http://evil.example")));
        assert!(!allowed(&Method::GET, Some("127.0.0.1"), None), "that is another port's page");
        assert!(judged(&Guard::local(80), &Method::GET, &[("host", "localhost")]));
    }

    #[test]
    fn another_site_may_lead_here_but_not_load_from_here() {
        let guard = Guard::local(8322);
        let get = |site: &str, mode: &str, destination: &str| {
            judged(
                &guard,
                &Method::GET,
                &[
                    ("host", "localhost:8322"),
                    ("sec-fetch-site", site),
                    ("sec-fetch-mode", mode),
                    ("sec-fetch-dest", destination),
                ],
            )
        };
        assert!(get("none", "navigate", "document") && get("same-origin", "cors", "empty"));
        assert!(get("cross-site", "navigate", "document"), "a link");
        assert!(!get("cross-site", "no-cors", "image"), "a picture");
        assert!(!get("cross-site", "navigate", "iframe") && !get("same-site", "no-cors", "image"));
    }

    #[test]
    fn with_tls_the_certificates_names_count_and_http_does_not() {
        let guard = Guard::behind(8321, &[])
            .certified(|name| ["cart7.hospital", "10.0.0.7", "fe80::7"].contains(&name));
        let put =
            |host: &str, origin: &str| judged(&guard, &Method::PUT, &[("host", host), ("origin", origin)]);
        for host in
            ["cart7.hospital:8321", "Cart7.hospital", "10.0.0.7:8321", "[fe80::7]:8321", "127.0.0.1:8321"]
        {
            assert!(put(host, &format!("https://{host}")), "{host}");
            assert!(!put(host, &format!("http://{host}")) && !put(host, "https://evil.example"), "{host}");
        }
        assert!(!put("evil.example:8321", "https://evil.example:8321") && !put("", "https://"));
    }

    #[test]
    fn a_program_with_a_token_names_no_origin() {
        let guard = Guard::local(8321);
        let post = |more: &[(&'static str, &str)]| {
            judged(&guard, &Method::POST, &[&[("host", "127.0.0.1:8321")], more].concat())
        };
        assert!(post(&[("authorization", "Bearer x")]) && !post(&[]));
        assert!(!post(&[("authorization", "Basic x")]), "browsers send that by themselves");
        assert!(!post(&[("authorization", "Bearer x"), ("origin", "http://evil.example")]));
        assert!(!post(&[("authorization", "Bearer x"), ("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn a_proxys_names_count_with_tls_and_without() {
        let guard = Guard::behind(8321, &["Cart7.example.org".into()]);
        let put =
            |host: &str, origin: &str| judged(&guard, &Method::PUT, &[("host", host), ("origin", origin)]);
        assert!(put("cart7.example.org", "https://cart7.example.org"));
        assert!(put("cart7.example.org", "http://cart7.example.org"));
        assert!(put("127.0.0.1:8321", "http://127.0.0.1:8321"));
        assert!(!put("cart7.example.org", "https://evil.example"));
        assert!(!put("cart7.example.org:81", "https://cart7.example.org:81"), "not the name that was given");
        assert!(!put("cart8.example.org", "https://cart8.example.org"));
    }
}

//! Pages that a command serves: on this machine only, and for no other page.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Everything comes from this program; nothing may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Takes `port` on 127.0.0.1; `option` is what the user set it with.
pub fn bind(option: &str, port: u16) -> Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| {
        format!("{option} {port} cannot be used; stop the program that holds it, or give another")
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers only a browser that shows the page on `port`: another site's page could reach the port
/// too, by a name of its own for 127.0.0.1 or blindly.
pub async fn guard(State(port): State<u16>, request: Request, next: Next) -> Response {
    if let Err(why) = allowed(request.method(), request.headers(), port) {
        return (StatusCode::FORBIDDEN, why).into_response();
    }
    let mut response = next.run(request).await;
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn allowed(method: &Method, headers: &HeaderMap, port: u16) -> Result<(), &'static str> {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let hosts = ["127.0.0.1", "localhost"].map(|name| format!("{name}:{port}"));
    let host = value(header::HOST).filter(|host| hosts.iter().any(|known| known == host));
    let host = host.ok_or("this page answers at 127.0.0.1 only")?;
    let own = format!("http://{host}");
    match value(header::ORIGIN) {
        Some(origin) if origin != own => Err("another site's page may not do this"),
        None if !method.is_safe() => Err("only the page itself may do this: the request names no origin"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_itself_may_change_anything() {
        let allowed = |method: &Method, host: Option<&str>, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::HOST, host), (header::ORIGIN, origin)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            allowed(method, &headers, 8322).is_ok()
        };
        let (own, here) = (Some("127.0.0.1:8322"), Some("http://127.0.0.1:8322"));
        assert!(allowed(&Method::GET, own, None) && allowed(&Method::PUT, own, here));
        assert!(allowed(&Method::POST, Some("localhost:8322"), Some("http://localhost:8322")));
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
    }
}

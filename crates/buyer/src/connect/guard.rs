//! Keeps web pages away from an endpoint that spends money.

use axum::{
    extract::Request,
    http::{HeaderMap, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::refusal::Refusal;

/// Lets a request through if it is for this machine by name, and not of another origin.
pub(super) async fn local_only(request: Request, next: Next) -> Response {
    match check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => Refusal::forbidden(why).into_response(),
    }
}

fn check(uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    // A page that rebound its name to 127.0.0.1 still sends that name.
    let host = text(header::HOST).or_else(|| uri.authority().map(|authority| authority.as_str()));
    let host = host.filter(|host| is_loopback(host));
    let host =
        host.ok_or("the Host is not this machine: use http://127.0.0.1 or http://localhost")?;
    if let Some(origin) = headers.get(header::ORIGIN) {
        let same = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        if same != Some(host) {
            return Err("requests from web pages of other origins are refused: this spends money");
        }
    }
    // Sent by browsers even where there is no Origin.
    match headers.get("sec-fetch-site").map(header::HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err("requests from other sites are refused: this spends money"),
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "127.0.0.1" | "[::1]") || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(pairs: &[(&'static str, &str)]) -> bool {
        let headers = pairs
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()));
        check(&Uri::from_static("/v1/models"), &headers.collect()).is_ok()
    }

    #[test]
    fn only_this_machine_by_name_and_no_other_origin() {
        for host in ["127.0.0.1:4021", "localhost:4021", "LOCALHOST", "[::1]:4021", "[::1]"] {
            assert!(verdict(&[("host", host)]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:4021",
            "127.0.0.1.evil.example",
            "localhost.evil",
            "10.0.0.1",
            "",
        ] {
            assert!(!verdict(&[("host", host)]), "{host}");
        }
        assert!(!verdict(&[]), "no host at all");
        let local = ("host", "localhost:4021");
        assert!(verdict(&[local, ("origin", "http://localhost:4021")]));
        for origin in
            ["https://evil.example", "http://localhost:3000", "null", "http://127.0.0.1:4021"]
        {
            assert!(!verdict(&[local, ("origin", origin)]), "{origin}");
        }
        assert!(verdict(&[local, ("sec-fetch-site", "none")]));
        assert!(!verdict(&[local, ("sec-fetch-site", "cross-site")]));
    }
}

//! Who may ask what.

use super::token::{Token, TokenPlace};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What is answered whoever asks, so that probes need no secret.
const OF_PROBES: [&str; 2] = ["/livez", "/readyz"];

/// The token, and what is told without it.
#[derive(Clone, Debug)]
pub struct Access {
    pub token: Token,
    pub place: TokenPlace,
    /// Reading needs no token, records excepted: nobody but this machine gets here.
    pub is_open: bool,
}

impl Access {
    /// Whether a request may be answered as far as reading goes.
    pub(super) fn may_pass<B>(&self, request: &Request<B>) -> bool {
        OF_PROBES.contains(&request.uri().path()) || self.may_read(request.method(), request.headers())
    }

    /// Whether its sender may read how the run is doing. A browser shows the token as password of any name (Basic); that it does by
    /// itself, on behalf of any page, so nothing but reading is done for it.
    pub(super) fn may_read(&self, method: &Method, headers: &HeaderMap) -> bool {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        self.is_open
            || self.may_order(headers)
            || (reads && password(headers).is_some_and(|given| self.token.is(&given)))
    }

    /// Whether its sender may give orders and see records.
    pub(super) fn may_order(&self, headers: &HeaderMap) -> bool {
        bearer(headers).is_some_and(|given| self.token.is(given.as_bytes()))
    }

    /// What is answered to who may not read.
    pub(super) fn no_reading<B>(&self, request: &Request<B>) -> Response {
        let mut response = self.no_order();
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        // Whoever comes with a token of this kind is no browser that could ask its user.
        if reads && bearer(request.headers()).is_none() {
            let basic = HeaderValue::from_static(
                "Basic realm=\"worker: any name, and the token\", charset=\"UTF-8\"",
            );
            response.headers_mut().append(header::WWW_AUTHENTICATE, basic);
        }
        response
    }

    /// What is answered to who may give no order.
    pub(super) fn no_order(&self) -> Response {
        let why = format!("this needs \"Authorization: Bearer TOKEN\"; {}\n", self.place.says());
        (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], why).into_response()
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    given(headers, "Bearer")
}

fn password(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut decoded = STANDARD.decode(given(headers, "Basic")?).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    Some(decoded.split_off(colon + 1))
}

/// What stands behind a scheme of authorization; its name is of any case (RFC 9110, 11.1).
fn given<'h>(headers: &'h HeaderMap, scheme: &str) -> Option<&'h str> {
    let (named, given) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then_some(given.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(is_open: bool) -> Access {
        Access { token: Token::from_text("s3cret"), place: TokenPlace::Entry, is_open }
    }

    fn request(method: Method, path: &str, authorization: &str) -> Request<()> {
        let request = Request::builder().method(method).uri(path);
        match authorization {
            "" => request,
            text => request.header(header::AUTHORIZATION, text),
        }
        .body(())
        .expect("a request")
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    #[test]
    fn a_token_is_taken_whole_or_not_at_all() {
        let may = |given: &str| access(false).may_order(request(Method::POST, "/", given).headers());
        assert!(may("Bearer s3cret") && may("bearer  s3cret "));
        for wrong in [
            "Bearer s3cre",
            "Bearer s3crets",
            "Bearer ",
            "Bearer",
            "s3cret",
            "Basic s3cret",
            "Bearers3cret",
            "",
        ] {
            assert!(!may(wrong), "{wrong}");
        }
    }

    #[test]
    fn away_from_this_machine_reading_needs_the_token_and_probes_do_not() {
        let access = access(false);
        let may = |method, path, given: &str| access.may_pass(&request(method, path, given));
        for path in ["/livez", "/readyz"] {
            assert!(may(Method::GET, path, ""), "{path}");
        }
        for path in ["/", "/metrics", "/api/v1/status", "/livez/", "/none"] {
            for wrong in [
                "",
                "Bearer wrong",
                &basic("s3cret"),
                &basic("x:wrong"),
                &basic("s3cret:"),
                "Basic !!",
                "Basic s3cret",
            ] {
                assert!(!may(Method::GET, path, wrong), "{path} {wrong}");
            }
            for right in ["Bearer s3cret", &basic("x:s3cret"), &basic(":s3cret")] {
                assert!(may(Method::GET, path, right), "{path} {right}");
            }
        }
    }

    #[test]
    fn what_a_browser_adds_by_itself_gives_no_order() {
        let access = access(false);
        let ordered = request(Method::POST, "/api/v1/stop", &basic("x:s3cret"));
        assert!(!access.may_pass(&ordered) && !access.may_order(ordered.headers()));
        assert_eq!(access.no_reading(&ordered).headers().get_all(header::WWW_AUTHENTICATE).iter().count(), 1);
        let challenges =
            |request| access.no_reading(&request).headers().get_all(header::WWW_AUTHENTICATE).iter().count();
        assert_eq!(challenges(request(Method::GET, "/", "")), 2, "a browser asks its user");
        assert_eq!(challenges(request(Method::GET, "/", "Bearer wrong")), 1);
    }

    #[test]
    fn on_this_machine_reading_is_open_and_orders_are_not() {
        let access = access(true);
        assert!(access.may_pass(&request(Method::GET, "/api/v1/status", "")));
        assert!(!access.may_order(request(Method::POST, "/api/v1/stop", "").headers()));
    }
}

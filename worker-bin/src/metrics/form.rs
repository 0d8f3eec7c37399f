//! Which of two text forms whoever asks for metrics wants.

/// A text form of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' own older text, version 0.0.4, for collectors that know no other.
    Plain,
}

impl Form {
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => prometheus_client::encoding::prometheus_text::CONTENT_TYPE,
        }
    }

    /// By what the request accepts (RFC 9110, 12.5.1): plain where that is wanted more than OpenMetrics.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let wanted = |kind: &str, sub: &str| quality(accept, kind, sub);
        if wanted("text", "plain") > wanted("application", "openmetrics-text") {
            Self::Plain
        } else {
            Self::OpenMetrics
        }
    }
}

/// How much this media type is wanted: by its own entry, else by that of its kind, else by that of all.
fn quality(accept: &str, kind: &str, sub: &str) -> f32 {
    let entries: Vec<(&str, f32)> = accept.split(',').map(entry).collect();
    let of = |name: &str| {
        let same = entries.iter().filter(|(range, _)| range.eq_ignore_ascii_case(name));
        same.map(|(_, quality)| *quality).reduce(f32::max)
    };
    of(&format!("{kind}/{sub}")).or_else(|| of(&format!("{kind}/*"))).or_else(|| of("*/*")).unwrap_or(0.0)
}

/// A media range without its parameters, and its weight.
fn entry(text: &str) -> (&str, f32) {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().unwrap_or("");
    let weight = parts.find_map(|part| part.strip_prefix("q=")).and_then(|weight| weight.parse().ok());
    (range, weight.filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_for_those_who_want_it_more() {
        for (accept, form) in [
            ("", Form::OpenMetrics),
            ("*/*", Form::OpenMetrics),
            ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", Form::OpenMetrics),
            ("text/plain", Form::Plain),
            ("text/*; q=0.4", Form::Plain),
            ("TEXT/plain;version=0.0.4;charset=utf-8", Form::Plain),
            // Prometheus 2 and 3, and one that was told to want plain text first.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Form::OpenMetrics,
            ),
            ("text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5", Form::Plain),
            ("application/openmetrics-text;q=0, */*", Form::Plain),
            ("text/plain;q=nonsense, application/openmetrics-text", Form::OpenMetrics),
        ] {
            assert_eq!(Form::accepted(accept), form, "{accept}");
        }
    }
}

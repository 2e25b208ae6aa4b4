//! Credentials never leave the process: not in the log, `/status`, `/metrics`, the report or an error.
//!
//! Text is cleaned by what credentials look like, a URI's user and password, a property such as `user-pw` or a token of the
//! daemon's own, and by the values themselves, which [`learn`] takes from the configuration: an element may quote one alone.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Mutex;

use crate::lock::lock;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";
/// A shorter value is hidden only where its name says what it is: it may be a part of any word.
const LEARNABLE: usize = 4;

/// Values of the configuration that are secrets, the longest first.
static KNOWN: Mutex<Vec<String>> = Mutex::new(vec![]);

/// Remembers every secret that `text` holds, to hide it wherever it turns up alone.
pub fn learn(text: &str) {
    let mut known = lock(&KNOWN);
    let found: Vec<String> = secrets(text).into_iter().map(|range| text[range].to_owned()).collect();
    for value in found.iter().map(String::as_str).chain(whole_user_infos(text).iter().map(String::as_str)) {
        // Of user and password it is the password that an element may quote.
        let value = value.split_once(':').map_or(value, |(_, password)| password);
        // A message may quote it up to where a URI's host would end.
        let cut = value.split(['/', '?', '#', ' ']).next().unwrap_or(value);
        for value in [value.to_owned(), decoded(value), cut.to_owned()] {
            if value.len() >= LEARNABLE && !known.contains(&value) {
                known.push(value);
            }
        }
    }
    known.sort_by_key(|value| std::cmp::Reverse(value.len()));
}

/// Users and passwords of URIs that are whole values of the configuration: what should have been encoded and was not,
/// a space or a `#`, does not end them there.
fn whole_user_infos(text: &str) -> Vec<String> {
    fn strings(value: &toml::Value, found: &mut Vec<String>) {
        match value {
            toml::Value::String(text) => {
                for (at, mark) in text.match_indices("://") {
                    let rest = &text[at + mark.len()..];
                    if let Some((user_info, _)) = rest.rsplit_once('@')
                        && !text.starts_with("file://")
                    {
                        found.push(user_info.to_owned());
                    }
                }
            }
            toml::Value::Array(values) => values.iter().for_each(|value| strings(value, found)),
            toml::Value::Table(table) => table.values().for_each(|value| strings(value, found)),
            _ => {}
        }
    }
    let mut found = vec![];
    if let Ok(table) = toml::from_str::<toml::Table>(text) {
        table.values().for_each(|value| strings(value, &mut found));
    }
    found
}

/// Remembers `secret` itself, which was read from a file, to hide it wherever it turns up.
pub fn learn_secret(secret: &str) {
    let mut known = lock(&KNOWN);
    if secret.len() >= LEARNABLE && !known.iter().any(|value| value == secret) {
        known.push(secret.to_owned());
        known.sort_by_key(|value| std::cmp::Reverse(value.len()));
    }
}

/// `text` without its secrets.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut clean = Cow::Borrowed(text);
    let found = secrets(text);
    if !found.is_empty() {
        let mut hidden = String::with_capacity(text.len());
        let mut from = 0;
        for range in found {
            hidden.push_str(&text[from..range.start]);
            hidden.push_str(HIDDEN);
            from = range.end;
        }
        hidden.push_str(&text[from..]);
        clean = Cow::Owned(hidden);
    }
    for secret in lock(&KNOWN).iter() {
        if clean.contains(secret.as_str()) {
            clean = Cow::Owned(clean.replace(secret.as_str(), HIDDEN));
        }
    }
    clean
}

/// The places of secrets in `text`, in order and apart.
fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<_> = user_infos(text)
        .chain(properties(text))
        .chain(tokens(text))
        .filter(|range| !range.is_empty())
        .collect();
    found.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
    let mut end = 0;
    found.retain(|range| {
        let is_apart = range.start >= end;
        end = end.max(range.end);
        is_apart
    });
    found
}

/// `user:password` of every `scheme://user:password@host`.
fn user_infos(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices("://").filter_map(|(at, mark)| {
        let start = at + mark.len();
        let ends =
            |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '`' | '<' | '>' | '\\');
        let end = text[start..].find(ends).map_or(text.len(), |length| start + length);
        // A password may hold an @ that should have been encoded.
        let user_info = text[start..end].rfind('@')?;
        Some(start..start + user_info)
    })
}

/// Every token as `nervelightd token` makes them, good or not.
fn tokens(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices("nvl_").filter_map(|(at, _)| {
        let is_end = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        let end = text[at..].find(is_end).map_or(text.len(), |length| at + length);
        // Prefix, id and the beginning of what is secret.
        (end - at > 16).then_some(at..end)
    })
}

/// The value of every `name=value` and `name: value` whose name says that it is secret, in the notations of
/// GStreamer, TOML, JSON, URIs and headers.
fn properties(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices(['=', ':']).filter_map(|(at, mark)| {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let before = text[..at].trim_end_matches([' ', '\t']).trim_end_matches(['"', '\'', '\\']);
        let is_name = |c: char| is_name(c) || c == '%';
        let name = &before[before.trim_end_matches(is_name).len()..];
        let in_query = before[..before.len() - name.len()].ends_with(['?', '&']);
        if !is_secret(&decoded(name), in_query) {
            return None;
        }
        let mut start = at + mark.len();
        let skip = |start: usize, chars: &[char]| text.len() - text[start..].trim_start_matches(chars).len();
        start = skip(start, &[' ', '\t']);
        // GStreamer's notation may name the type: `user-pw=(string)"..."`.
        if let Some(end) = text[start..].strip_prefix('(').and_then(|rest| rest.find(')')) {
            start = skip(start + end + 2, &[' ', '\t']);
        }
        Some(value(text, start, in_query))
    })
}

/// The value that begins at `start`: what stands in quotes, be they escaped, or the text up to the next space.
fn value(text: &str, start: usize, in_query: bool) -> Range<usize> {
    let rest = &text[start..];
    let escapes = rest.len() - rest.trim_start_matches('\\').len();
    let quote = rest[escapes..].chars().next().filter(|c| matches!(c, '"' | '\''));
    let Some(quote) = quote else {
        let ends = |c: char| {
            c.is_whitespace() || matches!(c, '"' | '\'' | '`') || (in_query && matches!(c, '&' | '#'))
        };
        let mut end = rest.find(ends).unwrap_or(rest.len());
        // `Authorization: Basic dXNlcg==`
        for scheme in ["Basic ", "Bearer ", "Digest "] {
            if let Some(credentials) = rest.strip_prefix(scheme) {
                end = scheme.len() + credentials.find(ends).unwrap_or(credentials.len());
            }
        }
        return start..start + rest[..end].trim_end_matches(['\\', ',', ';', ')']).len();
    };
    let from = start + escapes + 1;
    let mark = format!("{}{quote}", &rest[..escapes]);
    let mut search = from;
    while let Some(length) = text[search..].find(&mark) {
        let end = search + length;
        let slashes = text[from..end].len() - text[from..end].trim_end_matches('\\').len();
        if slashes.is_multiple_of(2) {
            return from..end;
        }
        search = end + mark.len();
    }
    from..text.len()
}

/// Whether a property of this name holds a secret. `pass` and `key` alone are settings of encoders; the name of a file
/// that holds a secret is none.
fn is_secret(name: &str, in_query: bool) -> bool {
    const PARTS: [&str; 10] = [
        "passw",
        "passphrase",
        "secret",
        "token",
        "credential",
        "authorization",
        "apikey",
        "userpw",
        "cookie",
        "session",
    ];
    let name = name.to_ascii_lowercase().replace('_', "-");
    // It says where a secret is kept, which a person has to know.
    if name.ends_with("-file") {
        return false;
    }
    let mut words = name.split('-');
    PARTS.iter().any(|part| name.contains(part))
        || words.any(|word| matches!(word, "pw" | "pwd" | "psw" | "auth"))
        || ["api-key", "access-key", "private-key"].iter().any(|key| name.ends_with(key))
        || (in_query
            && ["pass", "pas", "pwd", "key", "sig", "jwt", "auth", "session", "cred", "login"]
                .iter()
                .any(|part| name.contains(part)))
}

/// Without percent-encoding.
fn decoded(value: &str) -> String {
    let mut bytes = vec![];
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_hidden() {
        for (text, clean) in [
            ("rtsp://admin:s3cret@10.0.0.2/us", "rtsp://***@10.0.0.2/us"),
            ("rtsp://a:p@ss@h/us latency=0", "rtsp://***@h/us latency=0"),
            (
                "rtspsrc location=rtsp://h/us user-pw=s3cret ! x",
                "rtspsrc location=rtsp://h/us user-pw=*** ! x",
            ),
            ("user-pw=\"two words\" latency=0", "user-pw=\"***\" latency=0"),
            ("user-pw=\"a \\\" b\" latency=0", "user-pw=\"***\" latency=0"),
            ("user-pw=(string)'x y' latency=0", "user-pw=(string)'***' latency=0"),
            ("user-pw = s3cret", "user-pw = ***"),
            // As the log quotes text that holds quotes.
            ("source=\"user-pw=\\\"x y\\\" a=b\"", "source=\"user-pw=\\\"***\\\" a=b\""),
            ("{\"password\": \"x\", \"a\": 1}", "{\"password\": \"***\", \"a\": 1}"),
            ("srtsrc uri=srt://h:1?passphrase=0123&mode=x", "srtsrc uri=srt://h:1?passphrase=***&mode=x"),
            ("http://h/v?user=a&pwd=b&size=c", "http://h/v?user=a&pwd=***&size=c"),
            ("http://h/v?pass=b", "http://h/v?pass=***"),
            (
                "http://h/v?loginpas=b&X-Amz-Signature=c&jwt=d",
                "http://h/v?loginpas=***&X-Amz-Signature=***&jwt=***",
            ),
            ("http://h/v?pa%73sword=b", "http://h/v?pa%73sword=***"),
            ("proxy-pw=x auth-token=y,", "proxy-pw=*** auth-token=***,"),
            ("extra-headers=\"h,Authorization=Bearer abc\"", "extra-headers=\"h,Authorization=***\""),
            ("extra-headers=\"h,X-Session=abc\"", "extra-headers=\"h,X-Session=***\""),
            ("Authorization: Basic dXNlcg==", "Authorization: ***"),
            ("nvl_0a1b2c3d_dGhpcyBpcyBhIHNlY3JldCBvZiAzMiBieXRlcw, x", "***, x"),
        ] {
            assert_eq!(redact(text), clean, "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "x264enc speed-preset=veryfast pass=quant quantizer=20 bframes=0 key-int-max=60",
            "nvv4l2h264enc bitrate=8000000 ! h264parse",
            "file:///a/b@c.mp4",
            "page at http://127.0.0.1:8321",
            "password_file = \"/etc/nervelight/ward\"",
            "Author: somebody",
            "password_file = \"encoder.password\"",
            "",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn a_secret_that_is_quoted_alone_is_known() {
        learn("pipeline = \"rtspsrc location=rtsp://u:pl%40nted-one@h user-pw=planted-two\"");
        let said =
            redact("could not set property \"user-pw\" to \"planted-two\"; pl@nted-one, pl%40nted-one");
        assert_eq!(said, "could not set property \"user-pw\" to \"***\"; ***, ***");
        learn(
            "[source]\nuri = \"rtsp://admin:pl#anted9@10.0.0.2/us\"\npath = \"http://nurse:pl anted8'x@h/a\"",
        );
        for text in ["rtsp://admin:pl#anted9@10.0.0.2/us", "http://nurse:pl anted8'x@h/a"] {
            assert!(!redact(text).contains("anted"), "{}", redact(text));
        }
    }
}

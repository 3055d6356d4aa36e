//! Text fields of `multipart/form-data` (RFC 7578), for a body that is in memory and small.

/// The text fields of a body, in order. What is no field, and what comes after the first flaw, is left out.
pub(super) fn fields<'a>(content_type: &str, body: &'a [u8]) -> Vec<(&'a [u8], &'a [u8])> {
    let Some(boundary) = boundary(content_type) else { return Vec::new() };
    let mut delimiter = b"\r\n--".to_vec();
    delimiter.extend_from_slice(boundary.as_bytes());
    // The first delimiter may stand at the very beginning, without its line break.
    let first = delimiter.get(2..).unwrap_or_default();
    let mut rest = match body.strip_prefix(first) {
        Some(rest) => rest,
        None => match find(body, &delimiter) {
            Some(at) => body.get(at + delimiter.len()..).unwrap_or_default(),
            None => return Vec::new(),
        },
    };
    let mut fields = Vec::new();
    // After the last delimiter stand two hyphens.
    while let Some(part) = after_line(rest) {
        let Some(end) = find(part, &delimiter) else { break };
        fields.extend(field(&part[..end]));
        rest = part.get(end + delimiter.len()..).unwrap_or_default();
    }
    fields
}

fn boundary(content_type: &str) -> Option<&str> {
    let parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let boundary = parameters.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?.1.trim();
    let boundary = boundary.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(boundary);
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

/// What follows the line break after a delimiter; white space may stand before it.
fn after_line(rest: &[u8]) -> Option<&[u8]> {
    let blank = rest.iter().position(|b| !matches!(b, b' ' | b'\t'))?;
    // An empty head begins with the line break that ends it.
    rest.get(blank..)?.strip_prefix(b"\r\n")
}

/// Name and value of a part, unless it is a file or has no name.
fn field(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = find(part, b"\r\n\r\n")?;
    let (head, value) = (&part[..end], part.get(end + 4..)?);
    let lines = head.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    let disposition = lines.filter_map(|line| {
        let (name, value) = line.split_at_checked(b"content-disposition:".len())?;
        name.eq_ignore_ascii_case(b"content-disposition:").then_some(value)
    });
    let disposition = disposition.into_iter().next()?;
    if parameter(disposition, b"filename").is_some() || parameter(disposition, b"filename*").is_some() {
        return None;
    }
    Some((parameter(disposition, b"name")?, value))
}

/// The value of `; name="value"` or `; name=value`. Quotes within names are of no use here, so none are undone.
fn parameter<'a>(header: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = header;
    loop {
        rest = rest.get(rest.iter().position(|b| *b == b';')? + 1..)?.trim_ascii_start();
        let equals = rest.iter().position(|b| matches!(b, b'=' | b';'))?;
        let found = rest[..equals].trim_ascii().eq_ignore_ascii_case(name) && rest[equals] == b'=';
        let value = rest.get(equals..)?.strip_prefix(b"=").unwrap_or_default();
        let (value, after) = match value.strip_prefix(b"\"") {
            Some(quoted) => quoted.split_at(quoted.iter().position(|b| *b == b'"')?),
            None => value.split_at(value.iter().position(|b| *b == b';').unwrap_or(value.len())),
        };
        if found {
            return Some(value);
        }
        rest = if rest[equals] == b'=' { after } else { &rest[equals..] };
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "multipart/form-data; charset=utf-8; boundary=\"xYz\"";

    fn texts(body: &str) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        fields(KIND, body.as_bytes()).into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn text_fields_are_read_and_files_left_out() {
        let body = "preamble\r\n--xYz\r\nContent-Disposition: form-data; name=\"api-key\"\r\n\r\nabc\r\n\
            --xYz  \r\nContent-Type: text/plain\r\ncontent-disposition:form-data;name=note\r\n\r\ntwo\r\nlines\r\n\
            --xYz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\n\r\nx\r\n\
            --xYz\r\nContent-Disposition: form-data; x=\"a; name=no\"; name=\"e\"\r\n\r\n\r\n--xYz--\r\nepilogue";
        let expected = [("api-key", "abc"), ("note", "two\r\nlines"), ("e", "")];
        assert_eq!(texts(body), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(texts("--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xYz--").len(), 1);
    }

    #[test]
    fn what_is_broken_is_left_out() {
        for body in [
            "",
            "--xYz",
            "--xYz--",
            "--xYz\r\n",
            "--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1",
            "--xYz\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--xYz--",
            "--xYz\r\nContent-Disposition: form-data\r\n\r\n1\r\n--xYz--",
            "--xYz\r\n\r\n1\r\n--xYz--",
            "--abc\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--abc--",
        ] {
            assert!(texts(body).is_empty(), "{body:?}");
        }
        assert!(fields("multipart/form-data", b"--\r\n").is_empty());
        assert!(fields("multipart/form-data; boundary=", b"--\r\n").is_empty());
    }
}

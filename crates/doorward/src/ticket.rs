//! What a printed voucher holds: where its code leads to, and the code itself.

use std::fmt::Write as _;

use fast_qr::{ECL, QRBuilder, QRCode};

/// Light modules around a code, so that it is found (ISO 18004).
const QUIET: usize = 4;

/// Where a press of one button logs in. `portal`: `http://login.guest.internal`. `passcode`: `None` for a code.
#[must_use]
pub fn link(portal: &str, username: &str, passcode: Option<&str>) -> String {
    match passcode {
        None => format!("{portal}/v/{}", escaped(username)),
        Some(passcode) => format!("{portal}/?u={}&p={}", escaped(username), escaped(passcode)),
    }
}

/// A QR code as the path of an SVG, and the side of its square in modules, quiet zone included. `None`: the text is too
/// long.
#[must_use]
pub fn qr(text: &str) -> Option<(usize, String)> {
    let code = draw(text)?;
    let mut path = String::new();
    for (column, row) in dark(&code) {
        let _infallible = write!(path, "M{} {}h1v1h-1z", column + QUIET, row + QUIET);
    }
    Some((code.size + 2 * QUIET, path))
}

fn draw(text: &str) -> Option<QRCode> {
    QRBuilder::new(text).ecl(ECL::M).build().ok()
}

/// Dark modules, column and row.
fn dark(code: &QRCode) -> impl Iterator<Item = (usize, usize)> + '_ {
    let places = (0..code.size).flat_map(|row| (0..code.size).map(move |column| (column, row)));
    places.filter(|(column, row)| code[*row][*column].value())
}

/// A value in an address.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            safe.push(char::from(byte));
        } else {
            let _infallible = write!(safe, "%{byte:02X}");
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        assert_eq!(link("http://a", "K7PM-W3XD", Some("p&<x>")), "http://a/?u=K7PM-W3XD&p=p%26%3Cx%3E");
        assert_eq!(link("http://a", "K7PM-W3XD", None), "http://a/v/K7PM-W3XD");
        assert!(qr(&"x".repeat(5000)).is_none());
    }

    #[test]
    fn a_code_leads_where_the_ticket_says() {
        let (side, path) = qr("http://a/v/K7PM-W3XD").unwrap();
        // Drawn again from its path, it reads back.
        let mut dark = vec![false; side * side];
        for module in path.split('M').filter(|module| !module.is_empty()) {
            let (x, rest) = module.split_once(' ').unwrap();
            let y: usize = rest.split('h').next().unwrap().parse().unwrap();
            dark[y * side + x.parse::<usize>().unwrap()] = true;
        }
        let shade = |x: usize, y: usize| if dark[y / 8 * side + x / 8] { 0 } else { 255 };
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(side * 8, side * 8, shade);
        let (_, read) = image.detect_grids()[0].decode().unwrap();
        assert_eq!(read, "http://a/v/K7PM-W3XD");
    }
}

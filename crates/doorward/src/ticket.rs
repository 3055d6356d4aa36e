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

/// A QR code as squares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// Side of its square in modules, quiet zone included.
    pub side: usize,
    /// Dark modules that lie side by side: column and row of the first, and how many.
    pub runs: Vec<(usize, usize, usize)>,
}

impl Code {
    /// Draws a text. `None`: it is too long.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let code = draw(text)?;
        let mut runs: Vec<(usize, usize, usize)> = Vec::new();
        for (column, row) in dark(&code) {
            let (column, row) = (column + QUIET, row + QUIET);
            match runs.last_mut() {
                Some((first, line, count)) if *line == row && *first + *count == column => *count += 1,
                Some(_) | None => runs.push((column, row, 1)),
            }
        }
        Some(Self { side: code.size + 2 * QUIET, runs })
    }

    /// As the path of an SVG.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::new();
        for (column, row, count) in &self.runs {
            let _infallible = write!(path, "M{column} {row}h{count}v1h-{count}z");
        }
        path
    }
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
        assert!(Code::of(&"x".repeat(5000)).is_none());
    }

    #[test]
    fn a_code_leads_where_the_ticket_says() {
        let code = Code::of("http://a/v/K7PM-W3XD").unwrap();
        let (side, path) = (code.side, code.path());
        // Drawn again from its path, it reads back.
        let mut dark = vec![false; side * side];
        for module in path.split('M').filter(|module| !module.is_empty()) {
            let (x, rest) = module.split_once(' ').unwrap();
            let (y, rest) = rest.split_once('h').unwrap();
            let count: usize = rest.split('v').next().unwrap().parse().unwrap();
            let first = y.parse::<usize>().unwrap() * side + x.parse::<usize>().unwrap();
            dark[first..first + count].fill(true);
        }
        let shade = |x: usize, y: usize| if dark[y / 8 * side + x / 8] { 0 } else { 255 };
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(side * 8, side * 8, shade);
        let (_, read) = image.detect_grids()[0].decode().unwrap();
        assert_eq!(read, "http://a/v/K7PM-W3XD");
    }
}
